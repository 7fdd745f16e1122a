"""EASE: its closed form, and the limit of items."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.errors import NotEnoughData
from tasks.models.base import Examples
from tasks.models.ease import Ease, EaseModel
from tasks.models.histories import Weighing, read_histories
from tests.tasks.models.checkerboard import aged, tastes


def test_weights_equal_the_closed_form() -> None:
    features = tastes(80, 30)
    model = Ease(regularization=10.0).fit(Examples(features), Examples(features), 7)
    assert isinstance(model, EaseModel)
    histories = read_histories(Examples(features), Weighing(), "ease")
    matrix = histories.matrix.toarray()
    inverse = np.linalg.inv(matrix.T @ matrix + 10.0 * np.eye(len(histories.items)))
    expected = np.eye(len(inverse)) - inverse / np.diag(inverse)[None, :]
    np.testing.assert_allclose(model.weights, expected, atol=1e-5)
    scores, _ = model.score_items("u003", features)
    np.testing.assert_allclose(scores, matrix[histories.users.tolist().index("u003")] @ expected, atol=1e-4)


def test_too_many_items_are_refused() -> None:
    features = tastes(80, 30)
    with pytest.raises(NotEnoughData, match=r"items on sale need .* max_items allows 20\. .* use ials"):
        Ease(max_items=20).fit(Examples(features), Examples(features), 7)


def test_an_old_shop_does_not_come_to_the_limit() -> None:
    """At first it learns from all; beyond the limit from what is on sale, and then as a young shop does."""
    young = tastes(80, 30)
    old = aged(young, 100)
    whole, limited = (Ease(max_items=limit).fit(Examples(old), Examples(old), 7) for limit in (200, 60))
    fresh = Ease().fit(Examples(young), Examples(young), 7)
    assert isinstance(whole, EaseModel) and isinstance(limited, EaseModel) and isinstance(fresh, EaseModel)
    assert len(whole.items) == len(fresh.items) + 100
    assert limited.items.tolist() == fresh.items.tolist()
    np.testing.assert_allclose(limited.weights, fresh.weights)
    assert not np.isfinite(limited.score_items("u003", old)[0][~old.on_sale]).any()

"""The first k of each row equal those of a full sort, ties by place, for all shapes and search paths."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.models.als import AlsModel, Penalties
from tasks.models.base import FeatureTables, find_best


@pytest.mark.parametrize("size", [1, 7, 90, 700])
@pytest.mark.parametrize("levels", [1, 3, 10_000])  # all tied, mostly tied, hardly tied
def test_the_first_k_equal_those_of_sorting(size: int, levels: int) -> None:
    random = np.random.default_rng(size + levels)
    scores = random.integers(0, levels, (40, size)).astype(np.float64)
    scores[random.random(scores.shape) < random.random((40, 1)) - 0.3] = -np.inf
    for k in (1, 5, 20):
        starts, places, best = find_best(scores, k)
        for row, (first, end) in enumerate(pairwise(starts)):
            finite = np.flatnonzero(np.isfinite(scores[row]))
            expected = finite[np.argsort(-scores[row, finite], kind="stable")][:k]
            assert places[first:end].tolist() == expected.tolist()
            assert best[first:end].tolist() == scores[row, expected].tolist()


def nearly_tied() -> tuple[Floats, Floats]:
    """Vectors of 30 users, and of 400 items that differ by less than single precision resolves."""
    random = np.random.default_rng(3)
    users = random.normal(size=(30, 16)) * 100.0
    return users, random.normal(size=16) + random.normal(size=(400, 16)) * 1e-8


def test_single_precision_search_is_exact() -> None:
    users, items = nearly_tied()
    features = FeatureTables(
        pd.DataFrame({c.USER_ID: [f"u{number:02d}" for number in range(30)]}),
        pd.DataFrame({c.ITEM_ID: [f"i{number:03d}" for number in range(400)], "item_buyers_28d": 1.0}),
        pd.DataFrame({c.USER_ID: ["u00"], c.ITEM_ID: ["i000"], "pair_orders": 1.0}),
    )
    model = GivenVectors(features.item_ids, items, Penalties(1.0, 1.0, 0.0, 0.0, 28.0), None, 1.0)
    model.given = users
    answers = model.recommend(list(features.users[c.USER_ID]), features, 10)
    scores = users @ items.T
    for row, answer in enumerate(answers):
        expected = np.argsort(-scores[row], kind="stable")[:10]
        assert np.allclose(answer.raw_scores, scores[row, expected], rtol=0, atol=1e-12)
        assert set(answer.items) == set(features.item_ids[expected])


def test_single_precision_without_margin_misses_some() -> None:
    users, items = nearly_tied()
    exact = users @ items.T
    rough = users.astype(np.float32) @ items.astype(np.float32).T
    found = find_best(rough, 10, np.zeros(30), lambda rows, places: exact[rows, places])[1].reshape(30, -1)[:, :10]
    assert any(set(found[row]) != set(np.argsort(-exact[row], kind="stable")[:10]) for row in range(30))


class GivenVectors(AlsModel):
    """Users whose vectors are given."""

    given: Floats

    def user_vectors(self, user_ids: list[str], features: FeatureTables) -> tuple[Floats, NDArray[np.bool_]]:
        return self.given[: len(user_ids)], np.ones(len(user_ids), dtype=np.bool_)

"""k nearest neighbours: agreement with scikit-learn, and the sample that is kept."""

from __future__ import annotations

import numpy as np

from tasks.models.base import Examples
from tasks.models.nearest_neighbours import NearestNeighbours
from tasks.models.tabular import TabularModel
from tests.tasks.models.checkerboard import rows


def test_nearest_neighbours_agree_with_scikit_learn() -> None:
    from sklearn.neighbors import KNeighborsClassifier

    random = np.random.default_rng(0)
    values, target = random.normal(size=(120, 3)), random.integers(0, 2, 120)
    new = random.normal(size=(40, 3))
    spec = NearestNeighbours(neighbours=7)
    learned = spec.learn(values, target, np.ones(120), 7)
    model = spec.served(None, learned.arrays, learned.settings, (1.0, 0.0))  # type: ignore[arg-type]
    theirs = KNeighborsClassifier(7).fit(values, target).predict_proba(new)[:, 1]
    np.testing.assert_allclose(model.margins(new), theirs, atol=1e-12)


def test_nearest_neighbours_keep_a_sample() -> None:
    model = NearestNeighbours(max_rows=50).fit(Examples(rows=rows()), Examples(), 7)
    assert isinstance(model, TabularModel)
    assert len(model.arrays["rows"]) == 50

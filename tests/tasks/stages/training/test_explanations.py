"""Explanations of classifiers: unused columns have no importance, and a stronger penalty gives smaller weights."""

from __future__ import annotations

import numpy as np

from tasks.models.base import Examples
from tasks.models.logistic_regression import LogisticRegressionSpec
from tasks.models.trees import RandomForest
from tasks.stages.training.explanations import PATH, explain, measure_importance, measure_path
from tests.tasks.models.checkerboard import rows


def test_importance_names_the_deciding_columns() -> None:
    frame = rows()  # class 1 where the first column is above the second; the third is noise
    model = LogisticRegressionSpec().fit(Examples(rows=frame), Examples(), 7)
    names, importances = measure_importance(model, frame, 7)
    mean = dict(zip(names, importances.mean(axis=1), strict=True))
    assert mean["mean radius"] > 0.5 < mean["mean texture"] and abs(mean["worst area"]) < 0.05
    assert np.array_equal(measure_importance(model, frame, 7)[1], importances)


def test_a_stronger_penalty_leaves_smaller_weights() -> None:
    frame = rows()
    names, weights, losses = measure_path(LogisticRegressionSpec(), Examples(rows=frame[:120]), frame[120:], 7)
    size = np.abs(weights).sum(axis=1)
    assert weights.shape == (len(PATH), len(names)) == (17, 3)
    assert (np.diff(size) < 0).all() and losses[-1] > losses[0]


def test_a_path_is_drawn_for_linear_models_of_columns() -> None:
    frame = Examples(rows=rows())
    drawn = {}
    for spec in (LogisticRegressionSpec(), LogisticRegressionSpec(degree=2), RandomForest(trees=5)):
        drawn[str(spec)] = set(explain(spec, spec.fit(frame, frame, 7), frame, frame, seed=7, title="rows"))
    both = {"plots/importance.png", "plots/regularization_path.png"}
    assert list(drawn.values()) == [both, {"plots/importance.png"}, {"plots/importance.png"}]
    assert explain(RandomForest(), None, Examples(), Examples(), seed=7, title="") == {}  # type: ignore[arg-type]

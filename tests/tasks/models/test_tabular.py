"""What all classifiers share: exported arrays, balanced classes, calibrated probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from tasks import columns as c
from tasks.errors import ModelError
from tasks.models.base import Examples
from tasks.models.mlp import Mlp
from tasks.models.nearest_neighbours import NearestNeighbours
from tasks.models.platt import fit_curve, sigmoid
from tasks.models.support_vectors import KernelSvm, LinearSvm
from tasks.models.tabular import Learned, TabularSpec
from tasks.models.trees import GradientBoosting, RandomForest
from tests.tasks.models.checkerboard import rare_rows, rows

SPECS: list[TabularSpec] = [
    GradientBoosting(trees=40),
    RandomForest(trees=30),
    NearestNeighbours(),
    LinearSvm(),
    KernelSvm(),
    Mlp(epochs=60),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_probabilities_of_a_rare_class_are_calibrated(spec: TabularSpec) -> None:
    """Classes are balanced in training, because margins of a rare class hardly exceed one half; the curve corrects them."""
    frame = rare_rows()
    learned, held_out = frame[:600], frame[600:]
    found = spec.fit(Examples(rows=learned), Examples(), 7).predict_rows(held_out)
    label = held_out[c.TARGET].to_numpy(np.float64)
    assert found.mean() == pytest.approx(label.mean(), abs=0.05)
    top = label[np.argsort(-found)[:30]].mean()
    assert top > 2.0 * label.mean(), "and they rank"
    assert np.mean((found - label) ** 2) < label.mean() * (1 - label.mean()), "better than the base rate"


def test_arrays_that_differ_from_the_library_are_refused() -> None:
    class Shifted(GradientBoosting):
        def learn(self, values: np.ndarray, target: np.ndarray, weight: np.ndarray, seed: int) -> Learned:
            learned = super().learn(values, target, weight, seed)
            moved = {**learned.arrays, "threshold": learned.arrays["threshold"] + 0.1}
            return Learned(moved, learned.settings, learned.own_margins)

    with pytest.raises(ModelError, match=r"gradient_boosting: the exported arrays and the library differ by up to"):
        Shifted(trees=5).fit(Examples(rows=rows()), Examples(), 7)


def test_one_row_of_a_class_still_trains() -> None:
    frame = rows(40).assign(**{c.TARGET: [1, *[0] * 39]})
    for spec in SPECS:
        found = spec.fit(Examples(rows=frame), Examples(), 7).predict_rows(frame)
        assert ((found > 0.0) & (found < 1.0)).all()


def test_separable_scores_give_no_certainty() -> None:
    raw, label = np.r_[np.full(20, -1.0), np.full(20, 1.0)], np.r_[np.zeros(20), np.ones(20)]
    slope, intercept = fit_curve(raw, label)
    low, high = sigmoid(slope * np.array([-1.0, 1.0]) + intercept)
    assert (low, high) == pytest.approx((1 / 22, 21 / 22), abs=1e-3), "Platt's own targets"
    assert fit_curve(-raw, label)[0] == 0.0

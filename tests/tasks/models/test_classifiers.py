"""The classifiers: exported arrays answer as the library, classes are balanced, and probabilities come true."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from tasks import columns as c
from tasks.errors import ModelError, NotEnoughData
from tasks.models.base import Examples
from tasks.models.mlp import Mlp
from tasks.models.nearest_neighbours import NearestNeighbours
from tasks.models.platt import fit_curve, sigmoid
from tasks.models.support_vectors import KernelSvm, LinearSvm
from tasks.models.tabular import Learned, TabularModel, TabularSpec
from tasks.models.trees import GradientBoosting, RandomForest, SparkGradientBoosting, _Nodes
from tasks.settings import ROOT
from tests.tasks.models.checkerboard import rows

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SPECS: list[TabularSpec] = [
    GradientBoosting(trees=40),
    RandomForest(trees=30),
    NearestNeighbours(),
    LinearSvm(),
    KernelSvm(),
    Mlp(epochs=60),
]


def rare(size: int = 900) -> pd.DataFrame:
    """Class 1 in a tenth of the rows, likelier the larger the first column is."""
    random = np.random.default_rng(2)
    values = random.normal(size=(size, 3))
    target = (random.random(size) < sigmoid(2.0 * values[:, 0] - 3.2)).astype("int64")
    frame = pd.DataFrame(values, columns=["a", "b", "c"])
    return frame.assign(**{c.ROW_ID: [f"r{i:03d}" for i in range(size)]}).assign(**{c.TARGET: target})


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_probabilities_of_a_rare_class_come_true(spec: TabularSpec) -> None:
    """Balanced while learning, as the margins of a rare class hardly cross one half else; the curve puts them right."""
    frame = rare()
    learned, held_out = frame[:600], frame[600:]
    found = spec.fit(Examples(rows=learned), Examples(), 7).predict_rows(held_out)
    label = held_out[c.TARGET].to_numpy(np.float64)
    assert found.mean() == pytest.approx(label.mean(), abs=0.05)
    top = label[np.argsort(-found)[:30]].mean()
    assert top > 2.0 * label.mean(), "and they tell who"
    assert np.mean((found - label) ** 2) < label.mean() * (1 - label.mean()), "better than the base rate for all"


def test_trees_answer_as_their_libraries() -> None:
    """The check inside `fit` is not idle: it compares whole margins on all rows."""
    frame = rows()
    values = np.nan_to_num(frame[["mean radius", "mean texture", "worst area"]].to_numpy())
    target = frame[c.TARGET].to_numpy()
    for spec in (GradientBoosting(trees=20), RandomForest(trees=10, depth=4)):
        learned = spec.learn(values, target, np.ones(len(target)), 7)
        assert learned.own_margins is not None
        assert len(learned.arrays["roots"]) == spec.trees
        assert len(np.unique(learned.own_margins(values).round(6))) > 10


def test_sparks_trees_are_read_out_of_what_it_tells(spark: SparkSession) -> None:
    frame = rare()
    values, target = frame[["a", "b", "c"]].to_numpy(), frame[c.TARGET].to_numpy()
    spec = SparkGradientBoosting(trees=4, depth=3)
    learned = spec.learn(values, target, np.ones(len(target)), 7)
    assert learned.own_margins is not None
    model = spec.served(None, learned.arrays, learned.settings, (1.0, 0.0))  # type: ignore[arg-type]
    np.testing.assert_allclose(model.margins(values), learned.own_margins(values), atol=1e-12)
    assert len(learned.arrays["roots"]) == 4
    assert learned.settings["depth"] == 3
    found = spec.fit(Examples(rows=frame[:600]), Examples(), 7).predict_rows(frame[600:])
    label = frame[c.TARGET][600:].to_numpy(np.float64)
    assert found.mean() == pytest.approx(label.mean(), abs=0.07), "four trees"
    assert label[np.argsort(-found)[:30]].mean() > 2.0 * label.mean()


def test_a_process_without_a_session_makes_its_own() -> None:
    """As a task of Airflow is: nobody has asked for Spark before the model does."""
    script = (
        "import numpy as np; from tasks.models.trees import SparkGradientBoosting;"
        "values = np.arange(40.0).reshape(-1, 1); target = (values[:, 0] > 19).astype(np.int64);"
        "print(len(SparkGradientBoosting(trees=1, depth=1).learn(values, target, np.ones(40), 7).arrays['roots']))"
    )
    words = [sys.executable, "-c", script]
    told = subprocess.run(words, check=False, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert told.stdout.strip() == "1", told.stderr[-2000:]


def test_trees_in_another_form_are_refused() -> None:
    with pytest.raises(ModelError, match=r"another form .* 'If \(feature 0 in"):
        _Nodes().add_text(iter(["  If (feature 0 in {1.0})", "   Predict: 0.1"]), 1.0)


def test_arrays_that_are_not_what_was_learned_are_refused() -> None:
    class Shifted(GradientBoosting):
        def learn(self, values: np.ndarray, target: np.ndarray, weight: np.ndarray, seed: int) -> Learned:
            learned = super().learn(values, target, weight, seed)
            moved = {**learned.arrays, "threshold": learned.arrays["threshold"] + 0.1}
            return Learned(moved, learned.settings, learned.own_margins)

    with pytest.raises(ModelError, match=r"gradient_boosting: the exported arrays and the library answer up to .* apart"):
        Shifted(trees=5).fit(Examples(rows=rows()), Examples(), 7)


def test_nearest_neighbours_agree_with_scikit_learn() -> None:
    from sklearn.neighbors import KNeighborsClassifier

    random = np.random.default_rng(0)
    values, target = random.normal(size=(120, 3)), random.integers(0, 2, 120)
    asked = random.normal(size=(40, 3))
    spec = NearestNeighbours(neighbours=7)
    learned = spec.learn(values, target, np.ones(120), 7)
    model = spec.served(None, learned.arrays, learned.settings, (1.0, 0.0))  # type: ignore[arg-type]
    theirs = KNeighborsClassifier(7).fit(values, target).predict_proba(asked)[:, 1]
    np.testing.assert_allclose(model.margins(asked), theirs, atol=1e-12)


def test_nearest_neighbours_keep_a_sample() -> None:
    model = NearestNeighbours(max_rows=50).fit(Examples(rows=rows()), Examples(), 7)
    assert isinstance(model, TabularModel)
    assert len(model.arrays["rows"]) == 50


def test_kernel_svm_refuses_too_many_rows() -> None:
    with pytest.raises(NotEnoughData, match=r"max_rows allows 100, and 200 came"):
        KernelSvm(max_rows=100).fit(Examples(rows=rows()), Examples(), 7)


def test_one_row_of_a_class_still_trains() -> None:
    frame = rows(40).assign(**{c.TARGET: [1, *[0] * 39]})
    for spec in SPECS:
        found = spec.fit(Examples(rows=frame), Examples(), 7).predict_rows(frame)
        assert ((found > 0.0) & (found < 1.0)).all()


def test_a_curve_of_scores_that_part_the_classes_gives_no_certainty() -> None:
    raw, label = np.r_[np.full(20, -1.0), np.full(20, 1.0)], np.r_[np.zeros(20), np.ones(20)]
    slope, intercept = fit_curve(raw, label)
    low, high = sigmoid(slope * np.array([-1.0, 1.0]) + intercept)
    assert (low, high) == pytest.approx((1 / 22, 21 / 22), abs=1e-3), "Platt's own targets"
    assert fit_curve(-raw, label)[0] == 0.0

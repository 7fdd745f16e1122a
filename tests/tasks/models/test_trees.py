"""Trees of LightGBM, scikit-learn and Spark: the exported nodes predict as the library."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tasks import columns as c
from tasks.errors import ModelError
from tasks.models.base import Examples
from tasks.models.trees import GradientBoosting, RandomForest, SparkGradientBoosting, _Nodes
from tasks.settings import ROOT
from tests.tasks.models.checkerboard import rows

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
from tests.contracts.cases import Case
from tests.tasks.models.checkerboard import rare_rows

CASES = {
    "random_forest": Case(small={"trees": 8}),
    "gradient_boosting": Case(small={"trees": 20}),
    "spark_gradient_boosting": Case(small={"trees": 3, "depth": 2}),
}


def test_margins_of_the_library_are_compared() -> None:
    """The check inside `fit` compares margins of all rows, which vary."""
    frame = rows()
    values = np.nan_to_num(frame[["mean radius", "mean texture", "worst area"]].to_numpy())
    target = frame[c.TARGET].to_numpy()
    for spec in (GradientBoosting(trees=20), RandomForest(trees=10, depth=4)):
        learned = spec.learn(values, target, np.ones(len(target)), 7)
        assert learned.own_margins is not None
        assert len(learned.arrays["roots"]) == spec.trees
        assert len(np.unique(learned.own_margins(values).round(6))) > 10


def test_trees_of_spark_predict_as_spark(spark: SparkSession) -> None:
    frame = rare_rows()
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


@pytest.mark.jvm
def test_training_creates_a_spark_session() -> None:
    """As in a task of Airflow, in which the model is the first to need Spark."""
    script = (
        "import numpy as np; from tasks.models.trees import SparkGradientBoosting;"
        "values = np.arange(40.0).reshape(-1, 1); target = (values[:, 0] > 19).astype(np.int64);"
        "print(len(SparkGradientBoosting(trees=1, depth=1).learn(values, target, np.ones(40), 7).arrays['roots']))"
    )
    words = [sys.executable, "-c", script]
    result = subprocess.run(words, check=False, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert result.stdout.strip() == "1", result.stderr[-2000:]


def test_unknown_lines_of_trees_are_refused() -> None:
    with pytest.raises(ModelError, match=r"expected a line of a tree .*, got 'If \(feature 0 in"):
        _Nodes().add_text(iter(["  If (feature 0 in {1.0})", "   Predict: 0.1"]), 1.0)

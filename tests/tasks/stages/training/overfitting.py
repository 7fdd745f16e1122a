"""A model that overfits, and the end of its learning curve beside those of other kinds. Tests and a benchmark use it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.contracts.base import TaskKind
from tasks.contracts.training import ScoringTerms
from tasks.models import MODELS
from tasks.models.base import Examples, ModelSpec, ServedModel
from tasks.models.tabular import feature_columns
from tasks.stages.training.learning import measure

SEED = 7


def breast_cancer() -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Rows of scikit-learn's data set, and whether each is malignant."""
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer(as_frame=True)
    names = {c.TARGET: 1 - found.target, c.ROW_ID: [f"r{row:03d}" for row in range(len(found.data))]}
    return found.data.assign(**names), (1 - found.target).to_numpy()


class RawSvm(ModelSpec):
    """A Gaussian kernel on unscaled columns, where the column with the widest range alone decides which rows are similar."""

    tasks = frozenset({TaskKind.CLASSIFICATION})
    kind: Literal["raw_svm"] = "raw_svm"

    def fit(self, train: Examples, history: Examples, seed: int) -> ServedModel:
        from sklearn.svm import SVC

        assert train.rows is not None
        names = feature_columns(train.rows)
        machine = SVC(gamma="auto").fit(train.rows[list(names)], train.rows[c.TARGET])
        return FunctionModel(lambda rows: machine.predict(rows[list(names)]).astype(np.float64))


class FunctionModel(ServedModel):
    """Predicts by a function. It cannot be exported."""

    kind = "function"

    def __init__(self, predict: Callable[[pd.DataFrame], Floats]) -> None:
        self.predict = predict

    def predict_rows(self, rows: pd.DataFrame) -> Floats:
        return self.predict(rows)

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return {}, {}

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> FunctionModel:
        raise NotImplementedError("it has no state")


def find_overfitting(kinds: Sequence[str]) -> dict[str, dict[str, float]]:
    """kind -> accuracy on the fitted rows, accuracy on a fifth of breast cancer kept apart, and 1 if the curve is flagged."""
    from sklearn.model_selection import train_test_split

    rows, target = breast_cancer()
    learn, find = train_test_split(np.arange(len(rows)), test_size=0.2, stratify=target, random_state=SEED)
    table = {}
    for spec in (RawSvm(), *(MODELS.parse({"kind": kind}, "test") for kind in kinds)):
        parts = (Examples(rows=rows.iloc[learn]), Examples(rows=rows.iloc[find]))
        terms = ScoringTerms(use_case="test", task=TaskKind.CLASSIFICATION, metrics=("accuracy",))
        curve = measure(spec, *parts, terms, seed=SEED, budget_seconds=60.0)
        last = curve.points[-1]
        table[spec.kind] = {
            "accuracy_fitted": float(last.fitted or 0.0),
            "accuracy": last.validation,
            "flagged": float(curve.is_overfitting),
        }
    return table

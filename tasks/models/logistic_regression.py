"""Logistic regression on standardised columns, by scikit-learn; served as three vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from numpy.typing import NDArray
from pydantic import Field

from tasks.contracts import TaskKind
from tasks.models.base import Examples, Floats, ModelSpec, ServedModel
from tasks.models.prepared import read_numbers, sigmoid
from tasks.models.tabular import column_means, fill, read_training_rows

if TYPE_CHECKING:
    import pandas as pd


class LogisticRegressionSpec(ModelSpec):
    """L2-regularised; `regularization` is the inverse of scikit-learn's C."""

    tasks = frozenset({TaskKind.CLASSIFICATION})
    kind: Literal["logistic_regression"] = "logistic_regression"
    regularization: float = Field(1.0, gt=0.0, le=1e6)

    def fit(self, train: Examples, history: Examples, seed: int) -> ServedModel:
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler
        from threadpoolctl import threadpool_limits

        names, values, target = read_training_rows(train)
        means = column_means(values)
        with threadpool_limits(1):  # sums in one order: the same bits on every machine of a kind
            scaler = StandardScaler().fit(fill(values, means))
            regression = LogisticRegression(C=1.0 / self.regularization, max_iter=2000)
            regression.fit(scaler.transform(fill(values, means)), target)
        weights = regression.coef_[0] / scaler.scale_
        return LogisticRegressionModel(names, means, weights, float(regression.intercept_[0] - weights @ scaler.mean_))


class LogisticRegressionModel(ServedModel):
    """probability = sigmoid(weights . row + intercept), the columns found by name."""

    kind = "logistic_regression"

    def __init__(self, names: tuple[str, ...], means: Floats, weights: Floats, intercept: float) -> None:
        self.names, self.means, self.weights, self.intercept = names, means, weights, intercept

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        settings = {"names": list(self.names), "intercept": self.intercept}
        return settings, {"means": self.means, "weights": self.weights}

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        return cls(tuple(settings["names"]), arrays["means"], arrays["weights"], float(settings["intercept"]))

    def predict_rows(self, rows: pd.DataFrame) -> Floats:
        return self._predict(read_numbers(rows, self.names, "logistic_regression"))

    def predict_values(self, values: Floats, names: tuple[str, ...]) -> Floats:
        return self._predict(values) if names == self.names else super().predict_values(values, names)

    def _predict(self, values: Floats) -> Floats:
        return sigmoid(fill(values, self.means) @ self.weights + self.intercept)

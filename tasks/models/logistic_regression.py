"""Logistic regression on standardised columns, by scikit-learn; served as three vectors and, if any, its steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.contracts.arrays import Floats
from tasks.contracts.base import TaskKind
from tasks.models.base import Examples, ServedModel, WarmStart
from tasks.models.encoding import Encoding
from tasks.models.platt import sigmoid
from tasks.models.steps import SteppedSpec, Steps
from tasks.models.tabular import column_means, feature_columns, fill, read_training_rows

if TYPE_CHECKING:
    import pandas as pd


class LogisticRegressionModel(ServedModel):
    """probability = sigmoid(weights . row + intercept), after the steps if there are any.

    means and weights : (outputs,), of the encoded columns or of the outputs of the steps.
    """

    kind = "logistic_regression"

    def __init__(
        self,
        encoding: Encoding,
        means: Floats,
        weights: Floats,
        intercept: float,
        scale: tuple[Floats, Floats] | None = None,
        steps: Steps | None = None,
    ) -> None:
        self.encoding, self.means, self.weights, self.intercept = encoding, means, weights, intercept
        self.scale, self.steps = scale, steps

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        settings = {**self.encoding.to_json(), "intercept": self.intercept}
        arrays: dict[str, NDArray[Any]] = {"means": self.means, "weights": self.weights}
        if self.steps is not None and self.scale is not None:
            arrays |= {"centre": self.scale[0], "spread": self.scale[1], **self.steps.state()}
        return settings, arrays

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        scale = (arrays["centre"], arrays["spread"]) if "centre" in arrays else None
        own = Encoding.from_json(settings), arrays["means"], arrays["weights"], float(settings["intercept"])
        return cls(*own, scale, Steps.from_state(arrays))

    def predict_rows(self, rows: pd.DataFrame) -> Floats:
        return self._predict(self.encoding.read(rows, self.kind))

    def predict_values(self, values: Floats, names: tuple[str, ...]) -> Floats:
        if names != self.encoding.names or self.encoding.encoders:
            return super().predict_values(values, names)
        if len(values) == 1 and self.steps is None:  # the most frequent request: NumPy's calls cost more than the arithmetic
            logit = float(values[0] @ self.weights) + self.intercept
            if math.isfinite(logit):  # then all values are finite
                return np.array([1.0 / (1.0 + math.exp(-min(max(logit, -500.0), 500.0)))])
        return self._predict(values)

    def linear_weights(self) -> Floats | None:
        return self.weights if self.steps is None else None

    def _predict(self, values: Floats) -> Floats:
        values = fill(values, self.means)
        if self.steps is not None and self.scale is not None:
            values = self.steps.apply((values - self.scale[0]) / self.scale[1])
        return sigmoid(values @ self.weights + self.intercept)


class LogisticRegressionSpec(WarmStart, SteppedSpec):
    """Logistic regression with L2 penalty by scikit-learn.

    `regularization` is the inverse of scikit-learn's C.
    """

    tasks = frozenset({TaskKind.CLASSIFICATION})
    kind: Literal["logistic_regression"] = "logistic_regression"
    served = LogisticRegressionModel
    regularization: float = Field(1.0, gt=0.0, le=1e6)

    def warm_start_problem(self, champion: ServedModel, train: Examples, history: Examples) -> str:
        if not isinstance(champion, LogisticRegressionModel) or train.rows is None:
            return "the champion is not a logistic regression of rows"
        if self.has_steps or champion.steps is not None:
            return "its steps are learned again, so that the old weights belong to other columns"
        encoding = Encoding.learn(train.rows, feature_columns(train.rows), train.kinds)
        return "" if champion.encoding == encoding else "the champion has other columns or other encoded values"

    def fit_from(self, champion: ServedModel, train: Examples, history: Examples, seed: int) -> ServedModel:
        """To the same optimum in fewer iterations, within scikit-learn's tolerance."""
        return self._fit(train, champion)

    def fit(self, train: Examples, history: Examples, seed: int) -> ServedModel:
        return self._fit(train, None)

    def _fit(self, train: Examples, champion: ServedModel | None) -> ServedModel:
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler
        from threadpoolctl import threadpool_limits

        encoding, values, target = read_training_rows(train)
        means = column_means(values)
        with threadpool_limits(1):  # sums in one order, for the same bits
            scaler = StandardScaler().fit(fill(values, means))
            scaled = scaler.transform(fill(values, means))
            steps = self.learn_steps(scaled, target)
            regression = LogisticRegression(C=1.0 / self.regularization, max_iter=2000, warm_start=champion is not None)
            if isinstance(champion, LogisticRegressionModel):
                regression.coef_ = (champion.weights * scaler.scale_)[None, :]
                regression.intercept_ = np.array([champion.intercept + champion.weights @ scaler.mean_])
            regression.fit(scaled if steps is None else steps.apply(scaled), target)
        coefficients, intercept = regression.coef_[0], float(regression.intercept_[0])
        if steps is None:
            weights = coefficients / scaler.scale_
            return LogisticRegressionModel(encoding, means, weights, float(intercept - weights @ scaler.mean_))
        return LogisticRegressionModel(encoding, means, coefficients, intercept, (scaler.mean_, scaler.scale_), steps)

"""Raw scores -> probabilities by a logistic curve (Platt 1999), which the activity of a user may shift."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from tasks.contracts.arrays import Floats

CASES_PER_WEIGHT = 10  # of each class, for each weight of a curve (Peduzzi and others 1996); with fewer, activity is left out


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-x)) of each value, without overflow; same shape as `logits`."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -500.0, 500.0))), dtype=np.float64)


@dataclass(frozen=True)
class Calibration:
    """probability = sigmoid(slope * raw + intercept + sum over columns of weight * (log(1 + value) - centre)).

    The shift is the same for all items of a user, so that it never changes the order of a list.

    activity : column of the users' features -> its weight and centre.
    """

    slope: float
    intercept: float
    activity: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As stored in an export."""
        activity = {column: list(pair) for column, pair in self.activity.items()}
        return {"slope": self.slope, "intercept": self.intercept, "activity": activity}

    @classmethod
    def from_json(cls, stored: dict[str, Any] | list[float]) -> Self:
        """The inverse of `to_json`. Exports of earlier versions hold slope and intercept as a list."""
        if isinstance(stored, list):
            return cls(stored[0], stored[1])
        activity = {column: (float(weight), float(centre)) for column, (weight, centre) in stored["activity"].items()}
        return cls(stored["slope"], stored["intercept"], activity)


def fit_curve(raw: Floats, label: Floats) -> tuple[float, float]:
    """Slope and intercept of sigmoid(slope * raw + intercept), fitted to scores of rows that the model did not learn from.

    The labels count as (positives + 1) / (positives + 2) and 1 / (negatives + 2), as in Platt's paper: scores that part the
    classes perfectly still give no certainty. If the scores have no information (one class only, all equal, or higher scores
    with fewer positives), the curve is flat at the share of the label, with one more of each class.

    Parameters
    ----------
    raw : (rows,), scores.
    label : (rows,), 1.0 for class 1, else 0.0.
    """
    positives, rows = float(label.sum()), len(label)
    share = (positives + 1.0) / (rows + 2.0)
    flat = (0.0, float(np.log(share / (1.0 - share))))
    if not 0.0 < positives < rows or float(raw.std()) < 1e-12:
        return flat
    (slope,), intercept = _fit_logistic(raw[:, None], label)
    return (slope, intercept) if slope > 0.0 else flat


def fit_calibration(raw: Floats, label: Floats, activity: Mapping[str, Floats]) -> Calibration:
    """The curve of `fit_curve`, shifted by the activity of the users where there are enough rows of both classes.

    Parameters
    ----------
    raw : (rows,), scores.
    label : (rows,), 1.0 for class 1, else 0.0.
    activity : column -> log(1 + value) of the user of each row, (rows,); NaN where it is unknown, which counts as the mean.
    """
    slope, intercept = fit_curve(raw, label)
    known = {column: values[np.isfinite(values)] for column, values in activity.items()}
    centres = {column: float(values.mean()) for column, values in known.items() if len(values) and values.std() > 1e-12}
    if not centres or min(label.sum(), len(label) - label.sum()) < CASES_PER_WEIGHT * (1 + len(centres)):
        return Calibration(slope, intercept)
    shifts = [np.where(np.isfinite(activity[column]), activity[column] - centre, 0.0) for column, centre in centres.items()]
    scores = [raw] if slope > 0.0 else []
    weights, intercept = _fit_logistic(np.column_stack([*scores, *shifts]), label)
    if scores and weights[0] <= 0.0:  # among users of equal activity the scores say nothing
        scores = []
        weights, intercept = _fit_logistic(np.column_stack(shifts), label)
    slope = weights[0] if scores else 0.0
    pairs = zip(centres.items(), weights[len(scores) :], strict=True)
    return Calibration(slope, intercept, {column: (weight, centre) for (column, centre), weight in pairs})


def _fit_logistic(values: Floats, label: Floats) -> tuple[list[float], float]:
    """Weights and intercept of a logistic regression on values (rows, columns), with Platt's labels."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    positives, rows = float(label.sum()), len(label)
    centre, spread = values.mean(axis=0), values.std(axis=0)
    hoped = np.where(label > 0.5, (positives + 1.0) / (positives + 2.0), 1.0 / (rows - positives + 2.0))
    scaled = (values - centre) / spread
    with threadpool_limits(1):
        curve = LogisticRegression(C=1e6).fit(
            np.concatenate([scaled, scaled]), np.repeat([1, 0], rows), sample_weight=np.r_[hoped, 1.0 - hoped]
        )
    weights = curve.coef_[0] / spread
    return weights.tolist(), float(curve.intercept_[0] - weights @ centre)

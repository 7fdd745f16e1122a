"""Calibration: raw scores -> probabilities, by one logistic curve (Platt 1999), on data that the model did not learn from."""

from __future__ import annotations

import numpy as np

from tasks import columns as c
from tasks.contracts import TaskKind
from tasks.metrics import score_model
from tasks.models.base import Examples, Floats, ServedModel


def calibrate(model: ServedModel, validation: Examples, k: int, exclude_seen: bool = False) -> ServedModel:
    """Set the model's `calibration` by its top `k` items for each validation user; the model comes back.

    The users are those who bought anything in the window, as in `calibration_error`: the probability is that of a customer
    who comes to buy. Ranking is not changed, as the curve only ever rises or is flat.
    """
    model.calibration = None
    lists = score_model(model, validation, TaskKind.PROPENSITY, (), k, exclude_seen).predictions
    model.calibration = fit_curve(lists[c.RAW_SCORE].to_numpy(np.float64), lists[c.LABEL].to_numpy(np.float64))
    return model


def fit_curve(raw: Floats, label: Floats) -> tuple[float, float]:
    """Slope and intercept of sigmoid(slope * raw + intercept).

    Where the scores tell nothing (one class only, all equal, or the better the score the rarer the label), the curve is
    flat at the share of the label, with one more of each class so that it is neither 0 nor 1.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    share = (label.sum() + 1.0) / (len(label) + 2.0)
    flat = (0.0, float(np.log(share / (1.0 - share))))
    spread = float(raw.std()) if len(raw) else 0.0
    if not 0.0 < label.sum() < len(label) or spread < 1e-12:
        return flat
    centre = float(raw.mean())
    with threadpool_limits(1):
        curve = LogisticRegression(C=1e6).fit(((raw - centre) / spread)[:, None], label)
    slope = float(curve.coef_[0, 0]) / spread
    return (slope, float(curve.intercept_[0]) - slope * centre) if slope > 0.0 else flat

"""Calibration: raw scores -> probabilities, by one logistic curve (Platt 1999), on data that the model did not learn from."""

from __future__ import annotations

import numpy as np

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.metrics import score_model
from tasks.models.base import Examples, ServedModel
from tasks.models.platt import fit_curve

__all__ = ["calibrate", "fit_curve"]


def calibrate(model: ServedModel, validation: Examples, k: int, exclude_seen: bool = False) -> ServedModel:
    """Set the model's `calibration` by its top `k` items for each validation user; the model comes back.

    The users are those who bought anything in the window, as in `calibration_error`: the probability is that of a customer
    who comes to buy. Ranking is not changed, as the curve only ever rises or is flat.
    """
    model.calibration = None
    lists = score_model(model, validation, TaskKind.PROPENSITY, (), k, exclude_seen).predictions
    model.calibration = fit_curve(lists[c.RAW_SCORE].to_numpy(np.float64), lists[c.LABEL].to_numpy(np.float64))
    return model

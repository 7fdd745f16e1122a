"""Calibration: raw scores -> probabilities, by one logistic curve (Platt 1999), on data that the model did not learn from."""

from __future__ import annotations

import numpy as np

from tasks import columns as c
from tasks.contracts.training import ScoringTerms
from tasks.metrics.scoring import read_interactions, score_lists
from tasks.models.base import Examples, ServedModel
from tasks.models.platt import fit_curve


def calibrate_lists(model: ServedModel, validation: Examples, terms: ScoringTerms) -> None:
    """Set the model's `calibration` by its top `terms.k` items for each validation user.

    The users are those who bought anything in the window, as in `calibration_error`: the probability is that of a customer
    who comes to buy. The order of a list does not change, because the curve rises or is flat.
    """
    model.calibration = None
    features, labels = read_interactions(validation)
    lists = score_lists(model, features, labels, (), k=terms.k, exclude_seen=terms.exclude_seen).predictions
    model.calibration = fit_curve(lists[c.RAW_SCORE].to_numpy(np.float64), lists[c.LABEL].to_numpy(np.float64))

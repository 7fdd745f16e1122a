"""Calibration: raw scores of lists -> probabilities (Platt 1999), on data that the model did not learn from."""

from __future__ import annotations

import numpy as np

from tasks import columns as c
from tasks.contracts.training import ProbabilityOf, ScoringTerms
from tasks.metrics.scoring import read_interactions, score_lists
from tasks.models.base import Examples, ServedModel
from tasks.models.platt import fit_calibration

ACTIVITY = ("user_recency_days", "user_items")  # of the users' features: how long ago a user came, how much they met


def calibrate_lists(model: ServedModel, validation: Examples, terms: ScoringTerms) -> None:
    """Set the model's `calibration` by its top `terms.k` items for each user of `terms.probability_of`.

    Of all known users, who buys nothing counts with zeros, and who has not come for long seldom comes: their activity shifts
    the curve. The order of a list does not change, because the curve rises or is flat and the shift is one for a whole list.
    """
    model.calibration = None
    features, labels = read_interactions(validation)
    lists = score_lists(model, features, labels, (), terms).promised.predictions
    raw, label = (lists[name].to_numpy(np.float64) for name in (c.RAW_SCORE, c.LABEL))
    activity = {}
    if terms.probability_of is ProbabilityOf.ALL_KNOWN_USERS:
        rows = lists[c.USER_ID].map(features.user_row).to_numpy(np.intp)
        activity = {column: features.user_logs(column)[rows] for column in ACTIVITY if column in features.users}
    model.calibration = fit_calibration(raw, label, activity)

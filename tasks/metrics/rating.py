"""Metrics of predicted ratings, one function each: the loss of every pair, where a user's part is the sum of its pairs', or
all pairs together, one value for each row of weights (resamples, pairs)."""

from __future__ import annotations

import numpy as np

from tasks.contracts.arrays import Floats


def squared_error(prediction: Floats, label: Floats) -> Floats:
    """(prediction - label)^2; its mean over all pairs under the root is `rmse`. NaN where there is no prediction."""
    return np.asarray((prediction - label) ** 2)


def absolute_error(prediction: Floats, label: Floats) -> Floats:
    """|prediction - label|; its mean over all pairs is `mae`. NaN where there is no prediction."""
    return np.abs(prediction - label)


def r2(prediction: Floats, label: Floats, weights: Floats) -> Floats:
    """1 - sum of (label - prediction)^2 / sum of (label - mean label)^2: the share of the variance that is explained.

    At most 1, 0 for the mean everywhere, without bound below. NaN where all labels are equal.
    """
    mass = weights.sum(axis=1)
    mean = np.divide(weights @ label, mass, out=np.full(len(weights), np.nan), where=mass > 0)
    total = np.maximum(weights @ (label**2) - mass * mean**2, 0.0)
    spread = np.ptp(label) if len(label) else 0.0
    is_flat = ~(total > 1e-12 * mass * spread**2)
    left = weights @ ((label - prediction) ** 2)
    explained: Floats = 1.0 - np.divide(left, total, out=np.full(len(weights), np.nan), where=~is_flat)
    return explained

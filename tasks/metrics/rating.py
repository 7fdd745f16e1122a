"""Metrics of predicted ratings, one function each: the loss of every pair. A user's part is the sum of its pairs'."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def squared_error(prediction: Floats, label: Floats) -> Floats:
    """(prediction - label)^2; its mean over all pairs under the root is `rmse`. NaN where there is no prediction."""
    return np.asarray((prediction - label) ** 2)


def absolute_error(prediction: Floats, label: Floats) -> Floats:
    """|prediction - label|; its mean over all pairs is `mae`. NaN where there is no prediction."""
    return np.abs(prediction - label)

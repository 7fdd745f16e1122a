"""Metrics of predicted ratings.

The losses return one value for each pair of a user and an item; a user's part is the sum over the pairs of this user. `r2`
needs all pairs together and returns one value for each row of weights.
"""

from __future__ import annotations

import numpy as np

from tasks.contracts.arrays import Floats
from tasks.metrics.families import RATINGS, Shape, metric


@metric("rmse", Shape.PAIRS, tasks=RATINGS, greater_is_better=False, unit="rating", root=True)
def squared_error(prediction: Floats, label: Floats) -> Floats:
    """(prediction - label)^2. The root of its mean over all pairs is `rmse`.

    Parameters
    ----------
    prediction : (pairs,), predicted ratings. The loss is NaN where the prediction is NaN.
    label : (pairs,), given ratings.

    Examples
    --------
    >>> squared_error(np.array([4.0, 1.0]), np.array([5.0, 3.0]))
    array([1., 4.])
    """
    return np.asarray((prediction - label) ** 2)


@metric("mae", Shape.PAIRS, tasks=RATINGS, greater_is_better=False, unit="rating")
def absolute_error(prediction: Floats, label: Floats) -> Floats:
    """|prediction - label|. Its mean over all pairs is `mae`.

    Parameters
    ----------
    prediction : (pairs,), predicted ratings. The loss is NaN where the prediction is NaN.
    label : (pairs,), given ratings.

    Examples
    --------
    >>> absolute_error(np.array([4.0, 1.0]), np.array([5.0, 3.0]))
    array([1., 2.])
    """
    return np.abs(prediction - label)


def r2_influence(prediction: Floats, label: Floats) -> Floats:
    """Of each pair: n times the derivative of R2 by its weight. NaN if all labels are equal.

    Parameters
    ----------
    prediction : (pairs,), predicted ratings.
    label : (pairs,), given ratings.

    Returns
    -------
    (pairs,), with mean 0.

    Examples
    --------
    >>> r2_influence(np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 3.0]))
    array([ 0.75,  0.  , -0.75])
    """
    spread, losses = (label - label.mean()) ** 2, (label - prediction) ** 2
    if not spread.sum() > 1e-12 * np.ptp(label) ** 2:
        return np.full(len(label), np.nan)
    left = losses.sum() / spread.sum()
    influence: Floats = (left * spread - losses) / spread.mean()
    return influence


@metric("r2", Shape.WHOLE, tasks=RATINGS, greater_is_better=True, influence=r2_influence)
def r2(prediction: Floats, label: Floats, weights: Floats) -> Floats:
    """1 - sum of (label - prediction)^2 / sum of (label - mean label)^2: the share of the variance that is explained.

    At most 1, 0 for the mean everywhere, without a lower bound. NaN if all labels are equal.

    Parameters
    ----------
    prediction : (pairs,), predicted ratings.
    label : (pairs,), given ratings.
    weights : (resamples, pairs), how often each pair counts in each resample.

    Returns
    -------
    (resamples,)

    Examples
    --------
    >>> r2(np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 3.0]), np.ones((1, 3)))
    array([0.5])
    """
    mass = weights.sum(axis=1)
    mean = np.divide(weights @ label, mass, out=np.full(len(weights), np.nan), where=mass > 0)
    total = np.maximum(weights @ (label**2) - mass * mean**2, 0.0)
    spread = np.ptp(label) if len(label) else 0.0
    is_flat = ~(total > 1e-12 * mass * spread**2)
    left = weights @ ((label - prediction) ** 2)
    explained: Floats = 1.0 - np.divide(left, total, out=np.full(len(weights), np.nan), where=~is_flat)
    return explained

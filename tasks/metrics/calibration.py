"""Tenths of rising predictions: the one definition of the bins of calibration errors, curves and plots."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS = 10


def group_ties(scores: NDArray[np.float64]) -> tuple[NDArray[np.intp] | None, NDArray[np.intp]]:
    """The order of rising scores, and where each group of equal scores starts in it.

    Parameters
    ----------
    scores : (rows,)

    Returns
    -------
    order : (rows,), or None where there is no score, or one that is not finite.
    starts : (groups,), places in `order`.
    """
    if not len(scores) or not np.isfinite(scores).all():
        return None, np.zeros(0, dtype=np.intp)
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    return order, np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])


def bin_groups(mass: NDArray[np.float64]) -> NDArray[np.intp]:
    """The tenth of each group of equal predictions, by the middle of its mass: a group is never divided.

    Parameters
    ----------
    mass : (..., groups), the weight of each group, in the order of rising predictions.

    Returns
    -------
    (..., groups), from 0 to 9.
    """
    middle = (np.cumsum(mass, axis=-1) - 0.5 * mass) / mass.sum(axis=-1, keepdims=True)
    bins: NDArray[np.intp] = np.minimum((middle * BINS).astype(np.intp), BINS - 1)
    return bins


def bin_rows(predictions: NDArray[np.float64]) -> NDArray[np.intp]:
    """The tenth of each prediction, (rows,) from 0 to 9; equal predictions share one. All predictions must be finite."""
    order, starts = group_ties(predictions)
    if order is None:
        return np.zeros(len(predictions), dtype=np.intp)
    sizes = np.diff(np.r_[starts, len(order)])
    bins = np.empty(len(order), dtype=np.intp)
    bins[order] = np.repeat(bin_groups(sizes.astype(np.float64)), sizes)
    return bins

"""Metrics of predicted probabilities of class 1.

Two shapes. The first group gives each row a part and a weight, and the metric is sum of parts / sum of weights (0 where
no row has weight, as scikit-learn's `zero_division=0`). The second group needs all rows at once: it takes weights of
shape (resamples, rows) and gives one value per resample, without a loop over them. A row counts as predicted positive
from 0.5 on.
"""

from __future__ import annotations

import numpy as np

from tasks.contracts.arrays import Floats
from tasks.metrics.calibration import BINS, bin_groups, group_ties

Parts = tuple[Floats, Floats]


def accuracy(prediction: Floats, label: Floats) -> Parts:
    """Rows whose predicted class is theirs / rows."""
    return ((prediction >= 0.5) == (label > 0.5)).astype(np.float64), np.ones_like(label)


def precision(prediction: Floats, label: Floats) -> Parts:
    """True positives / predicted positives; 0 if nothing is predicted positive."""
    positive = (prediction >= 0.5).astype(np.float64)
    return positive * label, positive


def recall(prediction: Floats, label: Floats) -> Parts:
    """True positives / positives; 0 if there are no positives."""
    return (prediction >= 0.5) * label, label


def f1(prediction: Floats, label: Floats) -> Parts:
    """2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall; 0 if all three are 0."""
    positive = (prediction >= 0.5).astype(np.float64)
    return 2.0 * positive * label, positive + label


def log_loss(prediction: Floats, label: Floats) -> Parts:
    """-mean(y ln p + (1 - y) ln(1 - p)); p is kept off 0 and 1 by the float's epsilon, so a sure error costs 36."""
    epsilon = np.finfo(np.float64).eps
    p = np.clip(prediction, epsilon, 1.0 - epsilon)
    return -(label * np.log(p) + (1.0 - label) * np.log1p(-p)), np.ones_like(label)


def brier(prediction: Floats, label: Floats) -> Parts:
    """mean((p - y)^2), between 0 and 1; 0.25 for an answer of 0.5 everywhere."""
    return np.asarray((prediction - label) ** 2), np.ones_like(label)


def roc_auc(prediction: Floats, label: Floats, weights: Floats) -> Floats:
    """P(a positive scores above a negative), a tie counting half. NaN without both classes, or with a NaN prediction."""
    if not len(prediction) or not np.isfinite(prediction).all():
        return np.full(len(weights), np.nan)
    order = np.argsort(prediction, kind="stable")
    positives, negatives = order[label[order] > 0.5], order[label[order] <= 0.5]
    below = np.zeros((len(weights), len(negatives) + 1))  # the mass of the first so many negatives
    np.cumsum(weights[:, negatives], axis=1, out=below[:, 1:])
    positive = weights[:, positives]
    first, last = (np.searchsorted(prediction[negatives], prediction[positives], side) for side in ("left", "right"))
    beaten = below[:, first] if (first == last).all() else 0.5 * (below[:, first] + below[:, last])
    wins = np.einsum("rp,rp->r", positive, beaten)
    return _ratio(wins, positive.sum(axis=1) * below[:, -1])


def placements(prediction: Floats, label: Floats) -> Floats:
    """Of each positive the share of the negatives below it, of each negative the share of the positives above it.

    A tie counts half. The mean over either class is the ROC-AUC; both classes must be there.
    """
    placed = np.empty(len(prediction))
    positive = label > 0.5
    for own, sign in ((positive, 1.0), (~positive, -1.0)):
        others = np.sort(sign * prediction[~own])
        first, last = (np.searchsorted(others, sign * prediction[own], side) for side in ("left", "right"))
        placed[own] = 0.5 * (first + last) / len(others)
    return placed


def pr_auc(prediction: Floats, label: Floats, weights: Floats) -> Floats:
    """Average precision: sum over thresholds of (recall gained) x precision, without interpolation. NaN as `roc_auc`."""
    order, starts = group_ties(-prediction)
    if order is None:
        return np.full(len(weights), np.nan)
    found = np.add.reduceat(weights[:, order] * label[order], starts, axis=1)
    taken = np.cumsum(np.add.reduceat(weights[:, order], starts, axis=1), axis=1)
    at_threshold = np.divide(np.cumsum(found, axis=1), taken, out=np.zeros_like(taken), where=taken > 0)
    return _ratio((found * at_threshold).sum(axis=1), found.sum(axis=1))


def gain_at_top_decile(prediction: Floats, label: Floats, weights: Floats) -> Floats:
    """Of all positives the share among the tenth of the rows with the highest scores: 0.1 by chance, at most 1.

    Rows with equal scores at the border count in part, as if drawn among each other. NaN as `roc_auc`.
    """
    order, starts = group_ties(-prediction)
    if order is None:
        return np.full(len(weights), np.nan)
    mass = np.add.reduceat(weights[:, order], starts, axis=1)
    found = np.add.reduceat(weights[:, order] * label[order], starts, axis=1)
    wanted = 0.1 * mass.sum(axis=1, keepdims=True)
    taken = np.clip(wanted - (np.cumsum(mass, axis=1) - mass), 0.0, mass)
    share = np.divide(taken, mass, out=np.zeros_like(mass), where=mass > 0)
    return _ratio((share * found).sum(axis=1), found.sum(axis=1))


def calibration_error(prediction: Floats, label: Floats, weights: Floats) -> Floats:
    """Expected calibration error: sum over ten bins of equal mass of |mean prediction - mean label| x share of the mass.

    Equal predictions always share a bin, so that a constant answer costs exactly its distance from the base rate.
    """
    gap, mass = _by_bin(prediction, label, weights)
    return _ratio(np.abs(gap).sum(axis=1), mass.sum(axis=1))


def squared_calibration_error(prediction: Floats, label: Floats, weights: Floats) -> Floats:
    """The same with squares, the reliability term of the Brier score (Murphy 1973): its bias in a sample is known.

    At least the square of `calibration_error`.
    """
    gap, mass = _by_bin(prediction, label, weights)
    return _ratio(np.divide(gap**2, mass, out=np.zeros_like(gap), where=mass > 0).sum(axis=1), mass.sum(axis=1))


def _by_bin(prediction: Floats, label: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Sum of prediction - label, and the mass, of ten bins of equal mass, both (resamples, 10); no mass without numbers."""
    order, starts = group_ties(prediction)
    if order is None:
        return np.zeros((len(weights), BINS)), np.zeros((len(weights), BINS))
    ordered = weights[:, order]
    mass = np.add.reduceat(ordered, starts, axis=1)
    gap = np.add.reduceat(ordered * (prediction - label)[order], starts, axis=1)
    bins = bin_groups(mass)
    cells = (bins + BINS * np.arange(len(weights))[:, None]).ravel()
    summed = [np.bincount(cells, values.ravel(), BINS * len(weights)).astype(np.float64) for values in (gap, mass)]
    return summed[0].reshape(-1, BINS), summed[1].reshape(-1, BINS)


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    ratio: Floats = np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)
    return ratio

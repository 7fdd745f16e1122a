"""Metrics of predicted probabilities of class 1.

Two shapes. The first group returns a part and a weight for each row; the metric is the sum of parts / the sum of weights, and
0 if no row has weight (scikit-learn's `zero_division=0`). The second group needs all rows together: it receives weights of
shape (resamples, rows) and returns one value for each resample, without a loop over them. Metrics of classes receive the class
that the model tells: 1 from its own threshold on (`ServedModel.class_threshold`).
"""

from __future__ import annotations

import numpy as np

from tasks.contracts.arrays import Floats
from tasks.metrics.calibration import BINS, bin_groups, group_ties
from tasks.metrics.families import PROBABILITIES, ROWS, Shape, metric

Parts = tuple[Floats, Floats]


@metric("accuracy", Shape.CLASSES, tasks=ROWS, greater_is_better=True)
def accuracy(chosen: Floats, label: Floats) -> Parts:
    """Rows whose predicted class is their class / rows.

    Parameters
    ----------
    chosen : (rows,), predicted classes: 1.0 for class 1, else 0.0.
    label : (rows,), 1.0 for class 1, else 0.0.

    Returns
    -------
    Parts (rows,) and weights (rows,).

    Examples
    --------
    >>> parts, weights = accuracy(np.array([1.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0]))
    >>> round(float(parts.sum() / weights.sum()), 4)
    0.6667
    """
    return ((chosen > 0.5) == (label > 0.5)).astype(np.float64), np.ones_like(label)


@metric("precision", Shape.CLASSES, tasks=ROWS, greater_is_better=True)
def precision(chosen: Floats, label: Floats) -> Parts:
    """True positives / predicted positives; 0 if nothing is predicted positive.

    Parameters
    ----------
    chosen : (rows,), predicted classes: 1.0 for class 1, else 0.0.
    label : (rows,), 1.0 for class 1, else 0.0.

    Returns
    -------
    Parts (rows,) and weights (rows,).

    Examples
    --------
    >>> parts, weights = precision(np.array([1.0, 0.0, 1.0]), np.array([1.0, 1.0, 0.0]))
    >>> float(parts.sum() / weights.sum())
    0.5
    """
    positive = (chosen > 0.5).astype(np.float64)
    return positive * label, positive


@metric("recall", Shape.CLASSES, tasks=ROWS, greater_is_better=True)
def recall(chosen: Floats, label: Floats) -> Parts:
    """True positives / positives; 0 if there are no positives.

    Parameters
    ----------
    chosen : (rows,), predicted classes: 1.0 for class 1, else 0.0.
    label : (rows,), 1.0 for class 1, else 0.0.

    Returns
    -------
    Parts (rows,) and weights (rows,).

    Examples
    --------
    >>> parts, weights = recall(np.array([1.0, 0.0, 1.0]), np.array([1.0, 1.0, 0.0]))
    >>> float(parts.sum() / weights.sum())
    0.5
    """
    return (chosen > 0.5) * label, label


@metric("f1", Shape.CLASSES, tasks=ROWS, greater_is_better=True)
def f1(chosen: Floats, label: Floats) -> Parts:
    """2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall; 0 if all three are 0.

    Parameters
    ----------
    chosen : (rows,), predicted classes: 1.0 for class 1, else 0.0.
    label : (rows,), 1.0 for class 1, else 0.0.

    Returns
    -------
    Parts (rows,) and weights (rows,).

    Examples
    --------
    >>> parts, weights = f1(np.array([1.0, 0.0, 1.0]), np.array([1.0, 1.0, 0.0]))
    >>> float(parts.sum() / weights.sum())
    0.5
    """
    positive = (chosen > 0.5).astype(np.float64)
    return 2.0 * positive * label, positive + label


@metric("log_loss", Shape.ROWS, tasks=ROWS, greater_is_better=False, unit="nats")
def log_loss(prediction: Floats, label: Floats) -> Parts:
    """-mean(y ln p + (1 - y) ln(1 - p)).

    p is kept off 0 and 1 by the machine epsilon, so that a certain wrong prediction costs 36.

    Parameters
    ----------
    prediction : (rows,), probabilities of class 1.
    label : (rows,), 1.0 for class 1, else 0.0.

    Returns
    -------
    Parts (rows,) and weights (rows,).

    Examples
    --------
    >>> parts, weights = log_loss(np.array([0.5, 0.8]), np.array([1.0, 1.0]))
    >>> round(float(parts.sum() / weights.sum()), 4)
    0.4581
    """
    epsilon = np.finfo(np.float64).eps
    p = np.clip(prediction, epsilon, 1.0 - epsilon)
    return -(label * np.log(p) + (1.0 - label) * np.log1p(-p)), np.ones_like(label)


@metric("brier", Shape.ROWS, tasks=ROWS, greater_is_better=False, unit="share squared")
def brier(prediction: Floats, label: Floats) -> Parts:
    """mean((p - y)^2), between 0 and 1; 0.25 for a prediction of 0.5 everywhere.

    Parameters
    ----------
    prediction : (rows,), probabilities of class 1.
    label : (rows,), 1.0 for class 1, else 0.0.

    Returns
    -------
    Parts (rows,) and weights (rows,).

    Examples
    --------
    >>> parts, weights = brier(np.array([0.5, 0.5]), np.array([1.0, 0.0]))
    >>> float(parts.sum() / weights.sum())
    0.25
    """
    return np.asarray((prediction - label) ** 2), np.ones_like(label)


def placements(prediction: Floats, label: Floats) -> Floats:
    """For each positive the share of the negatives below it, for each negative the share of the positives above it.

    A tie counts half. The mean over either class is the ROC-AUC; both classes must be present.

    Parameters
    ----------
    prediction : (rows,), probabilities of class 1.
    label : (rows,), 1.0 for class 1, else 0.0.

    Returns
    -------
    (rows,), between 0 and 1.

    Examples
    --------
    >>> placements(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0.0, 0.0, 1.0, 1.0]))
    array([1. , 0.5, 0.5, 1. ])
    """
    placed = np.empty(len(prediction))
    positive = label > 0.5
    for own, sign in ((positive, 1.0), (~positive, -1.0)):
        others = np.sort(sign * prediction[~own])
        first, last = (np.searchsorted(others, sign * prediction[own], side) for side in ("left", "right"))
        placed[own] = 0.5 * (first + last) / len(others)
    return placed


def roc_auc_influence(prediction: Floats, label: Floats) -> Floats:
    """Of each row: n times the derivative of the ROC-AUC by its weight (DeLong and others 1988). NaN with one class only.

    Parameters
    ----------
    prediction : (rows,), probabilities of class 1.
    label : (rows,), 1.0 for class 1, else 0.0.

    Returns
    -------
    (rows,), with mean 0.

    Examples
    --------
    >>> roc_auc_influence(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0.0, 0.0, 1.0, 1.0]))
    array([ 0.5, -0.5, -0.5,  0.5])
    """
    positive = label > 0.5
    if not np.isfinite(prediction).all() or positive.all() or not positive.any():
        return np.full(len(prediction), np.nan)
    placed = placements(prediction, label)
    share = positive.mean()
    influence: Floats = (placed - placed[positive].mean()) / np.where(positive, share, 1.0 - share)
    return influence


@metric("roc_auc", Shape.WHOLE, tasks=ROWS, greater_is_better=True, influence=roc_auc_influence)
def roc_auc(prediction: Floats, label: Floats, weights: Floats) -> Floats:
    """P(a positive scores above a negative), a tie counting half. NaN with one class only, or with a NaN prediction.

    Parameters
    ----------
    prediction : (rows,), probabilities of class 1.
    label : (rows,), 1.0 for class 1, else 0.0.
    weights : (resamples, rows), how often each row counts in each resample.

    Returns
    -------
    (resamples,)

    Examples
    --------
    >>> roc_auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0.0, 0.0, 1.0, 1.0]), np.ones((1, 4)))
    array([0.75])
    """
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


def pr_auc_influence(prediction: Floats, label: Floats) -> Floats:
    """Of each row: n times the derivative of the average precision by its weight. NaN without a positive.

    A row moves the precision at its own threshold and at every lower one, and a positive moves the recall, too.

    Parameters
    ----------
    prediction : (rows,), probabilities of class 1.
    label : (rows,), 1.0 for class 1, else 0.0.

    Returns
    -------
    (rows,), with mean 0.

    Examples
    --------
    >>> pr_auc_influence(np.array([0.2, 0.8]), np.array([1.0, 0.0]))
    array([ 0.5, -0.5])
    """
    order, starts = group_ties(-prediction)
    total = label.sum()
    if order is None or not total:
        return np.full(len(prediction), np.nan)
    sizes = np.diff(np.r_[starts, len(order)])
    found = np.add.reduceat(label[order], starts)
    taken = np.cumsum(sizes).astype(np.float64)
    at_threshold = np.cumsum(found) / taken
    gained = found / total
    value = gained @ at_threshold
    per_row = np.cumsum((gained / taken)[::-1])[::-1]  # from the row's threshold down
    spent = np.cumsum((gained * at_threshold / taken)[::-1])[::-1]
    group = np.empty(len(order), dtype=np.intp)
    group[order] = np.repeat(np.arange(len(starts)), sizes)
    influence: Floats = label * (at_threshold[group] - value) / total + label * per_row[group] - spent[group]
    return len(prediction) * influence


@metric("pr_auc", Shape.WHOLE, tasks=ROWS, greater_is_better=True, influence=pr_auc_influence)
def pr_auc(prediction: Floats, label: Floats, weights: Floats) -> Floats:
    """Average precision: the sum over thresholds of (recall gained) x precision, without interpolation.

    NaN with one class only, or with a NaN prediction.

    Parameters
    ----------
    prediction : (rows,), probabilities of class 1.
    label : (rows,), 1.0 for class 1, else 0.0.
    weights : (resamples, rows), how often each row counts in each resample.

    Returns
    -------
    (resamples,)

    Examples
    --------
    >>> pr_auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0.0, 0.0, 1.0, 1.0]), np.ones((1, 4))).round(4)
    array([0.8333])
    """
    order, starts = group_ties(-prediction)
    if order is None:
        return np.full(len(weights), np.nan)
    found = np.add.reduceat(weights[:, order] * label[order], starts, axis=1)
    taken = np.cumsum(np.add.reduceat(weights[:, order], starts, axis=1), axis=1)
    at_threshold = np.divide(np.cumsum(found, axis=1), taken, out=np.zeros_like(taken), where=taken > 0)
    return _ratio((found * at_threshold).sum(axis=1), found.sum(axis=1))


def gain_influence(prediction: Floats, label: Floats) -> Floats:
    """Of each row: n times the derivative of the gain at the top decile by its weight. NaN without a positive.

    A row in the top decile pushes out what lies at its border, where positives are as frequent as in the rows around it.

    Parameters
    ----------
    prediction : (rows,), probabilities of class 1.
    label : (rows,), 1.0 for class 1, else 0.0.

    Returns
    -------
    (rows,), with mean 0.

    Examples
    --------
    >>> gain_influence(np.arange(20) / 20, (np.arange(20) >= 16) * 1.0)[[0, 16, 19]].round(2)
    array([ 0.5, -2. , -2. ])
    """
    order, starts = group_ties(-prediction)
    positives = label.mean() if len(label) else 0.0
    if order is None or not positives:
        return np.full(len(prediction), np.nan)
    sizes = np.diff(np.r_[starts, len(order)]).astype(np.float64)
    share = np.clip(0.1 * len(order) - (np.cumsum(sizes) - sizes), 0.0, sizes) / sizes
    inside = np.empty(len(order))
    inside[order] = np.repeat(share, sizes.astype(np.intp))
    border, around = int(0.1 * len(order)), max(2, len(order) // 40)
    at_border = label[order][max(0, border - around) : border + around].mean()
    influence: Floats = (label * (inside - (inside @ label) / label.sum()) + (0.1 - inside) * at_border) / positives
    return influence


@metric("gain_at_top_decile", Shape.WHOLE, tasks=ROWS, greater_is_better=True, influence=gain_influence)
def gain_at_top_decile(prediction: Floats, label: Floats, weights: Floats) -> Floats:
    """The share of all positives among the tenth of the rows with the highest scores: 0.1 by chance, at most 1.

    Rows with equal scores at the border count in part, as their expectation in a random order. NaN with one class only, or with
    a NaN prediction.

    Parameters
    ----------
    prediction : (rows,), probabilities of class 1.
    label : (rows,), 1.0 for class 1, else 0.0.
    weights : (resamples, rows), how often each row counts in each resample.

    Returns
    -------
    (resamples,)

    Examples
    --------
    >>> gain_at_top_decile(np.arange(20) / 20, (np.arange(20) >= 16) * 1.0, np.ones((1, 20)))
    array([0.5])
    """
    order, starts = group_ties(-prediction)
    if order is None:
        return np.full(len(weights), np.nan)
    mass = np.add.reduceat(weights[:, order], starts, axis=1)
    found = np.add.reduceat(weights[:, order] * label[order], starts, axis=1)
    decile = 0.1 * mass.sum(axis=1, keepdims=True)
    taken = np.clip(decile - (np.cumsum(mass, axis=1) - mass), 0.0, mass)
    share = np.divide(taken, mass, out=np.zeros_like(mass), where=mass > 0)
    return _ratio((share * found).sum(axis=1), found.sum(axis=1))


@metric("calibration_error", Shape.WHOLE, tasks=PROBABILITIES, greater_is_better=False, biased=True)
def calibration_error(prediction: Floats, label: Floats, weights: Floats) -> Floats:
    """Expected calibration error: sum over ten bins of equal mass of |mean prediction - mean label| x share of the mass.

    Equal predictions always share a bin, so that a constant prediction costs exactly its distance from the base rate.

    Parameters
    ----------
    prediction : (rows,), probabilities of class 1.
    label : (rows,), 1.0 for class 1, else 0.0.
    weights : (resamples, rows), how often each row counts in each resample.

    Returns
    -------
    (resamples,)

    Examples
    --------
    >>> calibration_error(np.full(4, 0.75), np.array([0.0, 0.0, 0.0, 1.0]), np.ones((1, 4)))
    array([0.5])
    """
    gap, mass = _by_bin(prediction, label, weights)
    return _ratio(np.abs(gap).sum(axis=1), mass.sum(axis=1))


@metric(
    "squared_calibration_error",
    Shape.WHOLE,
    tasks=PROBABILITIES,
    greater_is_better=False,
    unit="squared probability",
    biased=True,
)
def squared_calibration_error(prediction: Floats, label: Floats, weights: Floats) -> Floats:
    """As `calibration_error` with squares: the reliability term of the Brier score (Murphy 1973), whose bias is known.

    At least the square of `calibration_error`.

    Parameters
    ----------
    prediction : (rows,), probabilities of class 1.
    label : (rows,), 1.0 for class 1, else 0.0.
    weights : (resamples, rows), how often each row counts in each resample.

    Returns
    -------
    (resamples,)

    Examples
    --------
    >>> squared_calibration_error(np.full(4, 0.75), np.array([0.0, 0.0, 0.0, 1.0]), np.ones((1, 4)))
    array([0.25])
    """
    gap, mass = _by_bin(prediction, label, weights)
    return _ratio(np.divide(gap**2, mass, out=np.zeros_like(gap), where=mass > 0).sum(axis=1), mass.sum(axis=1))


def _by_bin(prediction: Floats, label: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Sum of prediction - label, and mass, of ten bins of equal mass, both (resamples, 10); zeros with a NaN prediction."""
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

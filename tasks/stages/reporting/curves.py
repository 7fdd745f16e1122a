"""Calibration and gain: do predictions come true as often as they say, and how early is what matters found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.metrics.calibration import bin_rows

if TYPE_CHECKING:
    import pandas as pd

Curve = tuple[Floats, Floats]
POINTS = 200
NORMAL = 1.959964  # 95 %


@dataclass(frozen=True)
class Bin:
    """About a tenth of the predictions: their mean, and the mean of what happened with its 95 % interval."""

    count: int
    predicted: float
    happened: float
    low: float
    high: float


def calibration_bins(predictions: pd.DataFrame) -> list[Bin]:
    """Tenths of rising predictions, equal ones always in one bin; predictions that are no numbers are left out.

    The interval is Wilson's where what happened is yes or no, else the normal one of a mean; each line counts as one draw.
    """
    predicted, happened = (predictions[name].to_numpy(np.float64) for name in (c.PREDICTION, c.LABEL))
    known = np.isfinite(predicted) & np.isfinite(happened)
    predicted, happened = predicted[known], happened[known]
    if not len(predicted):
        return []
    is_binary = bool(np.isin(happened, (0.0, 1.0)).all())
    place = bin_rows(predicted)
    bins = []
    for one in np.unique(place):
        mine = place == one
        count, mean = int(mine.sum()), float(happened[mine].mean())
        low, high = _wilson(mean, count) if is_binary else _normal(happened[mine])
        bins.append(Bin(count, float(predicted[mine].mean()), mean, low, high))
    return bins


def _wilson(share: float, count: int) -> tuple[float, float]:
    spread = NORMAL**2 / count
    middle = share + spread / 2.0
    half = NORMAL * (share * (1.0 - share) / count + spread / (4.0 * count)) ** 0.5
    return max(0.0, (middle - half) / (1.0 + spread)), min(1.0, (middle + half) / (1.0 + spread))


def _normal(values: Floats) -> tuple[float, float]:
    half = NORMAL * float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return float(values.mean()) - half, float(values.mean()) + half


def gain_by_rank(predictions: pd.DataFrame, relevant: Floats, k: int) -> Curve:
    """Rank, and the share of everything relevant that stands up to it in the lists. `relevant`: of each user, (users,)."""
    hits = np.bincount(predictions[c.RANK].to_numpy(int), predictions[c.LABEL].to_numpy(np.float64), k + 1)[1 : k + 1]
    return np.arange(1.0, k + 1), np.cumsum(hits) / max(relevant.sum(), 1.0)


def best_gain_by_rank(relevant: Floats, k: int) -> Curve:
    """What lists without a mistake would reach: a list of r items holds r of a user's."""
    ranks = np.arange(1.0, k + 1)
    return ranks, np.minimum(relevant, ranks[:, None]).sum(axis=1) / max(relevant.sum(), 1.0)


def gain_by_share(predictions: pd.DataFrame, positive_from: float = 0.5) -> Curve:
    """Share of the rows taken, highest prediction first, and the share of the positives among them; equal ones at once.

    Parameters
    ----------
    positive_from : the least label of a positive: a class, or a relevant rating.
    """
    predicted, label = (predictions[name].to_numpy(np.float64) for name in (c.PREDICTION, c.LABEL))
    known = np.isfinite(predicted) & np.isfinite(label)
    positive = label[known] >= positive_from
    if not positive.any():
        return np.zeros(0), np.zeros(0)
    scores, place = np.unique(-predicted[known], return_inverse=True)
    taken = np.cumsum(np.bincount(place, minlength=len(scores))) / len(place)
    found = np.cumsum(np.bincount(place, positive, len(scores))) / positive.sum()
    kept = np.unique(np.linspace(0, len(scores) - 1, POINTS).astype(int))
    return np.r_[0.0, taken[kept]], np.r_[0.0, found[kept]]

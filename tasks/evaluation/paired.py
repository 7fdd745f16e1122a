"""The paired bootstrap: is one model better than another on the same units, or is it chance?

Both models were scored on the same users (or rows). Each resample draws that many units with replacement, measures both
models on the same draw and keeps the difference; the interval is the middle part of all differences (Efron and
Tibshirani 1993, chapter 13). Pairing removes what is hard or easy for both alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tasks.contracts import Comparison, Evaluation, Outcome
from tasks.errors import NotEnoughData, SnapshotError
from tasks.metrics import UNIT, Metric

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
MIN_UNITS = 20  # below, percentile intervals are too narrow to be trusted, and nothing is concluded
MEASURABLE = 0.95  # share of the resamples that must give a number (one class only gives no ROC-AUC)
_CELLS = 2_000_000  # of the weights that are held in memory at once, 16 MB


@dataclass(frozen=True)
class Answers:
    """What one model answered on the holdout: its evaluation with both tables of it."""

    evaluation: Evaluation
    units: pd.DataFrame
    predictions: pd.DataFrame


def compare(
    metric: Metric, challenger: Answers, other: Answers, *, seed: int, confidence: float, resamples: int, margin: float
) -> Comparison:
    """Challenger minus other, signed so that positive is better, with its interval and what follows from it.

    Parameters
    ----------
    margin : in the metric's own unit; `not_worse` means that the challenger loses less than this for sure.

    Raises
    ------
    SnapshotError : the two were not scored on the same units.
    NotEnoughData : the metric is not a number, for one of them or in too many resamples.
    """
    units = challenger.units[UNIT].to_numpy()
    if challenger.evaluation.holdout != other.evaluation.holdout or not np.array_equal(units, other.units[UNIT].to_numpy()):
        raise SnapshotError(
            f"{challenger.evaluation.subject} was scored on {challenger.evaluation.holdout.key} ({len(units)} units), "
            f"{other.evaluation.subject} on {other.evaluation.holdout.key} ({len(other.units)}): evaluate both on one holdout"
        )
    sign = 1.0 if metric.greater_is_better else -1.0
    once = np.ones((1, len(units)))
    mine, theirs = (float(metric.compute(side.units, side.predictions, once)[0]) for side in (challenger, other))
    differences = sign * _resample(metric, challenger, other, seed, resamples)
    finite = differences[np.isfinite(differences)]
    if not np.isfinite([mine, theirs]).all() or len(finite) < MEASURABLE * resamples:
        raise NotEnoughData(f"{metric.name} is not a number on this holdout ({mine:.4g} against {theirs:.4g})")
    low, high = (float(bound) for bound in np.quantile(finite, [(1 - confidence) / 2, (1 + confidence) / 2]))
    return Comparison(
        metric=metric.name, challenger=mine, champion=theirs, difference=sign * (mine - theirs), low=low, high=high,
        confidence=confidence, units=len(units), resamples=resamples, outcome=conclude(low, high, margin, len(units)),
    )  # fmt: skip


def conclude(low: float, high: float, margin: float, units: int) -> Outcome:
    """What an interval of the difference says."""
    if units < MIN_UNITS:
        return Outcome.INCONCLUSIVE
    if low > 0:
        return Outcome.BETTER
    if high < 0:
        return Outcome.WORSE
    return Outcome.NOT_WORSE if margin > 0 and low > -margin else Outcome.INCONCLUSIVE


def _resample(metric: Metric, challenger: Answers, other: Answers, seed: int, resamples: int) -> Floats:
    """The difference in each resample, (resamples,). Weights are how often each unit was drawn."""
    units = len(challenger.units)
    widest = units if metric.per_unit else max(units, len(challenger.predictions), len(other.predictions))
    block = max(1, _CELLS // max(1, widest))
    generator = np.random.default_rng(seed)
    differences = []
    for start in range(0, resamples, block):
        count = min(block, resamples - start)
        drawn = generator.integers(0, units, (count, units)) + units * np.arange(count)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=count * units).reshape(count, units).astype(np.float64)
        sides = (metric.compute(side.units, side.predictions, weights) for side in (challenger, other))
        differences.append(np.subtract(*sides))
    return np.concatenate(differences)

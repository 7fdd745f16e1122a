"""From which probability on a row is told to be of class 1: by the costs of mistakes, or chosen on the validation rows."""

from __future__ import annotations

import numpy as np

from tasks.contracts.arrays import Floats
from tasks.contracts.training import Costs

ACCURACY, F1 = "accuracy", "f1"


def threshold_of_costs(costs: Costs) -> float:
    """The threshold of least expected cost where probabilities are calibrated (Elkan 2001)."""
    return costs.false_positive / (costs.false_positive + costs.false_negative)


def choose_threshold(probability: Floats, label: Floats, metric: str) -> float:
    """The threshold at which a metric of classes is largest; of equal ones the one that is nearest to 0.5.

    It lies in the middle between two neighbouring probabilities, the lowest one having 0 for a neighbour.

    Parameters
    ----------
    probability : (rows,), of class 1, on rows that the model did not learn from.
    label : (rows,), 1.0 for class 1, else 0.0. Without a row of class 1 the threshold is 0.5.
    metric : `accuracy` or `f1`.
    """
    positives = float(label.sum())
    if not positives or not np.isfinite(probability).all():
        return 0.5
    distinct, place = np.unique(probability, return_inverse=True)
    # Of each distinct probability: the rows, and those of class 1, that are told to be of class 1 from it on.
    taken = np.cumsum(np.bincount(place)[::-1])[::-1].astype(np.float64)
    found = np.cumsum(np.bincount(place, label)[::-1])[::-1]
    if metric == ACCURACY:
        value = (found + (len(label) - positives) - (taken - found)) / len(label)
    else:
        value = 2.0 * found / (positives + taken)
    thresholds = (distinct + np.r_[0.0, distinct[:-1]]) / 2.0
    best = np.flatnonzero(value >= value.max() - 1e-12)
    return float(thresholds[best[np.argmin(np.abs(thresholds[best] - 0.5))]])

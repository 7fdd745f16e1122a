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

    It lies in the middle between two neighbouring probabilities, of which 0 and 1 are the outermost. Above all of them no
    row is told to be of class 1: the best for accuracy where a model knows nothing and class 1 is the rarer one.

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
    taken = np.r_[np.cumsum(np.bincount(place)[::-1])[::-1].astype(np.float64), 0.0]
    found = np.r_[np.cumsum(np.bincount(place, label)[::-1])[::-1], 0.0]
    if metric == ACCURACY:
        value = (found + (len(label) - positives) - (taken - found)) / len(label)
    else:
        value = 2.0 * found / (positives + taken)
    thresholds = (np.r_[distinct, 1.0] + np.r_[0.0, distinct]) / 2.0
    if thresholds[-1] <= distinct[-1]:  # a probability of 1 is of class 1 at every threshold
        value, thresholds = value[:-1], thresholds[:-1]
    best = np.flatnonzero(value >= value.max() - 1e-12)
    return float(thresholds[best[np.argmin(np.abs(thresholds[best] - 0.5))]])

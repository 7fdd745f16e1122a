"""Metrics of top-k lists by their hits: one value for each user.

All functions receive the same two arrays:

hits : (users, k), 1.0 where the item at that rank is relevant to the user, else 0.0. A list shorter than k ends in zeros, and
    a user without a recommendation has a row of zeros.
relevant : (users,), how many items are relevant to each user.

They return (users,). A user to whom nothing is relevant gets 0.0, and `score_lists` gives this user no weight in the mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.arrays import Floats
from tasks.metrics.families import LISTS, Shape, metric


@metric("ndcg_at", Shape.HITS, tasks=LISTS, greater_is_better=True)
def ndcg(hits: Floats, relevant: Floats) -> Floats:
    """Normalised discounted cumulative gain with binary gain (Järvelin and Kekäläinen 2002).

    DCG / ideal DCG: the sum of hit / log2(rank + 1), divided by its largest value with min(k, relevant) hits.

    Parameters
    ----------
    hits : (users, k), 1.0 for a hit.
    relevant : (users,), the number of relevant items.

    Examples
    --------
    >>> ndcg(np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([1.0, 2.0])).round(4)
    array([0.6309, 1.    ])
    """
    discount = 1.0 / np.log2(np.arange(2, hits.shape[1] + 2))
    ideal = np.r_[0.0, np.cumsum(discount)][np.minimum(relevant, hits.shape[1]).astype(np.intp)]
    return _per_relevant(hits @ discount, ideal)


@metric("recall_at", Shape.HITS, tasks=LISTS, greater_is_better=True)
def recall(hits: Floats, relevant: Floats) -> Floats:
    """hits / relevant. Below 1 for a user with more than k relevant items.

    Parameters
    ----------
    hits : (users, k), 1.0 for a hit.
    relevant : (users,), the number of relevant items.

    Examples
    --------
    >>> recall(np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([1.0, 4.0]))
    array([1. , 0.5])
    """
    return _per_relevant(hits.sum(axis=1), relevant)


@metric("precision_at", Shape.HITS, tasks=LISTS, greater_is_better=True)
def precision(hits: Floats, relevant: Floats) -> Floats:
    """hits / k. A list shorter than k is divided by k as well.

    Parameters
    ----------
    hits : (users, k), 1.0 for a hit.
    relevant : (users,), not used.

    Examples
    --------
    >>> precision(np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([1.0, 4.0]))
    array([0.5, 1. ])
    """
    return np.asarray(hits.sum(axis=1) / hits.shape[1])


@metric("map_at", Shape.HITS, tasks=LISTS, greater_is_better=True)
def average_precision(hits: Floats, relevant: Floats) -> Floats:
    """Sum over the hits of the precision at their rank, / relevant. Below 1 for a user with more than k relevant items.

    Parameters
    ----------
    hits : (users, k), 1.0 for a hit.
    relevant : (users,), the number of relevant items.

    Examples
    --------
    >>> average_precision(np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([1.0, 2.0]))
    array([0.5, 1. ])
    """
    at_rank = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return _per_relevant((at_rank * hits).sum(axis=1), relevant)


@metric("mrr_at", Shape.HITS, tasks=LISTS, greater_is_better=True)
def reciprocal_rank(hits: Floats, relevant: Floats) -> Floats:
    """1 / rank of the first hit; 0 without a hit within k.

    Parameters
    ----------
    hits : (users, k), 1.0 for a hit.
    relevant : (users,), not used.

    Examples
    --------
    >>> reciprocal_rank(np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([1.0, 2.0]))
    array([0.5, 0. ])
    """
    first = np.argmax(hits, axis=1)
    return np.asarray(np.where(hits.any(axis=1), 1.0 / (first + 1.0), 0.0))


@metric("hit_rate_at", Shape.HITS, tasks=LISTS, greater_is_better=True)
def hit_rate(hits: Floats, relevant: Floats) -> Floats:
    """1 with at least one hit within k, else 0.

    Parameters
    ----------
    hits : (users, k), 1.0 for a hit.
    relevant : (users,), not used.

    Examples
    --------
    >>> hit_rate(np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([1.0, 2.0]))
    array([1., 0.])
    """
    return np.asarray(hits.any(axis=1), dtype=np.float64)


@metric("catalog_coverage_at", Shape.CATALOGUE, tasks=LISTS, greater_is_better=True)
def catalog_coverage(positions: NDArray[np.integer[Any]], items: int) -> float:
    """Distinct items on sale in any list / items on sale: a property of all lists together, not of one user's.

    On sale is what was sold in the longest lookback, so that the figure does not fall as a shop grows old.

    Parameters
    ----------
    positions : (recommendations,), the place of each recommended item that is on sale.
    items : how many are on sale. The coverage of an empty catalogue is 0.

    Examples
    --------
    >>> catalog_coverage(np.array([0, 1, 1, 0]), 4)
    0.5
    """
    return len(np.unique(positions)) / items if items else 0.0


def _per_relevant(total: Floats, denominator: Floats) -> Floats:
    ratio: Floats = np.divide(total, denominator, out=np.zeros(len(total)), where=denominator > 0)
    return ratio

"""Metrics of top-k lists, one function each: from the hits of every user to one value per user.

Shapes: `hits` is (users, k), 1.0 where the item at that rank is relevant; `relevant` is (users,), how many items are
relevant to each user. A user without a recommendation has a row of zeros and so counts as zero. A user to whom nothing
is relevant gets 0.0 here, and no weight in the mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.arrays import Floats


def precision(hits: Floats, relevant: Floats) -> Floats:
    """hits / k. A list shorter than k still divides by k: what was not recommended is no hit."""
    return np.asarray(hits.sum(axis=1) / hits.shape[1])


def recall(hits: Floats, relevant: Floats) -> Floats:
    """hits / relevant. Below 1 wherever more than k items are relevant."""
    return _per_relevant(hits.sum(axis=1), relevant)


def ndcg(hits: Floats, relevant: Floats) -> Floats:
    """DCG / ideal DCG with binary gain: sum of hit / log2(rank + 1), over the best possible with min(k, relevant) hits."""
    discount = 1.0 / np.log2(np.arange(2, hits.shape[1] + 2))
    ideal = np.r_[0.0, np.cumsum(discount)][np.minimum(relevant, hits.shape[1]).astype(np.intp)]
    return _per_relevant(hits @ discount, ideal)


def average_precision(hits: Floats, relevant: Floats) -> Floats:
    """Sum over the hits of the precision at their rank, / relevant. Below 1 wherever more than k items are relevant."""
    at_rank = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return _per_relevant((at_rank * hits).sum(axis=1), relevant)


def reciprocal_rank(hits: Floats, relevant: Floats) -> Floats:
    """1 / rank of the first hit; 0 without a hit within k."""
    first = np.argmax(hits, axis=1)
    return np.asarray(np.where(hits.any(axis=1), 1.0 / (first + 1.0), 0.0))


def hit_rate(hits: Floats, relevant: Floats) -> Floats:
    """1 with at least one hit within k, else 0."""
    return np.asarray(hits.any(axis=1), dtype=np.float64)


def catalog_coverage(positions: NDArray[np.integer[Any]], items: int) -> float:
    """Distinct items in anybody's list / items of the catalogue. It belongs to all lists together, not to one user's."""
    return len(np.unique(positions)) / items if items else 0.0


def _per_relevant(total: Floats, denominator: Floats) -> Floats:
    ratio: Floats = np.divide(total, denominator, out=np.zeros(len(total)), where=denominator > 0)
    return ratio

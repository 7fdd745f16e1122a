"""Folds of training rows, cut as the use case's split cuts its parts: at random, by group, or in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tasks import columns as c

if TYPE_CHECKING:
    import pandas as pd

Fold = tuple[NDArray[np.intp], NDArray[np.intp]]  # the places of the rows that are learned from, and of those that measure


def make_folds(rows: pd.DataFrame, count: int, seed: int) -> list[Fold]:
    """At most `count` folds of rows, each with rows of both classes on both sides; none where the rows allow none.

    The examples say how the split cut them. `split_group`: all rows of a group are on one side. `split_order`: the second half
    of the moments is cut into `count` spans, and each is measured by a model of all that was before it; rows of one moment
    are on one side. Neither: the rows are drawn, with the same share of each class. All by scikit-learn's splitters.
    """
    target = rows[c.TARGET].to_numpy(dtype=np.int64)
    in_order = c.SPLIT_ORDER in rows
    folds = _cut_in_order(rows[c.SPLIT_ORDER].to_numpy(), count) if in_order else _draw(rows, target, count, seed)
    return [(learn, judged) for learn, judged in folds if _has_both(target[learn]) and _has_both(target[judged])]


def _cut_in_order(order: NDArray[np.int64], count: int) -> list[Fold]:
    from sklearn.model_selection import TimeSeriesSplit

    moments, moment_of = np.unique(order, return_inverse=True)
    count = min(count, len(moments) // 2)
    if count < 1:
        return []
    size = max(1, len(moments) // (2 * count))
    if count == 1:  # scikit-learn cuts two spans or more
        return [(np.flatnonzero(moment_of < len(moments) - size), np.flatnonzero(moment_of >= len(moments) - size))]
    parts = TimeSeriesSplit(count, test_size=size).split(moments)
    return [(np.flatnonzero(np.isin(moment_of, learn)), np.flatnonzero(np.isin(moment_of, judged))) for learn, judged in parts]


def _draw(rows: pd.DataFrame, target: NDArray[np.int64], count: int, seed: int) -> list[Fold]:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    groups = rows[c.SPLIT_GROUP].to_numpy() if c.SPLIT_GROUP in rows else None
    counts = np.bincount(target, minlength=2) if len(target) else np.zeros(2, dtype=np.int64)
    if groups is not None:  # a class in few groups cannot be in more folds than that
        counts = np.array([len(np.unique(groups[target == one])) for one in (0, 1)])
    folds = min(count, int(counts.min()))
    if folds < 2:
        return []
    if groups is None:
        return list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(target, target))
    return list(StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(target, target, groups))


def _has_both(target: NDArray[np.int64]) -> bool:
    return bool(target.any() and not target.all())

"""What the models of rows share: their columns by name, gaps filled with the training means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tasks import columns as c
from tasks.errors import NotEnoughData
from tasks.models.base import Examples, Floats
from tasks.models.prepared import read_numbers

if TYPE_CHECKING:
    import pandas as pd


def feature_columns(rows: pd.DataFrame) -> tuple[str, ...]:
    """The names of the features in a table of rows, in its order."""
    return tuple(str(name) for name in rows.columns if name not in (*c.TABULAR_COLUMNS, c.LABEL))


def read_training_rows(train: Examples) -> tuple[tuple[str, ...], Floats, NDArray[np.int64]]:
    """Names, values (rows, names) and targets of rows to learn from.

    Raises
    ------
    NotEnoughData : no feature, or only one class.
    """
    rows = train.rows
    if rows is None or rows.empty or not feature_columns(rows):
        raise NotEnoughData("a classifier needs rows with feature columns; got none")
    target = rows[c.TARGET].to_numpy(dtype=np.int64)
    counts = np.bincount(target, minlength=2)
    if len(counts) > 2 or not counts.all():
        raise NotEnoughData(f"a classifier needs rows of class 0 and of class 1; got {counts.tolist()} of class 0, 1, ...")
    names = feature_columns(rows)
    return names, read_numbers(rows, names, "a classifier"), target


def fill(values: Floats, means: Floats) -> Floats:
    """Gaps and infinities replaced by the means of their columns."""
    return np.where(np.isfinite(values), values, means)


def column_means(values: Floats) -> Floats:
    """The mean of each column's finite values; 0 where it has none."""
    finite = np.isfinite(values)
    total = np.where(finite, values, 0.0).sum(axis=0)
    return np.asarray(total / np.maximum(finite.sum(axis=0), 1), dtype=np.float64)

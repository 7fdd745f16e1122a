"""Adapter: which rows are equal cell by cell, in Spark and in memory alike.

A missing cell equals a missing cell and nothing else. NaN is a missing number, and -0.0 equals 0.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from pyspark.sql import Column, DataFrame


def hash_cells(frame: DataFrame, columns: Sequence[str]) -> Column:
    """One hash of 64 bits for the cells of a row, in the order of `columns`.

    Spark's hashes skip nulls, in structures too: (1, null) and (null, 1) have the same one. Each cell is therefore hashed
    together with whether it is missing.
    """
    from pyspark.sql import functions as F
    from pyspark.sql.types import DoubleType, FloatType

    hashed: list[Column] = []
    for name in columns:
        cell = F.col(f"`{name}`")
        if isinstance(frame.schema[name].dataType, DoubleType | FloatType):
            cell = F.when(~F.isnan(cell), cell)
        hashed += [cell.isNull(), cell]
    return F.xxhash64(F.lit(len(hashed)), *hashed)


def number_equal_rows(frames: Sequence[pd.DataFrame], columns: Sequence[str]) -> list[NDArray[np.int64]]:
    """A number for each row of each frame, (rows,). Rows have the same number exactly where all their cells are equal."""
    import numpy as np
    import pandas as pd

    lengths = [len(frame) for frame in frames]
    numbers = np.zeros(sum(lengths), dtype=np.int64)
    for name in columns:
        cells = pd.concat([frame[name] for frame in frames], ignore_index=True)
        codes, values = pd.factorize(cells)  # -1 is a missing cell
        numbers = np.unique(numbers * (len(values) + 1) + codes + 1, return_inverse=True)[1]
    return np.split(numbers, np.cumsum(lengths)[:-1])

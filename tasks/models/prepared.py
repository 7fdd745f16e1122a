"""What models share: numbers of feature tables, and values that are computed once for a set of features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from tasks.contracts.arrays import Floats
from tasks.errors import ModelError
from tasks.models.base import FeatureTables

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


class PerFeatures(Generic[T]):
    """Call it with features; `make` runs once for each set of them, and the newest result is kept.

    The endpoint swaps features while other threads predict. Features and result are replaced together, so that no thread
    reads the result of other features.
    """

    def __init__(self, make: Callable[[FeatureTables], T]) -> None:
        self._make = make
        self._kept: tuple[FeatureTables, T] | None = None

    def __call__(self, features: FeatureTables) -> T:
        kept = self._kept
        if kept is None or kept[0] is not features:
            kept = self._kept = (features, self._make(features))
        return kept[1]


def read_numbers(table: pd.DataFrame, names: Sequence[str], whose: str) -> Floats:
    """Columns of a table as (rows, names), missing values as NaN.

    Raises
    ------
    ModelError : a column is missing; the message lists the present ones.
    """
    missing = [name for name in names if name not in table]
    if missing:
        raise ModelError(
            f"{whose} needs the columns {', '.join(missing)}, which the features lack; they have: {', '.join(table.columns)}. "
            "Build the features with the settings that the model was trained with, or train it again."
        )
    return table[list(names)].to_numpy(dtype=np.float64, na_value=np.nan)


def half_of_memory_mb() -> float:
    """The memory that training may use if its settings do not limit it: half of this machine's."""
    import psutil

    return float(psutil.virtual_memory().total) / 2**21

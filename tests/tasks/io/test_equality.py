"""Equal cell by cell: Spark and pandas agree with a plain comparison."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from tasks.io.equality import hash_cells, number_equal_rows

SCHEMA = "x double, y double, word string, other string"
numbers = st.sampled_from([None, 0.0, -0.0, 1.0, float("nan")])
words = st.sampled_from([None, "", "a", "None", "nan"])
tables = st.lists(st.tuples(numbers, numbers, words, words), min_size=200, max_size=200)


def plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(None if pd.isna(cell) else cell for cell in row)


def partition(keys: list[Any]) -> list[int]:
    """The place of the first row with the same key, for each row: the same for two ways to name equal rows."""
    first: dict[Any, int] = {}
    return [first.setdefault(key, place) for place, key in enumerate(keys)]


@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(tables)
def test_both_engines_agree_with_a_plain_comparison(spark: SparkSession, rows: list[tuple[Any, ...]]) -> None:
    names = ["x", "y", "word", "other"]
    expected = partition([plain(row) for row in rows])
    frame = spark.createDataFrame([(place, *row) for place, row in enumerate(rows)], f"place int, {SCHEMA}")
    hashed = frame.select("place", hash_cells(frame, names).alias("hash")).orderBy("place").collect()
    assert partition([row["hash"] for row in hashed]) == expected
    table = pd.DataFrame(rows, columns=names)
    whole = number_equal_rows([table], names)[0]
    assert partition(whole.tolist()) == expected
    parts = number_equal_rows([table[:50], table[50:50], table[50:]], names)
    assert partition(np.concatenate(parts).tolist()) == expected and [len(part) for part in parts] == [50, 0, 150]


def test_a_column_without_values_equals_itself() -> None:
    """A window in which a column is empty has another type for it than a window in which it is not."""
    empty, full = pd.DataFrame({"x": [None, None]}, dtype=object), pd.DataFrame({"x": [1.0, np.nan]})
    (first, second), (third, fourth) = number_equal_rows([empty, full], ["x"])
    assert first == second == fourth != third

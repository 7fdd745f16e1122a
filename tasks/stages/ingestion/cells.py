"""The types that a source can declare for its cells, in Spark and in Arrow. Times are in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa

CellType = Literal["string", "int", "long", "float", "double", "timestamp", "date"]
ROWS_OF_A_GROUP = 65_536  # written or read at once


def spark_schema(cells: Mapping[str, CellType]) -> str:
    """The schema for Spark's readers, so that no type is inferred."""
    return ", ".join(f"`{name}` {'bigint' if kind == 'long' else kind}" for name, kind in cells.items())


def arrow_schema(cells: Mapping[str, CellType]) -> pa.Schema:
    """The schema for Arrow's writers."""
    import pyarrow as pa

    kinds = {
        "string": pa.string(),
        "int": pa.int32(),
        "long": pa.int64(),
        "float": pa.float32(),
        "double": pa.float64(),
        "timestamp": pa.timestamp("us", tz="UTC"),
        "date": pa.date32(),
    }
    return pa.schema([(name, kinds[kind]) for name, kind in cells.items()])

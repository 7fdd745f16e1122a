"""The types that a source can declare for its cells, in Spark and in Arrow. Times are in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tasks.contracts.cells import CellType

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_OF_A_GROUP = 65_536  # written or read at once


_SPARK = {"long": "bigint", "decimal": "decimal(38,9)", **dict.fromkeys(("id", "time", "list", "ignore"), "string")}


def spark_schema(cells: Mapping[str, CellType]) -> str:
    """The schema for Spark's readers, so that no type is inferred."""
    return ", ".join(f"`{name}` {_SPARK.get(kind, kind)}" for name, kind in cells.items())


def arrow_schema(cells: Mapping[str, CellType]) -> pa.Schema:
    """The schema for Arrow's writers."""
    import pyarrow as pa

    kinds = {
        "int": pa.int32(),
        "long": pa.int64(),
        "float": pa.float32(),
        "double": pa.float64(),
        "decimal": pa.decimal128(38, 9),
        "boolean": pa.bool_(),
        "timestamp": pa.timestamp("us", tz="UTC"),
        "date": pa.date32(),
    }
    return pa.schema([(name, kinds.get(kind, pa.string())) for name, kind in cells.items()])

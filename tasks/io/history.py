"""Adapter: the snapshots of many windows as one Spark frame, each source file once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.data import DatasetRef
from tasks.errors import NotEnoughData
from tasks.io.storage import Storage

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def read_history(spark: SparkSession, storage: Storage, history: Sequence[DatasetRef], schema: str | None) -> DataFrame:
    """The rows of all snapshots. The rows of a source file come only from the snapshot with the latest window that has it.

    Windows may overlap, because a late file is read again together with its neighbours; each row must count once.

    Raises
    ------
    NotEnoughData : `history` is empty.
    """
    from pyspark.sql import Window as Over
    from pyspark.sql import functions as F

    if not history:
        raise NotEnoughData("there is no validated snapshot to read; run the features DAG for a window first")
    reader = spark.read.schema(schema) if schema else spark.read
    rows = reader.parquet(*(str(storage.table(ref)) for ref in history))
    if len(history) == 1:
        return rows
    label = F.regexp_extract("_metadata.file_path", r"([^/]+)/[^/]+/[^/]+/[^/]+$", 1)
    window = F.struct(F.split_part(label, F.lit(".."), F.lit(2)), label)
    newest = F.max("_window").over(Over.partitionBy(c.SOURCE_FILE))
    return (
        rows.withColumn("_window", window).withColumn("_newest", newest).where("_window = _newest").drop("_window", "_newest")
    )


def find_superseded(storage: Storage, history: Sequence[DatasetRef]) -> dict[str, frozenset[str]]:
    """Partition -> its source files that a snapshot with a later window has, too: what `read_history` leaves out by itself."""
    if len(history) == 1:
        return {}
    seen: set[str] = set()
    found = {}
    for ref in sorted(history, key=lambda ref: (Window.from_label(ref.partition).end, ref.partition), reverse=True):
        files = set(storage.read(ref, c.ROWS, [c.SOURCE_FILE])[c.SOURCE_FILE].unique())
        found[ref.partition] = frozenset(files & seen)
        seen |= files
    return found

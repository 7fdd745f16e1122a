"""The rows that were known on a day: one union of snapshots, each source file once, nothing from the future."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from tasks import columns as c
from tasks.contracts import DatasetRef
from tasks.errors import NotEnoughData
from tasks.storage import Storage

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

# Only what features and labels need, with the types of `columns.py`: stated, so that no job is spent on looking for them, and
# snapshots from before a column was there read as if it had been empty.
INTERACTION_SCHEMA = (
    f"{c.ROW_ID} string, {c.SOURCE_FILE} string, {c.EVENT_AT} timestamp, {c.INGESTED_AT} timestamp, {c.EVENT_ID} string, "
    f"{c.EVENT_TYPE} string, {c.USER_ID} string, {c.ITEM_ID} string, {c.QUANTITY} double, {c.UNIT_PRICE} double, "
    f"{c.VALUE} double, {c.SEGMENT} string, {c.ITEM_TEXT} string, {c.USER_ATTRIBUTES} string, {c.ITEM_ATTRIBUTES} string"
)


def read_history(spark: SparkSession, storage: Storage, history: Sequence[DatasetRef], schema: str | None) -> DataFrame:
    """The rows of all snapshots; those of a source file only from the snapshot with the latest window that holds it.

    Windows may overlap (a file that came late is read again with its neighbours), and each row must count once.
    """
    from pyspark.sql import Window as Over
    from pyspark.sql import functions as F

    if not history:
        raise NotEnoughData("there is no validated snapshot to make features from; run the features DAG for a window first")
    reader = spark.read.schema(schema) if schema else spark.read
    rows = reader.parquet(*(str(storage.table(ref)) for ref in history))
    if len(history) == 1:
        return rows
    label = F.regexp_extract("_metadata.file_path", r"([^/]+)/[^/]+/[^/]+/[^/]+$", 1)
    window = F.struct(F.split_part(label, F.lit(".."), F.lit(2)), label)
    newest = F.max("_window").over(Over.partitionBy(c.SOURCE_FILE))
    return (
        rows.withColumn("_window", window).withColumn("_newest", newest)
        .where("_window = _newest").drop("_window", "_newest")
    )  # fmt: skip


def known_at(as_of: date, known_by: str) -> Column:
    """Whether a row happened before the midnight that `as_of` begins with, and could be known of at it."""
    from pyspark.sql import functions as F

    happened = F.col(c.EVENT_AT) < midnight(as_of)
    return happened & (F.col(c.INGESTED_AT) <= midnight(as_of)) if known_by == c.INGESTED_AT else happened


def midnight(day: date) -> Column:
    """The first moment of a day, UTC, wherever client and server stand."""
    from pyspark.sql import functions as F

    return F.expr(f"TIMESTAMP '{day.isoformat()} 00:00:00 UTC'")

"""Adapter: the snapshots of many windows as one Spark frame, each source file once, and each row of a table once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.data import DatasetRef
from tasks.errors import NotEnoughData
from tasks.io.storage import Storage

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import Column, DataFrame, SparkSession

# Only what features and labels need, with the types of `columns.py`. They are stated so that Spark does not infer them, and so
# that older snapshots without a column read as if it were empty.
INTERACTION_SCHEMA = (
    f"{c.ROW_ID} string, {c.SOURCE_FILE} string, {c.EVENT_AT} timestamp, {c.INGESTED_AT} timestamp, {c.EVENT_ID} string, "
    f"{c.EVENT_TYPE} string, {c.USER_ID} string, {c.ITEM_ID} string, {c.QUANTITY} double, {c.UNIT_PRICE} double, "
    f"{c.VALUE} double, {c.SEGMENT} string, {c.ITEM_TEXT} string, {c.USER_ATTRIBUTES} string, {c.ITEM_ATTRIBUTES} string, "
    f"{c.LINE_ID} string"
)

WINDOW, NEWEST, NAME, ORDER = (f"{c.OWN}{name}" for name in ("window", "newest", "name", "order"))


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
    newest = F.max(WINDOW).over(Over.partitionBy(c.SOURCE_FILE))
    return rows.withColumn(WINDOW, window).withColumn(NEWEST, newest).where(F.col(WINDOW) == F.col(NEWEST)).drop(WINDOW, NEWEST)


def is_choice() -> Column:
    """Whether a user chose something. Views and recommendations are neither features nor labels."""
    from pyspark.sql import functions as F

    return ~F.col(c.EVENT_TYPE).isin(*c.NO_CHOICES)


def name_of(rows: DataFrame) -> Column:
    """The name of each row: the one that its source gives it (`event_id`), else its own."""
    from pyspark.sql import functions as F

    return F.coalesce(c.EVENT_ID, c.ROW_ID) if c.EVENT_ID in rows.columns else F.col(c.ROW_ID)


def list_names(rows: pd.DataFrame) -> pd.Series[str]:
    """The same of rows in memory."""
    return rows[c.EVENT_ID].where(rows[c.EVENT_ID].notna(), rows[c.ROW_ID]) if c.EVENT_ID in rows else rows[c.ROW_ID]


def keep_newest(rows: DataFrame) -> DataFrame:
    """Each row in its newest delivery. `row_id` is its name, and its moment and source file are those of its first delivery.

    Rows without a name (`event_id`) stay as they are. A row keeps its file, so that a stratified split draws it where it was
    drawn before its target came.
    """
    from pyspark.sql import Window as Over
    from pyspark.sql import functions as F

    if c.EVENT_ID not in rows.columns:
        return rows
    deliveries = Over.partitionBy(NAME)
    order = F.struct(c.INGESTED_AT, F.substring_index(c.ROW_ID, ":", -1).cast("long"), c.ROW_ID)
    named = rows.select("*", name_of(rows).alias(NAME), order.alias(ORDER))
    newest = named.withColumns(
        {
            NEWEST: F.max(ORDER).over(deliveries),
            c.SOURCE_FILE: F.min(F.struct(ORDER, c.SOURCE_FILE)).over(deliveries)[c.SOURCE_FILE],
            c.EVENT_AT: F.min(c.EVENT_AT).over(deliveries),
        }
    ).where(F.col(ORDER) == F.col(NEWEST))
    return newest.withColumn(c.ROW_ID, F.col(NAME)).drop(NAME, ORDER, NEWEST)


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

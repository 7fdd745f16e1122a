"""Columns that rules may name besides the canonical ones. Each is computed only where a rule of the suite names it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.io.days import local_date
from tasks.io.equality import hash_cells
from tasks.io.orders import line_of
from tasks.stages.validation.past import Past

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

DUPLICATE_NUMBER = "duplicate_number"  # long, 1 for the first of equal rows of a file
SIGN_AGREES = "sign_agrees"  # boolean or null, whether a purchase has a positive and a return a negative quantity
MISSING_FEATURES = "missing_features"  # long, number of features of a tabular row that are null or not finite
LEAST_FEATURE = "least_feature"  # double, the smallest feature of a tabular row
DAYS_BEFORE_END = "days_before_end"  # long, local days from the event's day to the window's end: 1 on its last day
PRICE_BAND = "price_band"  # string, the unit price rounded down to a power of two: "4.0" for 4 to 7.99
# boolean, whether an identical row is in a file of the past; not where a correction of its order replaced it since then
DELIVERED_BEFORE = "delivered_before"
RETURNED_ITEM_WAS_SOLD = (
    "returned_item_was_sold"  # boolean, null unless a return: whether the item was sold here or in the past
)


def add_rule_columns(frame: DataFrame, window: Window, past: Past, names: Collection[str]) -> DataFrame:
    """The frame with the named computed columns. Other names are ignored."""
    for name, make in _SIMPLE.items():
        if name in names:
            frame = frame.withColumn(name, make(frame, window, past.zone))
    if DELIVERED_BEFORE in names:
        frame = _add_delivered(frame, past)
    return _add_sold(frame, past) if RETURNED_ITEM_WAS_SOLD in names else frame


def _duplicate_number(_frame: DataFrame, _window: Window, _zone: ZoneInfo) -> Column:
    from pyspark.sql import Window as Over
    from pyspark.sql import functions as F

    place = F.substring_index(c.ROW_ID, ":", -1).cast("long")
    # Equal rows are found by a hash of their original cells: sorting the texts themselves costs three times as much.
    same = Over.partitionBy(c.SOURCE_FILE, F.xxhash64(c.AS_IT_CAME), F.hash(c.AS_IT_CAME)).orderBy(place)
    return F.row_number().over(same).cast("long")


def _sign_agrees(_frame: DataFrame, _window: Window, _zone: ZoneInfo) -> Column:
    from pyspark.sql import functions as F

    positive = F.when(F.col(c.QUANTITY) != 0, F.col(c.QUANTITY) > 0)
    return F.when(F.col(c.EVENT_TYPE) == c.PURCHASE, positive).when(F.col(c.EVENT_TYPE) == c.RETURN, ~positive)


def _days_before_end(_frame: DataFrame, window: Window, zone: ZoneInfo) -> Column:
    from pyspark.sql import functions as F

    return F.date_diff(F.lit(window.end.isoformat()).cast("date"), local_date(F.col(c.EVENT_AT), zone)).cast("long")


def _price_band(_frame: DataFrame, _window: Window, _zone: ZoneInfo) -> Column:
    from pyspark.sql import functions as F

    price = F.col(c.UNIT_PRICE)
    power = F.pow(F.lit(2.0), F.floor(F.log2(price)))
    return F.when(price <= 0, "0 or less").otherwise(power.cast("string"))


def _features(frame: DataFrame) -> list[Column]:
    from pyspark.sql import functions as F

    known = {*c.TABULAR_COLUMNS, c.EVENT_ID, *_SIMPLE}
    return [F.col(f"`{name}`").cast("double") for name in frame.columns if name not in known]


def _missing_features(frame: DataFrame, _window: Window, _zone: ZoneInfo) -> Column:
    from pyspark.sql import functions as F

    infinite = F.lit(float("inf"))
    missing = [
        F.when(feature.isNull() | F.isnan(feature) | (F.abs(feature) == infinite), 1).otherwise(0)
        for feature in _features(frame)
    ]
    return sum(missing, F.lit(0)).cast("long")


def _least_feature(frame: DataFrame, _window: Window, _zone: ZoneInfo) -> Column:
    from pyspark.sql import functions as F

    return F.array_min(F.array(*_features(frame)))


def _add_delivered(frame: DataFrame, past: Past) -> DataFrame:
    from pyspark.sql import functions as F

    before = past.rows(frame.sparkSession)
    if before is None:
        return frame.withColumn(DELIVERED_BEFORE, F.lit(False))
    came = [F.xxhash64(c.AS_IT_CAME).alias("_hash"), F.col(c.AS_IT_CAME).alias("_came")]
    if c.EVENT_ID in before.columns:
        lines = before.withColumn("_line", line_of(before))
        names = [name for name in (c.USER_ID, c.EVENT_ID, c.EVENT_TYPE, "_line") if name in lines.columns]
        named = lines.select(*came, c.INGESTED_AT, hash_cells(lines, names).alias("_name"))
        copies = named.join(frame.select(*came).distinct(), ["_hash", "_came"], "left_semi")
        newest = named.join(copies.select("_name").distinct(), "_name", "left_semi").groupBy("_name")
        known = copies.join(newest.agg(F.max(c.INGESTED_AT).alias("_newest")), "_name").where(f"{c.INGESTED_AT} = _newest")
    else:
        known = before.select(*came)
    known = known.select("_hash", "_came").distinct()
    same = (F.xxhash64(c.AS_IT_CAME) == F.col("_hash")) & (F.col(c.AS_IT_CAME) == F.col("_came"))
    joined = frame.join(known, same, "left")
    return joined.select(*[f"`{name}`" for name in frame.columns], F.col("_came").isNotNull().alias(DELIVERED_BEFORE))


def _add_sold(frame: DataFrame, past: Past) -> DataFrame:
    from pyspark.sql import functions as F

    bought = frame.where(F.col(c.EVENT_TYPE) == c.PURCHASE).select(c.ITEM_ID)
    before = past.rows(frame.sparkSession)
    if before is not None:
        bought = bought.unionByName(before.where(F.col(c.EVENT_TYPE) == c.PURCHASE).select(c.ITEM_ID))
    sold = bought.distinct().withColumn("_sold", F.lit(True))
    is_return = F.col(c.EVENT_TYPE) == c.RETURN
    found = F.when(is_return & F.col(c.ITEM_ID).isNotNull(), F.coalesce(F.col("_sold"), F.lit(False)))
    joined = frame.join(sold, c.ITEM_ID, "left").withColumn(RETURNED_ITEM_WAS_SOLD, found)
    return joined.select(*[f"`{name}`" for name in frame.columns], RETURNED_ITEM_WAS_SOLD)


_SIMPLE: dict[str, Callable[[DataFrame, Window, ZoneInfo], Column]] = {
    DUPLICATE_NUMBER: _duplicate_number,
    SIGN_AGREES: _sign_agrees,
    DAYS_BEFORE_END: _days_before_end,
    PRICE_BAND: _price_band,
    MISSING_FEATURES: _missing_features,
    LEAST_FEATURE: _least_feature,
}
OF_THE_PAST = frozenset({DELIVERED_BEFORE, RETURNED_ITEM_WAS_SOLD})
COMPUTED = frozenset({*_SIMPLE, *OF_THE_PAST})

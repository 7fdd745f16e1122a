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

HASH, CAME, NAME, NEWEST, LINE, SOLD = (f"{c.OWN}{name}" for name in ("hash", "came", "name", "newest", "line", "sold"))


def add_rule_columns(frame: DataFrame, window: Window, past: Past, names: Collection[str]) -> DataFrame:
    """The frame with the named computed columns. Other names are ignored."""
    for name, make in _SIMPLE.items():
        if name in names:
            frame = frame.withColumn(name, make(frame, window, past.zone))
    if c.DELIVERED_BEFORE in names:
        frame = _add_delivered(frame, past)
    return _add_sold(frame, past) if c.RETURNED_ITEM_WAS_SOLD in names else frame


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
        return frame.withColumn(c.DELIVERED_BEFORE, F.lit(False))
    came = [F.xxhash64(c.AS_IT_CAME).alias(HASH), F.col(c.AS_IT_CAME).alias(CAME)]
    if c.EVENT_ID in before.columns:
        lines = before.withColumn(LINE, line_of(before))
        names = [name for name in (c.USER_ID, c.EVENT_ID, c.EVENT_TYPE, LINE) if name in lines.columns]
        named = lines.select(*came, c.INGESTED_AT, hash_cells(lines, names).alias(NAME))
        copies = named.join(frame.select(*came).distinct(), [HASH, CAME], "left_semi")
        newest = named.join(copies.select(NAME).distinct(), NAME, "left_semi").groupBy(NAME)
        known = copies.join(newest.agg(F.max(c.INGESTED_AT).alias(NEWEST)), NAME).where(F.col(c.INGESTED_AT) == F.col(NEWEST))
    else:
        known = before.select(*came)
    known = known.select(HASH, CAME).distinct()
    same = (F.xxhash64(c.AS_IT_CAME) == F.col(HASH)) & (F.col(c.AS_IT_CAME) == F.col(CAME))
    joined = frame.join(known, same, "left")
    return joined.select(*[f"`{name}`" for name in frame.columns], F.col(CAME).isNotNull().alias(c.DELIVERED_BEFORE))


def _add_sold(frame: DataFrame, past: Past) -> DataFrame:
    from pyspark.sql import functions as F

    bought = frame.where(F.col(c.EVENT_TYPE) == c.PURCHASE).select(c.ITEM_ID)
    before = past.rows(frame.sparkSession)
    if before is not None:
        bought = bought.unionByName(before.where(F.col(c.EVENT_TYPE) == c.PURCHASE).select(c.ITEM_ID))
    sold = bought.distinct().withColumn(SOLD, F.lit(True))
    is_return = F.col(c.EVENT_TYPE) == c.RETURN
    found = F.when(is_return & F.col(c.ITEM_ID).isNotNull(), F.coalesce(F.col(SOLD), F.lit(False)))
    joined = frame.join(sold, c.ITEM_ID, "left").withColumn(c.RETURNED_ITEM_WAS_SOLD, found)
    return joined.select(*[f"`{name}`" for name in frame.columns], c.RETURNED_ITEM_WAS_SOLD)


_SIMPLE: dict[str, Callable[[DataFrame, Window, ZoneInfo], Column]] = {
    c.DUPLICATE_NUMBER: _duplicate_number,
    c.SIGN_AGREES: _sign_agrees,
    c.DAYS_BEFORE_END: _days_before_end,
    c.PRICE_BAND: _price_band,
    c.MISSING_FEATURES: _missing_features,
    c.LEAST_FEATURE: _least_feature,
}
OF_THE_PAST = frozenset({c.DELIVERED_BEFORE, c.RETURNED_ITEM_WAS_SOLD})
COMPUTED = frozenset({*_SIMPLE, *OF_THE_PAST})

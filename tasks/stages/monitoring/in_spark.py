"""Counting by Spark: exact over all rows, however many there are. in_memory.py counts the same of few rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import reduce
from operator import add
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from tasks import columns as c
from tasks.contracts.base import Window as Days
from tasks.contracts.calendar import UTC_ZONE
from tasks.contracts.predictions import COLD_PATHS
from tasks.io.days import local_date, local_time, midnight
from tasks.io.equality import hash_cells
from tasks.stages.monitoring.bins import MISSING, NEW, OTHER, category_limits, find_edges, is_cut_at_quantiles
from tasks.stages.monitoring.checks.base import NEVER_EQUAL, OF_ITS_DAY, UNIT, UNITS, Counts

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import Column, DataFrame

_SLOTS = 64  # more than the bins of any column
_TOGETHER = 3
SIDE = f"{c.OWN}side"  # long, 0: the reference, 1: the current window


def take_sample(
    rows: DataFrame, columns: Sequence[str], seed: int, most: int, span: Days, zone: ZoneInfo = UTC_ZONE
) -> pd.DataFrame:
    """The `most` rows of the units with the smallest hash, as in in_memory.py."""
    from pyspark.sql import functions as F

    unit = F.coalesce(*(F.concat(F.lit(f"{name}:"), F.col(name).cast("string")) for name in UNITS if name in rows.columns))
    if c.EVENT_AT in rows.columns:
        until = F.unix_seconds(midnight(span.end)) - F.unix_seconds(local_time(F.col(c.EVENT_AT), zone))
        place = F.coalesce(F.ceil(until / (span.days * 86_400)), F.lit(0))
        unit = F.concat(unit, F.lit("@"), place.cast("string"))
    kept = rows.select(*(f"`{name}`" for name in dict.fromkeys([c.ROW_ID, *columns])), unit.alias(UNIT))
    frame: pd.DataFrame = kept.orderBy(F.xxhash64(F.lit(seed), UNIT), c.ROW_ID).limit(most).toPandas()
    return frame


def count_bins(reference: DataFrame, current: DataFrame, sample: pd.DataFrame, columns: Sequence[str]) -> dict[str, Counts]:
    """The rows of each side in each bin of each column. `sample` is of the reference and says where to cut."""
    from pyspark.sql import functions as F

    totals = reference.count(), current.count()
    if not all(totals):
        return {column: Counts(("(all)",), (totals[0],), (totals[1],)) for column in columns}
    smaller = min(totals)
    side, cells = (F.lit(0).alias(SIDE), F.lit(1).alias(SIDE)), [f"`{column}`" for column in columns]
    both = reference.select(side[0], *cells).unionByName(current.select(side[1], *cells))
    cut = [column for column in columns if is_cut_at_quantiles(sample[column], smaller)]
    named = [column for column in columns if column not in cut]
    most, times = category_limits(totals[0], smaller)
    return {**_count_numbers(both, cut, sample, smaller), **_count_names(both, named, most, times)}


def _count_numbers(both: DataFrame, columns: Sequence[str], sample: pd.DataFrame, smaller: int) -> dict[str, Counts]:
    if not columns:
        return {}
    from pyspark.sql import functions as F

    bins = {column: find_edges(sample[column], smaller) for column in columns}
    slots: list[Column] = []
    for column, (edges, names) in bins.items():
        value = F.col(f"`{column}`").cast("double")
        over: Column = F.lit(0)
        for edge in edges:
            over = over + (value > edge).cast("int")
        slots.append(F.when(value.isNull() | F.isnan(value), len(names)).otherwise(over).cast("long"))
    # Three columns are counted together and added up apart. One query for all would be a method too large for Java to compile.
    groups = [slots[first : first + _TOGETHER] for first in range(0, len(slots), _TOGETHER)]
    tallies = [
        both.select(SIDE, reduce(add, (slot * _SLOTS**place for place, slot in enumerate(group))).alias("code"))
        .groupBy(SIDE, "code")
        .count()
        .withColumn("code", F.col("code") + number * _SLOTS**_TOGETHER)
        for number, group in enumerate(groups)
    ]
    found = reduce(lambda one, other: one.unionAll(other), tallies).toPandas()
    code, side, count = (found[name].to_numpy() for name in ("code", SIDE, "count"))
    counted = {}
    for nth, (column, (_, names)) in enumerate(bins.items()):
        number, place = divmod(nth, _TOGETHER)
        own = code // _SLOTS**_TOGETHER == number
        slot = code // _SLOTS**place % _SLOTS
        sides = [np.bincount(slot[own & (side == n)], count[own & (side == n)], len(names) + 1) for n in (0, 1)]
        counted[column] = _tally([*names, MISSING], [one.astype(np.int64).tolist() for one in sides])
    return counted


def _count_names(both: DataFrame, columns: Sequence[str], most: int, times: float) -> dict[str, Counts]:
    """The `most` frequent categories that the reference has at least `times` times stand for themselves (see bins.py)."""
    if not columns:
        return {}
    from pyspark.sql import Window as Over
    from pyspark.sql import functions as F

    pairs = [F.struct(F.lit(place).alias("place"), _name(both, column).alias("name")) for place, column in enumerate(columns)]
    values = (
        both.select(SIDE, F.explode(F.array(*pairs)).alias("pair"))
        .groupBy("pair.place", "pair.name")
        .agg(F.sum(1 - F.col(SIDE)).alias("before"), F.sum(SIDE).alias("now"))
    )
    by_rank = Over.partitionBy("place", F.col("name").isNull()).orderBy(F.desc("before"), "name")
    is_frequent = F.col("name").isNotNull() & (F.row_number().over(by_rank) <= most) & (F.col("before") >= times)
    found = (
        values.withColumn("own", F.when(is_frequent, F.col("name")))
        .groupBy("place", "own", F.col("name").isNull().alias("missing"))
        .agg(
            F.sum("before").alias("before"),
            F.sum("now").alias("now"),
            F.sum(F.when(F.col("before") == 1, 1).otherwise(0)).alias("once"),
            F.sum(F.when(F.col("before") == 0, F.col("now")).otherwise(0)).alias("new"),
        )
        .collect()
    )
    counted = {}
    for place, column in enumerate(columns):
        rows = [row for row in found if row["place"] == place]
        own = sorted((row for row in rows if row["own"] is not None), key=lambda row: (-row["before"], row["own"]))
        table = {row["own"]: (row["before"], row["now"]) for row in own}
        rest = next((row for row in rows if row["own"] is None and not row["missing"]), None)
        if rest is not None:
            table[OTHER] = (rest["before"] - rest["once"], rest["now"] - rest["new"])
            table[NEW] = (rest["once"], rest["new"])
        for row in rows:
            if row["missing"]:
                table[MISSING] = (row["before"], row["now"])
        counted[column] = _tally(list(table), [[side[n] for side in table.values()] for n in (0, 1)])
    return counted


def _tally(names: Sequence[str], sides: Sequence[Sequence[int]]) -> Counts:
    return Counts(tuple(names), tuple(map(int, sides[0])), tuple(map(int, sides[1])))


def _name(rows: DataFrame, column: str) -> Column:
    """Values as text: numbers in their shortest form, so that 1 and 1.0 are one category."""
    from pyspark.sql import functions as F
    from pyspark.sql.types import NumericType

    if not isinstance(rows.schema[column].dataType, NumericType):
        return F.col(f"`{column}`").cast("string")
    value = F.col(f"`{column}`").cast("double")
    text = F.when(value == F.floor(value), F.floor(value).cast("string")).otherwise(value.cast("string"))
    return F.when(F.isnan(value), None).otherwise(text)


def _content(rows: DataFrame, columns: Sequence[str]) -> DataFrame:
    return rows.select(hash_cells(rows, columns).alias("content"))


def count_days(rows: DataFrame, zone: ZoneInfo) -> dict[date, int]:
    from pyspark.sql import functions as F

    found = rows.groupBy(local_date(F.col(c.EVENT_AT), zone).alias("day")).count().collect()
    return {row["day"]: int(row["count"]) for row in found if row["day"] is not None}


def share_doubled(rows: DataFrame) -> float:
    from pyspark.sql import functions as F

    columns = [name for name in rows.columns if name not in NEVER_EQUAL]
    row = _content(rows, columns).agg(F.count("*").alias("all"), F.count_distinct("content").alias("different")).first()
    return 1 - row["different"] / row["all"] if row and row["all"] else 0.0


def share_repeated(previous: DataFrame, current: DataFrame) -> tuple[int, float]:
    """How many rows occur once in the window before, their days aside, and the share of those that are here again."""
    from pyspark.sql import functions as F

    shared = [name for name in previous.columns if name in current.columns and name not in {*NEVER_EQUAL, *OF_ITS_DAY}]
    once = _content(previous, shared).groupBy("content").count().where("count = 1").select("content")
    here = _content(current, shared).distinct().withColumn("here", F.lit(1))
    row = once.join(here, "content", "left").agg(F.count("*").alias("once"), F.count("here").alias("again")).first()
    return (int(row["once"]), row["again"] / row["once"]) if row and row["once"] else (0, 0.0)


def measure_predictions(predictions: DataFrame, rows: DataFrame) -> dict[str, float]:
    """Figures of the answers that were given out, which need no labels; empty where there is no answer.

    Parameters
    ----------
    predictions : `row_id`, `subject`, `item_id` (null for tabular), `prediction`, `path`.
    rows : the window's rows; their items are what could have been shown.

    Returns
    -------
    answers, subjects; cold_share, the share of the subjects of whom the model knew nothing
    in at least one answer (see `AnswerPath.is_cold`); invalid_share, of the answers whose score is
    no finite number; doubled_answer_share; and item_coverage, the share of the window's items that anybody was shown.
    """
    from pyspark.sql import functions as F

    score = F.col(c.PREDICTION)
    is_valid = score.isNotNull() & ~F.isnan(score) & (F.abs(score) < float("inf"))
    by_subject = predictions.groupBy("subject").agg(
        F.count("*").alias("answers"),
        F.max(F.col("path").isin([path.value for path in COLD_PATHS]).cast("int")).alias("cold"),
        F.count_if(~is_valid).alias("invalid"),
    )
    sums = [F.sum(name).alias(name) for name in ("answers", "cold", "invalid")]
    totals = by_subject.agg(F.count("subject").alias("subjects"), *sums).first()
    if totals is None or not totals["answers"]:
        return {}
    different = predictions.select(c.ROW_ID).distinct().count()  # distinct counts of two columns in one query cost twice
    figures = {
        "answers": float(totals["answers"]),
        "subjects": float(totals["subjects"]),
        "cold_share": (totals["cold"] or 0) / totals["subjects"],
        "invalid_share": totals["invalid"] / totals["answers"],
        "doubled_answer_share": 1 - different / totals["answers"],
    }
    if c.ITEM_ID in rows.columns:
        items = rows.select(c.ITEM_ID).distinct()
        shown = predictions.select(c.ITEM_ID).distinct().withColumn("shown", F.lit(1))
        row = items.join(shown, c.ITEM_ID, "left").agg(F.count("*").alias("all"), F.count("shown").alias("shown")).first()
        if row and row["all"]:
            figures["item_coverage"] = row["shown"] / row["all"]
    return figures

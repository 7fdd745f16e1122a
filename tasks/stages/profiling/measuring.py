"""The core: a frame of canonical rows -> exact figures of all rows, by Spark. Only aggregates are collected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from tasks import columns as c
from tasks.contracts.calendar import UTC_ZONE
from tasks.errors import NotEnoughData
from tasks.io.days import local_time

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import Column, DataFrame

QUARTILES = (0.25, 0.5, 0.75)
FENCE = 1.5  # Tukey: an outlier is more than so many interquartile ranges beyond a quartile
MOST_VALUES = 8  # named values of a text column
MOST_CORRELATED = 40  # numeric columns in the correlation matrix
MARKS = (c.ROW_ID, c.SOURCE_FILE, c.USER_ATTRIBUTES, c.ITEM_ATTRIBUTES)  # identify rows, or are profiled elsewhere


@dataclass(frozen=True)
class Number:
    """A numeric column. `outliers` counts the values beyond Tukey's fences."""

    missing: int
    least: float | None
    mean: float | None
    deviation: float | None
    quartiles: tuple[float, ...]
    most: float | None
    zeros: int
    negative: int
    outliers: int


@dataclass(frozen=True)
class Text:
    """A text column. `distinct` is an estimate within 2 %, `values` are the most frequent ones with their rows."""

    missing: int
    distinct: int
    values: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Figures:
    """The figures of all rows.

    Parameters
    ----------
    balance : rows of each class, or of each type of event.
    days : rows of each day that has any.
    weekdays : rows of each weekday, from Monday.
    hours : rows of each hour of the day.
    correlated : the columns of `correlations`.
    correlations : Pearson's, (correlated, correlated); nan where a column is constant.
    time_zone : whose days, weekdays and hours they are.
    """

    rows: int
    numbers: dict[str, Number]
    texts: dict[str, Text]
    balance: dict[str, int]
    days: dict[date, int]
    weekdays: tuple[int, ...]
    hours: tuple[int, ...]
    correlated: tuple[str, ...]
    correlations: tuple[tuple[float, ...], ...]
    time_zone: str = "UTC"

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"days": {day.isoformat(): rows for day, rows in self.days.items()}}


def measure(rows: DataFrame, zone: ZoneInfo = UTC_ZONE) -> Figures:
    """The figures of a frame. It is read several times, so the caller caches it."""
    from pyspark.sql import functions as F
    from pyspark.sql.types import NumericType, StringType

    kinds = {field.name: field.dataType for field in rows.schema if field.name not in MARKS}
    numeric = [name for name, kind in kinds.items() if isinstance(kind, NumericType)]
    texts = [name for name, kind in kinds.items() if isinstance(kind, StringType)]
    first = rows.agg(
        F.count(F.lit(1)).alias("rows"),
        *(one for place, name in enumerate(numeric) for one in _of_number(f"n{place}", name)),
        *(one for place, name in enumerate(texts) for one in _of_text(f"t{place}", name)),
    ).collect()[0]
    if not first["rows"]:
        raise NotEnoughData("the snapshots have no rows; choose another window")
    target = c.TARGET if c.TARGET in kinds else c.EVENT_TYPE
    balance = {str(row[0]): row[1] for row in rows.groupBy(target).count().orderBy(target).collect()}
    compared = numeric[:MOST_CORRELATED]
    return Figures(
        rows=first["rows"],
        numbers=_numbers(rows, numeric, first),
        texts={name: _text(rows, name, first, f"t{place}") for place, name in enumerate(texts)},
        balance=balance,
        correlated=tuple(compared),
        correlations=_correlate(rows, compared),
        time_zone=zone.key,
        **_when(rows, zone),
    )


def take_sample(rows: DataFrame, count: int, most: int, seed: int) -> pd.DataFrame:
    """A sample of about `most` rows by a hash of the row id. The same rows and seed give the same sample."""
    from pyspark.sql import functions as F

    kept = rows if count <= most else rows.where(F.pmod(F.xxhash64(F.lit(seed), c.ROW_ID), F.lit(count)) < most)
    frame: pd.DataFrame = kept.orderBy(c.ROW_ID).toPandas()
    return frame


def _finite(name: str) -> Column:
    """The value, null where it is missing, not a number or infinite."""
    from pyspark.sql import functions as F

    value = F.col(f"`{name}`").cast("double")
    return F.when(~F.isnan(value) & (F.abs(value) < float("inf")), value)


def _of_number(place: str, name: str) -> list[Column]:
    from pyspark.sql import functions as F

    value = _finite(name)
    return [
        F.count(value).alias(f"{place}_count"),
        F.min(value).alias(f"{place}_least"),
        F.max(value).alias(f"{place}_most"),
        F.avg(value).alias(f"{place}_mean"),
        F.stddev(value).alias(f"{place}_deviation"),
        F.percentile_approx(value, list(QUARTILES), 10_000).alias(f"{place}_quartiles"),
        F.count_if(value == 0).alias(f"{place}_zeros"),
        F.count_if(value < 0).alias(f"{place}_negative"),
    ]


def _of_text(place: str, name: str) -> list[Column]:
    from pyspark.sql import functions as F

    return [
        F.count(f"`{name}`").alias(f"{place}_count"),
        F.approx_count_distinct(f"`{name}`", 0.02).alias(f"{place}_distinct"),
    ]


def _numbers(rows: DataFrame, names: Sequence[str], first: Any) -> dict[str, Number]:
    from pyspark.sql import functions as F

    outside = []
    for place, name in enumerate(names):
        low, _, high = first[f"n{place}_quartiles"] or (0.0, 0.0, 0.0)
        beyond = FENCE * (high - low)
        outside.append(F.count_if((_finite(name) < low - beyond) | (_finite(name) > high + beyond)).alias(f"o{place}"))
    counted = rows.agg(F.lit(0), *outside).collect()[0]
    return {
        name: Number(
            missing=first["rows"] - first[f"n{place}_count"],
            quartiles=tuple(first[f"n{place}_quartiles"] or ()),
            outliers=counted[f"o{place}"],
            **{key: first[f"n{place}_{key}"] for key in ("least", "mean", "deviation", "most", "zeros", "negative")},
        )
        for place, name in enumerate(names)
    }


def _text(rows: DataFrame, name: str, first: Any, place: str) -> Text:
    from pyspark.sql import functions as F

    counted = rows.where(F.col(f"`{name}`").isNotNull()).groupBy(F.col(f"`{name}`").alias("value")).count()
    values = counted.orderBy(F.desc("count"), "value").limit(MOST_VALUES).collect()
    return Text(
        missing=first["rows"] - first[f"{place}_count"],
        distinct=first[f"{place}_distinct"],
        values=tuple((row["value"], row["count"]) for row in values),
    )


def _correlate(rows: DataFrame, names: Sequence[str]) -> tuple[tuple[float, ...], ...]:
    from pyspark.sql import functions as F

    pairs = [(one, other) for one in range(len(names)) for other in range(one)]
    columns = [F.corr(_finite(names[one]), _finite(names[other])).alias(f"c{one}_{other}") for one, other in pairs]
    values = rows.agg(F.lit(0), *columns).collect()[0].asDict()
    nothing = float("nan")

    def between(one: int, other: int) -> float:
        found = 1.0 if one == other else values[f"c{max(one, other)}_{min(one, other)}"]
        return nothing if found is None else float(found)

    return tuple(tuple(between(one, other) for other in range(len(names))) for one in range(len(names)))


def _when(rows: DataFrame, zone: ZoneInfo) -> dict[str, Any]:
    """Rows by local day, by weekday and by hour of the day."""
    from pyspark.sql import functions as F

    at = local_time(F.col(c.EVENT_AT), zone)
    counted = rows.where(at.isNotNull()).groupBy(F.to_date(at).alias("day"), F.hour(at).alias("hour")).count().collect()
    days: dict[date, int] = {}
    weekdays, hours = [0] * 7, [0] * 24
    for row in sorted(counted, key=lambda row: row["day"]):
        days[row["day"]] = days.get(row["day"], 0) + row["count"]
        weekdays[row["day"].weekday()] += row["count"]
        hours[row["hour"]] += row["count"]
    return {"days": days, "weekdays": tuple(weekdays), "hours": tuple(hours)}

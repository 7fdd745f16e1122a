"""Local times and local days: daylight saving, and days of 23 and 25 hours."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from tasks.contracts.calendar import UTC_ZONE
from tasks.io.days import add_local_days, local_date, midnight, midnight_of, read_local, states_offset

LONDON, SANTIAGO = ZoneInfo("Europe/London"), ZoneInfo("America/Santiago")


def test_local_times_have_one_moment(spark: SparkSession) -> None:
    """London skips 01:00 to 02:00 on 29 March 2026 and repeats it on 25 October. Santiago skips midnight of 6 September."""
    cases = {
        ("2026-01-05 12:00:00", LONDON): "2026-01-05 12:00:00",
        ("2026-07-05 00:30:00", LONDON): "2026-07-04 23:30:00",
        ("2026-03-29 01:30:00", LONDON): "2026-03-29 01:30:00",
        ("2026-10-25 01:30:00", LONDON): "2026-10-25 00:30:00",
        ("2026-10-25 02:00:00", LONDON): "2026-10-25 02:00:00",
        ("2026-09-06 00:00:00", SANTIAGO): "2026-09-06 04:00:00",
        ("2026-09-06 00:00:00", UTC_ZONE): "2026-09-06 00:00:00",
    }
    columns = [read_local(F.expr(f"TIMESTAMP '{wall} UTC'"), zone) for wall, zone in cases]
    found = spark.range(1).select(*(F.date_format(one, "yyyy-MM-dd HH:mm:ss") for one in columns)).collect()[0]
    assert list(found) == list(cases.values())


@pytest.mark.parametrize("zone", [UTC_ZONE, LONDON, SANTIAGO, ZoneInfo("Asia/Kolkata")], ids=str)
def test_each_moment_is_of_the_day_that_began_before_it(zone: ZoneInfo, spark: SparkSession) -> None:
    """Of a whole year by the quarter hour, the days that daylight saving shortens and lengthens among them."""
    first = int(pd.Timestamp("2026-01-01").timestamp())
    moments = spark.range(0, 365 * 96).select(F.timestamp_seconds(F.col("id") * 900 + first).alias("at"))
    day = local_date(F.col("at"), zone)
    begins, ends = midnight_of(day, zone), midnight_of(F.date_add(day, 1), zone)
    wrong = moments.where(~((F.col("at") >= begins) & (F.col("at") < ends))).count()
    assert wrong == 0
    if zone == LONDON:
        days = {row["day"]: row["count"] / 4 for row in moments.groupBy(day.alias("day")).count().collect()}
        assert (days[date(2026, 3, 29)], days[date(2026, 10, 25)]) == (23, 25) and sorted(set(days.values())) == [23, 24, 25]
    assert (
        spark.range(1)
        .select(midnight(date(2026, 7, 5), zone) == midnight_of(F.lit("2026-07-05").cast("date"), zone))
        .collect()[0][0]
    )


@pytest.mark.parametrize(
    ("zone", "at", "days", "expected"),
    [
        (LONDON, "2026-03-28T00:00", 2, "2026-03-29T23:00"),  # 47 hours
        (LONDON, "2026-10-24T23:00", 1, "2026-10-26T00:00"),  # 25 hours
        (LONDON, "2026-10-26T00:00", -1, "2026-10-24T23:00"),
        (LONDON, "2026-03-28T01:30", 1, "2026-03-29T01:00"),  # 01:30 does not exist
        (LONDON, "2026-10-24T00:30", 1, "2026-10-25T00:30"),  # 01:30 occurs twice
        (SANTIAGO, "2026-09-05T04:00", 1, "2026-09-06T04:00"),  # midnight does not exist
        (UTC_ZONE, "2026-03-28T01:30", 1, "2026-03-29T01:30"),
    ],
)
def test_days_are_added_to_the_local_time(zone: ZoneInfo, at: str, days: int, expected: str) -> None:
    moments = pd.Series([pd.Timestamp(at, tz="UTC")]).astype("datetime64[us, UTC]")
    assert add_local_days(moments, days, zone).tolist() == [pd.Timestamp(expected, tz="UTC")]
    assert add_local_days(moments[:0], days, zone).empty


def test_a_pattern_states_an_offset_or_not() -> None:
    assert [states_offset(one) for one in ("yyyy-MM-dd HH:mm:ss", "dd.MM.yyyy 'um' HH:mm", "yyyy 'Zeit' HH")] == [False] * 3
    assert all(states_offset(one) for one in ("yyyy-MM-dd'T'HH:mm:ssXXX", "yyyy-MM-dd'T'HH:mm:ss'Z'", "dd/MM/yyyy HH:mm VV"))

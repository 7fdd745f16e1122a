"""Volume and missing days, by weekday, calendar and time zone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from tasks.columns import EVENT_AT
from tasks.contracts.base import Window
from tasks.contracts.calendar import NO_CALENDAR, UTC_ZONE, Calendar
from tasks.contracts.monitoring import CheckResult
from tasks.stages.monitoring import in_memory, in_spark
from tasks.stages.monitoring.checks.base import Evidence
from tasks.stages.monitoring.checks.faults import MissingDays, Volume

MONDAY = date(2011, 3, 7)
WEEKENDS = {5: 0.2, 6: 0.2}
ENGLAND = Calendar(closed_days=("2011-04-22", "2011-04-25", "2011-04-29", "2011-05-02", "2011-05-30"))


def trade(first: date, days: int, shares: Mapping[int, float] = {}, rows: int = 1_000) -> dict[date, int]:
    """Rows of each day; a weekday's share of the usual number, 0 where no row comes."""
    span = [first + timedelta(days=place) for place in range(days)]
    found = {day: round(rows * shares.get(day.weekday(), 1.0)) for day in span}
    return {day: count for day, count in found.items() if count}


def judge_day(day: date, before: dict[date, int], now: dict[date, int], calendar: Calendar = NO_CALENDAR) -> list[CheckResult]:
    seen = Evidence(Window(start=day, end=day + timedelta(days=1)), days=(before, now), calendar=calendar)
    return [*Volume().judge(seen), *MissingDays().judge(seen)]


def faults(results: list[CheckResult]) -> list[str]:
    return [one.check for one in results if one.violated]


@pytest.mark.parametrize("share", [0.25, 0.2, 0.05])
def test_a_quiet_weekend_is_usual_and_a_broken_one_is_not(share: float) -> None:
    before = trade(MONDAY - timedelta(days=56), 56, {5: share, 6: share})
    saturday = MONDAY + timedelta(days=5)
    assert faults(judge_day(saturday, before, {saturday: round(1_000 * share)})) == []
    assert faults(judge_day(saturday, before, {saturday: round(1_000 * share / 5)})) == ["volume"]
    assert faults(judge_day(saturday, before, {saturday: 5 * round(1_000 * share)})) == ["volume"]
    assert faults(judge_day(MONDAY, before, {MONDAY: round(1_000 * min(share, 0.2))})) == ["volume"], "as on a weekend"


def test_a_weekday_that_is_always_closed_is_learned() -> None:
    before = trade(MONDAY - timedelta(days=56), 56, {0: 0.0})
    assert faults(judge_day(MONDAY, before, {})) == []
    tuesday = MONDAY + timedelta(days=1)
    assert faults(judge_day(tuesday, before, {})) == ["missing_days"]


def test_a_public_holiday_is_no_fault_where_the_calendar_knows_it() -> None:
    """Easter Monday 2011, closed, or with a tenth of the usual rows."""
    day = date(2011, 4, 25)
    before = trade(day - timedelta(days=56), 56)
    assert faults(judge_day(day, before, {})) == ["missing_days"]
    assert faults(judge_day(day, before, {day: 100})) == ["volume"]
    assert faults(judge_day(day, before, {}, ENGLAND)) == []
    assert faults(judge_day(day, before, {day: 100}, ENGLAND)) == []
    monday_after = day + timedelta(days=14)
    assert faults(judge_day(monday_after, before, {}, ENGLAND)) == ["missing_days"], "an ordinary Monday"


def test_holidays_do_not_make_a_weekday_irregular() -> None:
    """Three of eight Mondays were holidays: without the calendar Mondays would no longer be expected."""
    day = date(2011, 5, 9)
    before = trade(day - timedelta(days=42), 42)
    closed = [date(2011, 4, 25), date(2011, 5, 2)]
    before = {one: rows for one, rows in before.items() if one not in closed}
    assert faults(judge_day(day, before, {})) == []
    assert faults(judge_day(day, before, {}, ENGLAND)) == ["missing_days"]


def test_fewer_than_three_weeks_are_not_judged() -> None:
    before = trade(MONDAY - timedelta(days=14), 14)
    results = judge_day(MONDAY, before, {MONDAY: 1})
    assert faults(results) == [] and all("not judged" in one.note for one in results)
    assert faults(judge_day(MONDAY, trade(MONDAY - timedelta(days=21), 21), {MONDAY: 1})) == ["volume"]


def test_growth_to_ten_times_is_no_fault_because_recent_weeks_are_the_measure() -> None:
    rows = {MONDAY + timedelta(days=place): round(1_000 * 10 ** (place / 364)) for place in range(365)}
    for place in range(56, 365):
        day = MONDAY + timedelta(days=place)
        before = {one: count for one, count in rows.items() if day - timedelta(days=56) <= one < day}
        assert faults(judge_day(day, before, {day: rows[day]})) == []


def test_few_rows_a_day_are_chance() -> None:
    """Four invoices of eight lines on a weekend day: one of them, or none, is chance; of twenty invoices it is not."""
    random = np.random.default_rng(1)
    span = [MONDAY - timedelta(days=place) for place in range(1, 57)]
    before = {day: 8 * max(1, int(random.poisson(4 if day.weekday() >= 5 else 20))) for day in span}
    saturday = MONDAY + timedelta(days=5)
    assert faults(judge_day(saturday, before, {saturday: 8})) == []
    assert faults(judge_day(saturday, before, {})) == []
    assert faults(judge_day(MONDAY, before, {MONDAY: 16})) == ["volume"]
    assert faults(judge_day(MONDAY, before, {})) == ["missing_days"]
    assert faults(judge_day(saturday, before, {saturday: 32 * 12})) == ["volume"]


def test_events_of_other_days_do_not_hide_the_volume_of_the_window() -> None:
    before = trade(MONDAY - timedelta(days=56), 56)
    late = {MONDAY - timedelta(days=n): 1_000 for n in range(1, 5)}
    assert faults(judge_day(MONDAY, before, {MONDAY: 10, **late})) == ["volume"]


def test_days_are_local_in_pandas_and_spark(spark: SparkSession) -> None:
    """In summer 23:30 UTC is the next day in London, and 03:59 UTC is still the last one in New York."""
    moments = pd.to_datetime(["2011-07-01T23:30Z", "2011-07-02T03:59Z", "2011-07-02T04:00Z"]).astype("datetime64[us, UTC]")
    rows = pd.DataFrame({EVENT_AT: moments})
    first, second = date(2011, 7, 1), date(2011, 7, 2)
    for zone, expected in (
        (UTC_ZONE, {first: 1, second: 2}),
        (ZoneInfo("Europe/London"), {second: 3}),
        (ZoneInfo("America/New_York"), {first: 2, second: 1}),
    ):
        assert in_memory.count_days(rows, zone) == expected
        assert in_memory.count_days(rows.assign(**{EVENT_AT: rows[EVENT_AT].dt.tz_localize(None)}), zone) == expected, (
            "as Spark wrote it"
        )
        assert in_spark.count_days(spark.createDataFrame(rows), zone) == expected

"""Which days are closed, and when local days begin."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.calendar import Calendar, local_day, start_of_day

LONDON = ZoneInfo("Europe/London")


@pytest.mark.parametrize(
    ("lines", "closed", "open_"),
    [
        ({}, [], ["2011-01-01", "2011-01-02"]),
        ({"closed_weekdays": ["saturday", "sunday"]}, ["2011-01-01", "2011-01-02"], ["2011-01-03"]),
        ({"holidays": {"country": "GB", "subdivision": "ENG"}}, ["2011-01-03", "2011-04-22"], ["2011-01-04"]),
        ({"holidays": {"country": "DE", "subdivision": "BY"}}, ["2011-01-06", "2011-05-01"], ["2011-01-03"]),
        ({"holidays": {"country": "DE"}}, ["2011-10-03"], ["2011-01-06"]),
        ({"closed_days": [date(2011, 5, 3), "08-15"]}, ["2011-05-03", "2011-08-15", "2012-08-15"], ["2012-05-03"]),
        (
            {"closed_days": ["12-24..01-03"]},
            ["2010-12-24", "2010-12-31", "2011-01-03", "2011-12-24"],
            ["2011-01-04", "2011-12-23"],
        ),
        ({"closed_days": ["2011-07-01..2011-07-31"]}, ["2011-07-01", "2011-07-31"], ["2011-08-01", "2012-07-15"]),
        ({"closed_days": ["02-29"]}, ["2012-02-29"], ["2011-02-28", "2011-03-01"]),
        ({"closed_weekdays": ["sunday"], "open_days": ["12-01..12-24"]}, ["2011-11-27"], ["2011-12-04", "2011-12-18"]),
    ],
)
def test_the_calendar_closes_what_its_lines_name(lines: dict[str, object], closed: list[str], open_: list[str]) -> None:
    calendar = Calendar.model_validate(lines)
    assert [day for day in closed if not calendar.is_closed(date.fromisoformat(day))] == []
    assert [day for day in open_ if calendar.is_closed(date.fromisoformat(day))] == []


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2011, 3, 27), 23), (date(2011, 10, 30), 25), (date(2011, 6, 1), 24), (date(2011, 1, 1), 24)]
)
def test_a_local_day_is_as_long_as_its_clock(day: date, hours: int) -> None:
    begin, end = start_of_day(day, LONDON), start_of_day(day + timedelta(days=1), LONDON)
    assert end - begin == timedelta(hours=hours)
    assert begin.tzinfo is UTC


@given(
    day=st.dates(date(1971, 1, 1), date(2037, 1, 1)),
    zone=st.sampled_from(["UTC", "Europe/London", "America/Sao_Paulo", "Asia/Kolkata", "Pacific/Apia", "Australia/Lord_Howe"]),
)
def test_a_day_begins_where_the_one_before_ends(day: date, zone: str) -> None:
    """Also where midnight does not exist. Apia had no 30 December 2011: that day has no moment."""
    begin = start_of_day(day, ZoneInfo(zone))
    if (zone, day) != ("Pacific/Apia", date(2011, 12, 30)):
        assert local_day(begin, ZoneInfo(zone)) == day
    assert local_day(begin - timedelta(microseconds=1), ZoneInfo(zone)) < day


def test_a_moment_without_a_zone_is_in_utc() -> None:
    assert local_day(datetime(2011, 7, 1, 23, 30), LONDON) == date(2011, 7, 2)  # noqa: DTZ001  # the naive one is tested

"""Parameters that rules name: how many rows a window usually has."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

import pytest

from tasks.contracts.base import Window
from tasks.stages.validation.parameters import ENOUGH_ALIKE, count_usual_rows
from tasks.stages.validation.past import MAX_WINDOWS, Past

MONDAY, SATURDAY = date(2026, 3, 2), date(2026, 3, 7)


def past_of(day: date, shares: Mapping[int, float], *, windows: int = MAX_WINDOWS, days: int = 1) -> Past:
    """The windows before a day, of 1,000 rows a day times the share of their first day's weekday; none where it is 0."""
    rates: dict[str, float] = {}
    start = day
    while len(rates) < windows:
        start -= timedelta(days=days)
        if share := shares.get(start.weekday(), 1.0):
            rates[Window(start=start, end=start + timedelta(days=days)).label] = 1_000 * share
    window = Window(start=day, end=day + timedelta(days=days))
    return Past(window, rows_per_day=tuple(rates.values()), versions=dict.fromkeys(rates, "v"))


@pytest.mark.parametrize("share", [0.5, 0.04, 0.001])
def test_a_quiet_saturday_is_compared_with_saturdays(share: float) -> None:
    """The shipped rule refuses a twentieth of the usual rows: of all days, every Saturday with a share of 0.04 would be."""
    weekends = {5: share, 6: share}
    assert count_usual_rows(past_of(SATURDAY, weekends)) == 1_000 * share
    assert count_usual_rows(past_of(MONDAY, weekends)) == 1_000


def test_closed_days_leave_enough_windows_of_each_weekday() -> None:
    shares = {5: 0.0, 6: 0.04}
    sunday = SATURDAY + timedelta(days=1)
    assert count_usual_rows(past_of(sunday, shares)) == 40


def test_a_weekday_that_came_seldom_is_compared_with_all_days() -> None:
    few = past_of(SATURDAY, {5: 0.04, 6: 0.04}, windows=7 * (ENOUGH_ALIKE - 1))
    assert count_usual_rows(few) == 1_000


def test_windows_of_several_days_count_their_days() -> None:
    weekly = past_of(MONDAY, {}, windows=8, days=7)
    assert count_usual_rows(weekly) == 7_000
    month = Past(Window(start=MONDAY, end=MONDAY + timedelta(days=31)), (), weekly.rows_per_day, weekly.versions)
    assert count_usual_rows(month) == 31_000, "windows of another length are the measure where none is alike"

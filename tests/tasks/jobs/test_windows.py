"""The window of a run, without Airflow."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from tasks.errors import ConfigurationError
from tasks.jobs.windows import choose_window

DAY = (datetime(2011, 1, 1, tzinfo=UTC), datetime(2011, 1, 2, tzinfo=UTC))


@pytest.mark.parametrize(
    ("start", "end", "interval", "label"),
    [
        ("2011-03-01", "2011-03-08", None, "2011-03-01..2011-03-08"),
        ("2011-03-01", "2011-03-08", DAY, "2011-03-01..2011-03-08"),
        (None, None, DAY, "2011-01-01..2011-01-02"),
        ("", "", DAY, "2011-01-01..2011-01-02"),
    ],
)
def test_the_form_wins_over_the_interval(start: str, end: str, interval: tuple[datetime, datetime] | None, label: str) -> None:
    assert choose_window(start, end, interval, ZoneInfo("UTC")).label == label


@pytest.mark.parametrize(
    ("start", "end", "interval", "message"),
    [
        ("2011-03-01", None, DAY, "expected both window_start and window_end or neither, got '2011-03-01' and None"),
        (None, "2011-03-01", DAY, "got None and '2011-03-01'"),
        ("2011-03-01", "2011-03-01", DAY, "window_end is exclusive: expected a day after 2011-03-01, got 2011-03-01"),
        ("1.3.2011", "2011-03-08", DAY, "window_start: expected a day as YYYY-MM-DD, got '1.3.2011'"),
        ("2011-03-01", "tomorrow", DAY, "window_end: expected a day as YYYY-MM-DD, got 'tomorrow'"),
        (None, None, None, "no data interval of a day or more"),
        (None, None, (DAY[0], DAY[0]), "no data interval of a day or more"),
    ],
)
def test_an_incomplete_window_is_refused(
    start: str | None, end: str | None, interval: tuple[datetime, datetime] | None, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        choose_window(start, end, interval, ZoneInfo("UTC"))


@pytest.mark.parametrize(
    ("zone", "start", "end", "label"),
    [
        pytest.param(
            "Europe/London", "2011-07-01T23:00+00:00", "2011-07-02T23:00+00:00", "2011-07-02..2011-07-03", id="summer time"
        ),
        pytest.param(
            "Europe/London", "2011-03-27T00:00+00:00", "2011-03-27T23:00+00:00", "2011-03-27..2011-03-28", id="23 hours"
        ),
        pytest.param(
            "Europe/London", "2011-10-29T23:00+00:00", "2011-10-31T00:00+00:00", "2011-10-30..2011-10-31", id="25 hours"
        ),
        pytest.param(
            "America/New_York", "2011-01-02T05:00+00:00", "2011-01-09T05:00+00:00", "2011-01-02..2011-01-09", id="a week"
        ),
    ],
)
def test_an_interval_is_read_as_local_days(zone: str, start: str, end: str, label: str) -> None:
    interval = datetime.fromisoformat(start), datetime.fromisoformat(end)
    assert choose_window(None, None, interval, ZoneInfo(zone)).label == label

"""Patterns of times are found, and read as they say."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tasks.io.days import states_offset
from tasks.stages.proposal.times import formats_of, time_format

TIMES = {
    "2011-12-01 08:26:00": ("yyyy-MM-dd HH:mm:ss", datetime(2011, 12, 1, 8, 26, tzinfo=UTC)),
    "2011-12-01": ("yyyy-MM-dd", datetime(2011, 12, 1, tzinfo=UTC)),
    "20111201": ("yyyyMMdd", datetime(2011, 12, 1, tzinfo=UTC)),
    "13.1.2024 9:05": ("d.M.yyyy H:mm", datetime(2024, 1, 13, 9, 5, tzinfo=UTC)),
    "2024-01-05T10:00:00Z": ("yyyy-MM-dd'T'HH:mm:ssXXX", datetime(2024, 1, 5, 10, tzinfo=UTC)),
    "2024-01-05T10:00:00.250+05:30": ("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", datetime(2024, 1, 5, 4, 30, 0, 250_000, tzinfo=UTC)),
    "2024-01-05 10:00:00 -0200": ("yyyy-MM-dd HH:mm:ss XX", datetime(2024, 1, 5, 12, tzinfo=UTC)),
    "2019-10-01 00:00:00 UTC": ("yyyy-MM-dd HH:mm:ss z", datetime(2019, 10, 1, tzinfo=UTC)),
    "13/06/2024 12:15 AM": ("dd/MM/yyyy hh:mm a", datetime(2024, 6, 13, 0, 15, tzinfo=UTC)),
    "5-Jan-24": ("d-MMM-yy", datetime(2024, 1, 5, tzinfo=UTC)),
    "2024-01-05 10:00:00.1234567": ("yyyy-MM-dd HH:mm:ss.SSSSSSS", datetime(2024, 1, 5, 10, 0, 0, 123_456, tzinfo=UTC)),
}


@pytest.mark.parametrize("text", TIMES)
def test_a_time_is_read_by_its_first_pattern(text: str) -> None:
    pattern, moment = TIMES[text]
    found = formats_of(text)
    assert found[0].pattern == pattern
    assert found[0].read(text) == moment
    assert found[0].states_offset == states_offset(pattern)


@pytest.mark.parametrize(
    "text", ["hello", "17850", "2024-13-01", "31.02.2024", "25:61", "13/13/2024", "2024-01-05 13:00 PM", ""]
)
def test_what_is_no_time_has_no_pattern(text: str) -> None:
    assert formats_of(text) == []


def test_day_and_month_are_both_possible_until_a_day_says_otherwise() -> None:
    assert {one.pattern for one in formats_of("1/2/2024")} == {"d/M/yyyy", "M/d/yyyy"}
    assert [one.pattern for one in formats_of("1/31/2024")] == ["M/d/yyyy"]
    assert time_format("d/M/yyyy").read("1/31/2024") is None

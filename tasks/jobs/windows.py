"""The window of a run: from the form, else from the run's data interval. Never from the clock.

A window is whole local days. The clock of a use case fires in its time zone, so an interval of the clock covers 23 or 25
hours where daylight saving begins or ends, and is one day all the same.
"""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

from tasks.contracts.base import Window
from tasks.contracts.calendar import local_day
from tasks.errors import ConfigurationError


def choose_window(start: str | None, end: str | None, interval: tuple[datetime, datetime] | None, zone: ZoneInfo) -> Window:
    """The window that the form states, else the days of the data interval.

    Parameters
    ----------
    start, end : days as YYYY-MM-DD, `end` exclusive; both or neither.
    interval : begin and end of the run's data interval; None where the run has none.
    zone : whose days the interval is read as.

    Raises
    ------
    ConfigurationError : the form is incomplete or wrong, or there is neither form nor interval.
    """
    if bool(start) != bool(end):
        raise ConfigurationError(f"expected both window_start and window_end or neither, got {start!r} and {end!r}")
    if start and end:
        stated_first, stated_last = parse_day(start, "window_start"), parse_day(end, "window_end")
        if stated_last <= stated_first:
            raise ConfigurationError(f"window_end is exclusive: expected a day after {start}, got {end}")
        return Window(start=stated_first, end=stated_last)
    first, last = (None, None) if interval is None else (local_day(moment, zone) for moment in interval)
    if first is None or last is None or last <= first:
        raise ConfigurationError(
            "this run has no data interval of a day or more: state window_start and window_end in the form"
        )
    return Window(start=first, end=last)


def parse_day(text: str, name: str) -> date:
    """A day of the form.

    Raises
    ------
    ConfigurationError : the text is not a day.
    """
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"{name}: expected a day as YYYY-MM-DD, got {text!r}") from error

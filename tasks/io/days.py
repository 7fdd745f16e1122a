"""Adapter: local days and local times in Spark, whose session is in UTC, and in pandas.

A local time that occurs twice, when clocks go back, is the first of the two. One that does not occur, when they go forward, is
as much later as the clock skips: 02:30 is 03:30. Java's and Python's time zones read them in the same way (PEP 495, fold 0).
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from tasks.contracts.calendar import UTC_ZONE, start_of_day

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import Column


def midnight(day: date, zone: ZoneInfo = UTC_ZONE) -> Column:
    """The first moment of a local day, whatever the time zone of client and server."""
    from pyspark.sql import functions as F

    return F.expr(f"TIMESTAMP '{start_of_day(day, zone):%Y-%m-%d %H:%M:%S} UTC'")


def midnight_of(day: Column, zone: ZoneInfo = UTC_ZONE) -> Column:
    """The first moment of each local day (a date)."""
    return read_local(day.cast("timestamp"), zone)


def local_date(moment: Column, zone: ZoneInfo = UTC_ZONE) -> Column:
    """The local day of each moment."""
    from pyspark.sql import functions as F

    return F.to_date(local_time(moment, zone))


def local_time(moment: Column, zone: ZoneInfo = UTC_ZONE) -> Column:
    """The local time of each moment: a timestamp that shows it where it is read in UTC."""
    from pyspark.sql import functions as F

    return moment if zone == UTC_ZONE else F.from_utc_timestamp(moment, zone.key)


def read_local(wall_time: Column, zone: ZoneInfo = UTC_ZONE) -> Column:
    """The moment of each local time: a timestamp that shows the local time where it is read in UTC."""
    from pyspark.sql import functions as F

    return wall_time if zone == UTC_ZONE else F.to_utc_timestamp(wall_time, zone.key)


def add_local_days(moments: pd.Series, days: int, zone: ZoneInfo) -> pd.Series:
    """The same local time so many days later (before, if negative), in UTC; the end of the gap where clocks skip it.

    Parameters
    ----------
    moments : datetime64[UTC].
    """
    import numpy as np
    import pandas as pd

    if zone == UTC_ZONE:
        return moments + pd.Timedelta(days=days)
    local = moments.dt.tz_convert(zone).dt.tz_localize(None) + pd.Timedelta(days=days)
    first = np.ones(len(local), dtype=bool)
    moved: pd.Series = local.dt.tz_localize(zone, ambiguous=first, nonexistent="shift_forward").dt.tz_convert("UTC")
    return moved


def states_offset(time_format: str) -> bool:
    """Whether times of a pattern of Spark state their offset from UTC, or the letter Z after them."""
    parts = time_format.split("'")
    pattern, literals = "".join(parts[::2]), parts[1::2]
    return bool(re.search(r"[VzOXxZ]", pattern)) or "Z" in literals

"""What was known on a day: nothing from the future, neither of events nor of their arrival."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.calendar import UTC_ZONE
from tasks.io.days import local_date, midnight

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

AGE = "_age"


def known_at(as_of: date, known_by: str, zone: ZoneInfo = UTC_ZONE) -> Column:
    """Whether a row happened before the first moment of the local day `as_of`, and was known at that moment."""
    from pyspark.sql import functions as F

    moment = midnight(as_of, zone)
    happened = F.col(c.EVENT_AT) < moment
    return happened & (F.col(c.INGESTED_AT) <= moment) if known_by == c.INGESTED_AT else happened


def add_age(rows: DataFrame, day: Column, zone: ZoneInfo = UTC_ZONE) -> DataFrame:
    """Rows with their age in local days as `_age`: 1 on the day before `day`."""
    from pyspark.sql import functions as F

    return rows.withColumn(AGE, F.date_diff(day, local_date(F.col(c.EVENT_AT), zone)))


def date_of(day: date) -> Column:
    """A day as a date of Spark."""
    from pyspark.sql import functions as F

    return F.lit(day.isoformat()).cast("date")


def happened_in(window: Window, zone: ZoneInfo = UTC_ZONE) -> Column:
    """Whether a row happened on the local days of a window."""
    from pyspark.sql import functions as F

    return (F.col(c.EVENT_AT) >= midnight(window.start, zone)) & (F.col(c.EVENT_AT) < midnight(window.end, zone))

"""What was known on a day: nothing from the future, neither of events nor of their arrival."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from tasks import columns as c
from tasks.contracts.calendar import UTC_ZONE
from tasks.io.days import local_date, midnight

if TYPE_CHECKING:
    from pyspark.sql import Column


def known_at(as_of: date, known_by: str, zone: ZoneInfo = UTC_ZONE) -> Column:
    """Whether a row happened before the first moment of the local day `as_of`, and was known at that moment."""
    from pyspark.sql import functions as F

    moment = midnight(as_of, zone)
    happened = F.col(c.EVENT_AT) < moment
    return happened & (F.col(c.INGESTED_AT) <= moment) if known_by == c.INGESTED_AT else happened


def age_of(as_of: date, zone: ZoneInfo = UTC_ZONE) -> Column:
    """The age of a row in local days: 1 on the day before `as_of`."""
    from pyspark.sql import functions as F

    return F.date_diff(F.lit(as_of.isoformat()).cast("date"), local_date(F.col(c.EVENT_AT), zone))

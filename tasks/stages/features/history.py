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

# Only what features and labels need, with the types of `columns.py`. They are stated so that Spark does not infer them, and so
# that older snapshots without a column read as if it were empty.
INTERACTION_SCHEMA = (
    f"{c.ROW_ID} string, {c.SOURCE_FILE} string, {c.EVENT_AT} timestamp, {c.INGESTED_AT} timestamp, {c.EVENT_ID} string, "
    f"{c.EVENT_TYPE} string, {c.USER_ID} string, {c.ITEM_ID} string, {c.QUANTITY} double, {c.UNIT_PRICE} double, "
    f"{c.VALUE} double, {c.SEGMENT} string, {c.ITEM_TEXT} string, {c.USER_ATTRIBUTES} string, {c.ITEM_ATTRIBUTES} string, "
    f"{c.LINE_ID} string"
)


def known_at(as_of: date, known_by: str, zone: ZoneInfo = UTC_ZONE) -> Column:
    """Whether a row happened before the first moment of the local day `as_of`, and was known at that moment."""
    from pyspark.sql import functions as F

    moment = midnight(as_of, zone)
    happened = F.col(c.EVENT_AT) < moment
    return happened & (F.col(c.INGESTED_AT) <= moment) if known_by == c.INGESTED_AT else happened


def is_choice() -> Column:
    """Whether a user chose something. Views and recommendations are neither features nor labels."""
    from pyspark.sql import functions as F

    return ~F.col(c.EVENT_TYPE).isin(*c.NO_CHOICES)


def age_of(as_of: date, zone: ZoneInfo = UTC_ZONE) -> Column:
    """The age of a row in local days: 1 on the day before `as_of`."""
    from pyspark.sql import functions as F

    return F.date_diff(F.lit(as_of.isoformat()).cast("date"), local_date(F.col(c.EVENT_AT), zone))

"""Days of a use case: when they begin, and which of them are closed or unusual."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]

_DAY = r"(?:(?P<{0}year>\d{{4}})-)?(?P<{0}month>\d{{2}})-(?P<{0}day>\d{{2}})"
_SPAN = re.compile(_DAY.format("") + r"(?:\.\." + _DAY.format("last_") + ")?")
_LEAP_YEAR = 2000  # has 29 February, so that every day of every year is a day of it


def _check_time_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"expected a name of the IANA time zone database, such as Europe/London, got {name!r}")
    return name


TimeZone = Annotated[str, AfterValidator(_check_time_zone)]


def start_of_day(day: date, zone: ZoneInfo) -> datetime:
    """The moment in UTC at which a local day begins; two of them bound 23, 24 or 25 hours."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def local_day(moment: datetime, zone: ZoneInfo) -> date:
    """The local day of a moment. A moment without a zone is UTC."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(zone).date()


def _read_span(value: object) -> object:
    """Refuse what is no day and no span of days."""
    text = value.isoformat() if isinstance(value, date) else value
    found = _SPAN.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"expected 2026-12-24, 12-24 or 12-24..01-03, got {value!r}")
    if found["last_month"] and bool(found["year"]) != bool(found["last_year"]):
        raise ValueError(f"expected a year in both days or in none, got {text!r}")
    first, last = _ends(found)
    if found["year"] and last < first:
        raise ValueError(f"expected the last day at or after the first, got {text!r}")
    return text


def _ends(found: re.Match[str]) -> tuple[date, date]:
    first = date(int(found["year"] or _LEAP_YEAR), int(found["month"]), int(found["day"]))
    if found["last_month"] is None:
        return first, first
    return first, date(int(found["last_year"] or _LEAP_YEAR), int(found["last_month"]), int(found["last_day"]))


DaySpan = Annotated[str, BeforeValidator(_read_span)]


def _is_in(day: date, span: str) -> bool:
    """Whether a day lies in a span, both ends included; without a year it returns every year and may pass New Year."""
    found = _SPAN.fullmatch(span)
    if found is None:
        return False
    first, last = _ends(found)
    if found["year"]:
        return first <= day <= last
    of_year = day.replace(year=_LEAP_YEAR)
    return first <= of_year <= last if first <= last else of_year >= first or of_year <= last


class HolidaysSpec(BaseModel):
    """Public holidays, from the library `holidays`, with the days on which they are observed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    country: str = Field(description="ISO 3166 code, such as GB")
    subdivision: str | None = Field(None, description="part of the country, such as ENG or BY")

    @model_validator(mode="after")
    def _are_known(self) -> HolidaysSpec:
        _holidays_of(self.country, self.subdivision)
        return self


@lru_cache(maxsize=64)
def _holidays_of(country: str, subdivision: str | None) -> Mapping[date, str]:
    import holidays

    known = holidays.list_supported_countries()
    if country not in known:
        raise ValueError(f"country: expected an ISO 3166 code that the library `holidays` knows, such as GB, got {country!r}")
    if subdivision is not None and subdivision not in known[country]:
        allowed = ", ".join(known[country]) or "none"
        raise ValueError(f"subdivision: {country} has no {subdivision!r}; allowed: {allowed}")
    return holidays.country_holidays(country, subdiv=subdivision)


class Calendar(BaseModel):
    """Which days are closed: no delivery is expected then, and their volume is not compared.

    What it does not name is learned from the data by weekday (see the checks `missing_days` and `volume`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    closed_weekdays: tuple[Weekday, ...] = Field((), description="days of every week, such as sunday")
    holidays: HolidaysSpec | None = Field(None, description="public holidays of a country or a part of it")
    closed_days: tuple[DaySpan, ...] = Field((), description="own days: 2026-12-24, 12-24 or 12-24..01-03, last day included")
    open_days: tuple[DaySpan, ...] = Field((), description="days that are open although another line closes them")

    def is_closed(self, day: date) -> bool:
        """Whether the calendar closes a day."""
        if any(_is_in(day, span) for span in self.open_days):
            return False
        if WEEKDAYS[day.weekday()] in self.closed_weekdays or any(_is_in(day, span) for span in self.closed_days):
            return True
        return self.holidays is not None and day in _holidays_of(self.holidays.country, self.holidays.subdivision)


NO_CALENDAR = Calendar()
UTC_ZONE = ZoneInfo("UTC")

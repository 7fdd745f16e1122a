"""Which patterns a column's times have. Patterns are in Spark's syntax, as a source states them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import product

DATES = (
    "yyyy-MM-dd",
    "yyyy/MM/dd",
    "yyyy.MM.dd",
    "yyyyMMdd",
    "dd.MM.yyyy",
    "d.M.yyyy",
    "dd.MM.yy",
    "d.M.yy",
    "dd/MM/yyyy",
    "MM/dd/yyyy",
    "d/M/yyyy",
    "M/d/yyyy",
    "dd/MM/yy",
    "MM/dd/yy",
    "d/M/yy",
    "M/d/yy",
    "dd-MM-yyyy",
    "MM-dd-yyyy",
    "dd-MM-yy",
    "dd-MMM-yyyy",
    "d-MMM-yyyy",
    "dd-MMM-yy",
    "d-MMM-yy",
    "dd MMM yyyy",
    "d MMM yyyy",
    "MMM dd, yyyy",
    "MMM d, yyyy",
    "MMMM d, yyyy",
    "MMMM dd, yyyy",
    "d MMMM yyyy",
    "MM dd, yyyy",
    "dd/MMM/yyyy",
)
CLOCKS = (
    "",
    "HH:mm:ss",
    "HH:mm",
    "H:mm:ss",
    "H:mm",
    "HH:mm:ss.SSS",
    "HH:mm:ss.SSSSSS",
    "HH:mm:ss.SSSSSSS",
    "HH:mm:ss.SSSSSSSSS",
    "hh:mm:ss a",
    "h:mm:ss a",
    "hh:mm a",
    "h:mm a",
)
BETWEEN = (" ", "'T'", ", ", ":")
ZONES = ("", "XXX", " XXX", "XX", " XX", " z")
MONTH_NAMES = re.findall("[a-z]+", "january february march april may june july august september october november december")
MONTHS = {name[:3]: place for place, name in enumerate(MONTH_NAMES, start=1)}

_PARTS = {
    "yyyy": r"(?P<year>[0-9]{4})",
    "yy": r"(?P<short>[0-9]{2})",
    "MMMM": f"(?P<whole>{'|'.join(MONTH_NAMES)})",
    "MMM": f"(?P<name>{'|'.join(MONTHS)})",
    "MM": r"(?P<month>[0-9]{2})",
    "M": r"(?P<month>[0-9]{1,2})",
    "dd": r"(?P<day>[0-9]{2})",
    "d": r"(?P<day>[0-9]{1,2})",
    "HH": r"(?P<hour>[0-9]{2})",
    "H": r"(?P<hour>[0-9]{1,2})",
    "hh": r"(?P<half>[0-9]{2})",
    "h": r"(?P<half>[0-9]{1,2})",
    "mm": r"(?P<minute>[0-9]{2})",
    "ss": r"(?P<second>[0-9]{2})",
    "SSSSSS": r"(?P<fraction>[0-9]{6})",
    "SSSSSSS": r"(?P<fraction>[0-9]{7})",
    "SSSSSSSSS": r"(?P<fraction>[0-9]{9})",
    "SSS": r"(?P<fraction>[0-9]{3})",
    "a": r"(?P<noon>[ap]m)",
    "XXX": r"(?P<offset>z|[+-][0-9]{2}:[0-9]{2})",
    "XX": r"(?P<offset>z|[+-][0-9]{4})",
    "z": r"(?P<zone>utc|gmt)",
}
_TOKENS = re.compile("'([^']*)'|([A-Za-z])\\2*|.")


@dataclass(frozen=True)
class TimeFormat:
    """One pattern, and the texts that have it."""

    pattern: str
    expression: re.Pattern[str]

    @property
    def states_offset(self) -> bool:
        """Whether its times say how far they are from UTC."""
        return bool({"offset", "zone"} & set(self.expression.groupindex))

    @property
    def has_clock(self) -> bool:
        """Whether it has a time of day."""
        return bool({"hour", "half"} & set(self.expression.groupindex))

    def read(self, text: str) -> datetime | None:
        """The time of a text, as if in UTC where it states no offset. None where the text is of another pattern, or no time."""
        match = self.expression.fullmatch(text.lower())
        if match is None:
            return None
        part = match.groupdict()
        try:
            return self._make(part)
        except ValueError:
            return None

    def _make(self, part: Mapping[str, str | None]) -> datetime:
        year = int(part.get("year") or 2000 + int(part.get("short") or 0))
        name = part.get("name") or part.get("whole")
        month = MONTHS[name[:3]] if name else int(part.get("month") or 0)
        hour = int(part.get("hour") or 0)
        if half := part.get("half"):
            if not 1 <= int(half) <= 12:
                raise ValueError(half)
            hour = int(half) % 12 + (12 if part.get("noon") == "pm" else 0)
        fraction = int((part.get("fraction") or "0").ljust(6, "0")[:6])
        clock = (hour, int(part.get("minute") or 0), int(part.get("second") or 0), fraction)
        return datetime(year, month, int(part.get("day") or 0), *clock, tzinfo=UTC) - _offset_of(part.get("offset"))


def _offset_of(text: str | None) -> timedelta:
    if not text or text == "z":
        return timedelta()
    digits = text[1:].replace(":", "")
    return (-1 if text[0] == "-" else 1) * timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))


@cache
def time_format(pattern: str) -> TimeFormat:
    """The pattern of Spark as a regular expression."""
    parts = []
    for token in _TOKENS.finditer(pattern):
        quoted, letter = token[1], token[2]
        parts.append(re.escape(quoted.lower()) if quoted is not None else _PARTS[token[0]] if letter else re.escape(token[0]))
    return TimeFormat(pattern, re.compile("".join(parts)))


def _patterns() -> Iterator[str]:
    for day, clock in product(DATES, CLOCKS):
        if not clock:
            yield day
            continue
        yield from (f"{day}{between}{clock}{zone}" for between, zone in product(BETWEEN, ZONES))


@cache
def _by_shape() -> dict[str, tuple[str, ...]]:
    """Shape of a text (see `shape_of`) -> the patterns that texts of it may have."""
    found: dict[str, list[str]] = {}
    for pattern in _patterns():
        for shape in _shapes_of(pattern):
            found.setdefault(shape, []).append(pattern)
    return {shape: tuple(patterns) for shape, patterns in found.items()}


_SHAPES = {
    "MMMM": ("a",),
    "MMM": ("a",),
    "a": ("a",),
    "z": ("a",),
    "XXX": ("a", "+9:9", "-9:9"),
    "XX": ("a", "+9", "-9"),
}


def _shapes_of(pattern: str) -> list[str]:
    options: list[tuple[str, ...]] = []
    for token in _TOKENS.finditer(pattern):
        if token[1] is not None:
            options.append(("a",))
        elif token[2]:
            options.append(_SHAPES.get(token[0], ("9",)))
        else:
            options.append((token[0],))
    return [re.sub("99+", "9", re.sub("aa+", "a", "".join(one))) for one in product(*options)]


def shape_of(text: str) -> str:
    """A text with each run of digits as 9 and each run of letters as a."""
    return re.sub("[A-Za-z]+", "a", re.sub("[0-9]+", "9", text))


def formats_of(text: str) -> list[TimeFormat]:
    """Every pattern that reads a text."""
    return [one for one in map(time_format, _by_shape().get(shape_of(text), ())) if one.read(text) is not None]

"""When the demo's files arrive, and what is wrong with them."""

from __future__ import annotations

import csv
import itertools
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from tasks.contracts.base import Window
from tasks.errors import ConfigurationError


@dataclass(frozen=True)
class Calendar:
    """The windows in which the story's files arrive."""

    history: Window
    dirty: Window
    later: tuple[Window, ...]


def plan(data: Path | None) -> Calendar:
    """Generated: 16 weeks, a dirty day, two times four weeks. Real: four fifths up front, the rest in two parts."""
    if data is None:
        start = date(2025, 9, 1)
        dirty = start + timedelta(days=16 * 7)
        return _cut(start, dirty, [dirty + timedelta(days=days) for days in (1, 29, 57)])
    days = _days_of(data)
    later, middle = days[int(len(days) * 0.8)], days[int(len(days) * 0.9)]
    dirty = days[int(len(days) * 0.8) - 1]
    return _cut(days[0], dirty, [later, middle, days[-1] + timedelta(days=1)])


def _cut(start: date, dirty: date, later: list[date]) -> Calendar:
    return Calendar(
        history=Window(start=start, end=dirty),
        dirty=Window(start=dirty, end=dirty + timedelta(days=1)),
        later=tuple(Window(start=a, end=b) for a, b in itertools.pairwise(later)),
    )


def check_folder(data: Path) -> Path:
    """The folder of real files, as an absolute path; refuses one that the story cannot be told with."""
    if not data.is_dir():
        raise ConfigurationError(f"DATA: no folder {data}; it should hold one file a day, named like 2011-01-04.csv")
    days = _days_of(data)
    if len(days) < 100:
        raise ConfigurationError(
            f"DATA: {data} holds {len(days)} files named like 2011-01-04.csv; the story needs at least 100 trading days"
        )
    return data.resolve()


def _days_of(data: Path) -> list[date]:
    names = sorted(path.stem for path in data.glob("????-??-??.csv"))
    try:
        return [date.fromisoformat(name) for name in names]
    except ValueError as error:
        raise ConfigurationError(
            f"DATA: {data} has a file that is not named after a day: {error}; rename it or take it away"
        ) from error


def spoil(path: Path) -> None:
    """Make one row in twenty of a real file bad, as a broken export would."""
    with path.open(newline="", encoding="utf-8") as stream:
        header, *rows = list(csv.reader(stream))
    for place, row in enumerate(rows):
        if place % 20 == 0:
            row[header.index("InvoiceDate")] = "31/02/2011 soon"
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])

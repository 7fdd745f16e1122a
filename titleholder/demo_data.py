"""The days on which the files of the demo arrive, and the bad rows in them."""

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
    """The windows in which the files arrive: the history, one day with bad rows, and the later windows."""

    history: Window
    dirty: Window
    later: tuple[Window, ...]


def plan(data: Path | None) -> Calendar:
    """The windows of the demo. Generated files: 16 weeks, a dirty day, two times four weeks. Real files: 80, 10 and 10 %."""
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
    """The folder of real files, as an absolute path.

    Raises
    ------
    ConfigurationError : it does not exist, or holds fewer than 100 daily files.
    """
    if not data.is_dir():
        raise ConfigurationError(f"DATA: no folder {data}; expected a folder with one file a day, named like 2011-01-04.csv")
    days = _days_of(data)
    if len(days) < 100:
        raise ConfigurationError(
            f"DATA: {data} holds {len(days)} files named like 2011-01-04.csv; the demo needs at least 100 trading days"
        )
    return data.resolve()


def _days_of(data: Path) -> list[date]:
    names = sorted(path.stem for path in data.glob("????-??-??.csv"))
    try:
        return [date.fromisoformat(name) for name in names]
    except ValueError as error:
        raise ConfigurationError(
            f"DATA: {data} has a file that is not named after a day: {error}; rename or remove it"
        ) from error


def spoil(path: Path) -> None:
    """Write an invalid date into one row in twenty of a file, as a broken export would."""
    with path.open(newline="", encoding="utf-8") as stream:
        header, *rows = list(csv.reader(stream))
    for place, row in enumerate(rows):
        if place % 20 == 0:
            row[header.index("InvoiceDate")] = "31/02/2011 soon"
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])

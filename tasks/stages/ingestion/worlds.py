"""Generated shops whose history is known, and the decisions that are right in each. A backtest replays them.

A world is a generator of daily invoice files (see `generator`), what goes wrong with its deliveries, and what is right to
decide in it, written down before anything runs. Weeks count from the first decided day.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks.errors import ConfigurationError
from tasks.io.storage import write_atomically
from tasks.stages.ingestion.generator import GeneratedTruth, Knobs, is_open, write_csv
from tasks.stages.ingestion.invoice_files import HEADER

if TYPE_CHECKING:
    from tasks.models.base import FeatureTables

Rows = list[list[str]]
Change = Callable[[date, Rows], Rows]
_PRICE, _ITEM, _CUSTOMER, _PIECES, _INVOICE = (
    HEADER.index(name) for name in ("UnitPrice", "StockCode", "CustomerID", "Quantity", "InvoiceNo")
)
UNITS = {"customers": 150, "items": 80, "invoices_per_day": 30}
ALWAYS = 10_000


@dataclass(frozen=True)
class Expected:
    """The right decisions in a world.

    retrain_after : week in which the world changes; a retraining must be requested within `retrain_within` windows from it.
        None: nothing changes.
    other_retrains : how many more requests are right beside it. The first champion's request is not counted.
    faulty_weeks : weeks whose data are broken: each must be reported, by the validation or by monitoring.
    other_faults : how many sound windows may be reported as broken.
    promotes_after : week after which another champion must be promoted within `promotes_within` windows. None: not demanded.
    promotions : the most promotions after the first champion.
    """

    retrain_after: int | None = None
    retrain_within: int = 4
    other_retrains: int = 0
    faulty_weeks: tuple[int, ...] = ()
    other_faults: int = 0
    promotes_after: int | None = None
    promotes_within: int = 8
    promotions: int = ALWAYS


@dataclass(frozen=True)
class Delivery:
    """A file that comes late, or once more with other lines.

    day : of the file. comes : the day on which it is there. change : what it then holds instead; None: the day's lines.
    """

    day: date
    comes: date
    change: Change | None = None


@dataclass(frozen=True)
class World:
    """One shop.

    changes : are applied to the lines of each day, in their order.
    withheld : days whose file does not come by itself the next morning.
    deliveries : files that come at another time.
    """

    name: str
    meaning: str
    start: date
    seed: int
    knobs: Knobs
    expected: Expected
    changes: Sequence[Change] = ()
    withheld: frozenset[date] = frozenset()
    deliveries: Sequence[Delivery] = ()
    has_drift: bool = False
    header: Callable[[date], Sequence[str]] = field(default=lambda _day: HEADER)

    @cached_property
    def truth(self) -> GeneratedTruth:
        """The purchase probabilities of the shop."""
        return GeneratedTruth(self.seed, self.knobs)

    def deliver(self, folder: Path, now: datetime, since: date | None = None) -> None:
        """Write every file that was delivered by a moment, each as it was then. Files that are there already stay.

        Parameters
        ----------
        since : the first day that has a file; default: two years before the first decided day.
        """
        folder.mkdir(parents=True, exist_ok=True)
        today = now.astimezone(UTC).date()
        first = since or self.start - timedelta(days=730)
        for offset in range((today - first).days):
            day = first + timedelta(days=offset)
            path = folder / f"{day.isoformat()}.csv"
            if not path.is_file() and day not in self.withheld and is_open(self.knobs, day):
                write_atomically(path, self._file(day, self._rows(day)))
        for late in self.deliveries:
            if late.comes <= today:
                rows = self._rows(late.day)
                text = self._file(late.day, late.change(late.day, rows) if late.change else rows)
                path = folder / f"{late.day.isoformat()}.csv"
                if not path.is_file() or path.read_text() != text:
                    write_atomically(path, text)

    def best_items(self, users: Sequence[str], day: date, days: int, features: FeatureTables, k: int) -> list[list[str]]:
        """The `k` known items that each user is most likely to buy in the `days` days from a day on; none for a stranger."""
        middle, known = day + timedelta(days=days // 2), features.item_position
        there = set(self.truth.customers(middle))
        every = len(self.truth.items(middle))
        ranked = [self.truth.best_items(user, middle, every) if user in there else [] for user in users]
        return [[item for item in items if item in known][:k] for items in ranked]

    def _rows(self, day: date) -> Rows:
        rows = self.truth.rows(day)
        for change in self.changes:
            rows = change(day, rows)
        return rows

    def _file(self, day: date, rows: Rows) -> str:
        text = write_csv(rows)
        header = self.header(day)
        return ",".join(header) + text[text.index("\n") :] if tuple(header) != HEADER else text


def make_world(name: str, start: date, seed: int) -> World:
    """A world of `WORLDS`.

    Parameters
    ----------
    start : the first decided day.

    Raises
    ------
    ConfigurationError : there is none of that name.
    """
    if name not in WORLDS:
        raise ConfigurationError(f"no world '{name}'; the worlds are: {', '.join(WORLDS)}")
    return WORLDS[name](name, start, seed)


# changes of lines


def _between(start: date, first: int, last: int) -> Callable[[date], bool]:
    """Whether a day is in the weeks from `first` to before `last`."""
    begin, end = start + timedelta(weeks=first), start + timedelta(weeks=last)
    return lambda day: begin <= day < end


def _blank(column: int, applies: Callable[[date], bool]) -> Change:
    """A column loses its cells."""

    def change(day: date, rows: Rows) -> Rows:
        if applies(day):
            for row in rows:
                row[column] = ""
        return rows

    return change


def _poison(day_of: date, seed: int) -> Change:
    """On one day, most lines are of one item in a wrong currency, bought by customers who never bought it."""

    def change(day: date, rows: Rows) -> Rows:
        if day == day_of and rows:
            random, item = np.random.default_rng([seed, day.toordinal()]), rows[0][_ITEM]
            for row in rows:
                if random.random() < 0.8:
                    row[_ITEM], row[_PRICE] = item, repr(float(row[_PRICE]) * 100)
        return rows

    return change


def _corrected(day: date, rows: Rows) -> Rows:
    """The same file with every tenth invoice taken back and every other price mistake repaired."""
    invoices = list(dict.fromkeys(row[_INVOICE] for row in rows))
    gone = set(invoices[::10])
    return [row for row in rows if row[_INVOICE] not in gone]


# the worlds


def _calm(name: str, start: date, seed: int) -> World:
    return World(
        name, "nothing changes, beside customers and items who come and go", start, seed, Knobs(**UNITS), Expected(promotions=2)
    )


WORLDS: dict[str, Callable[[str, date, int], World]] = {"calm": _calm}

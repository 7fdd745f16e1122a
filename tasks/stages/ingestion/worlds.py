"""Generated shops whose history is known, and the decisions that are right in each. A backtest replays them.

A world is a generator of daily invoice files (see `generator`), what goes wrong with its deliveries, and what is right to
decide in it, written down before anything runs. Weeks count from the first decided day.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.errors import ConfigurationError
from tasks.io.storage import write_atomically
from tasks.stages.ingestion.generator import GeneratedTruth, Knobs, is_open, write_csv
from tasks.stages.ingestion.invoice_files import HEADER

if TYPE_CHECKING:
    from tasks.models.base import FeatureTables

Rows = list[list[str]]
Change = Callable[[date, Rows], Rows]
_PRICE, _ITEM, _CUSTOMER, _INVOICE = (HEADER.index(name) for name in ("UnitPrice", "StockCode", "CustomerID", "InvoiceNo"))
SATURDAY, SUNDAY = 5, 6
UNITS: dict[str, Any] = {"customers": 300, "items": 80, "invoices_per_day": 60}  # gates need a hundred users
LEARNABLE: dict[str, Any] = {"drift_habit_share": 0.5}  # of the new season, as before: a model can learn it again
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

    def deliver(self, folder: Path, today: date, since: date | None = None) -> None:
        """Write every file that was delivered by a day, each as it was then. Files that are there already stay.

        Parameters
        ----------
        today : the local day on whose morning the files of the days before it are there.
        since : the first day that has a file; default: two years before the first decided day.
        """
        folder.mkdir(parents=True, exist_ok=True)
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


# what happens to the lines of a day


def _weeks(start: date, first: int, last: int) -> frozenset[date]:
    """The days of the weeks from `first` to before `last`."""
    return frozenset(start + timedelta(days=offset) for offset in range(7 * first, 7 * last))


def _blank(column: int, days: frozenset[date]) -> Change:
    """A column loses its cells on some days."""

    def change(day: date, rows: Rows) -> Rows:
        if day in days:
            for row in rows:
                row[column] = ""
        return rows

    return change


def _poison(days: frozenset[date], seed: int) -> Change:
    """On some days, four lines of five are of one item at a hundred times its price."""

    def change(day: date, rows: Rows) -> Rows:
        if day in days and rows:
            random, item = np.random.default_rng([seed, day.toordinal()]), rows[0][_ITEM]
            for row in rows:
                if random.random() < 0.8:
                    row[_ITEM], row[_PRICE] = item, repr(round(float(row[_PRICE] or 1) * 100, 2))
        return rows

    return change


def _without_every_tenth_invoice(_day: date, rows: Rows) -> Rows:
    """The corrected file of a day: every tenth invoice was cancelled."""
    gone = set(list(dict.fromkeys(row[_INVOICE] for row in rows))[::10])
    return [row for row in rows if row[_INVOICE] not in gone]


# the worlds


def _calm(name: str, start: date, seed: int) -> World:
    return World(
        name, "nothing changes but customers and items who come and go", start, seed, Knobs(**UNITS), Expected(promotions=2)
    )


def _closed_weekends(name: str, start: date, seed: int) -> World:
    knobs = Knobs(**UNITS, closed_weekdays=(SATURDAY, SUNDAY))
    return World(name, "the shop is closed on Saturdays and Sundays", start, seed, knobs, Expected(promotions=2))


def _holidays(name: str, start: date, seed: int) -> World:
    closed = _weeks(start, 4, 5) | {start + timedelta(days=days) for days in (10, 50, 51)}
    knobs = Knobs(**UNITS, holidays=tuple(sorted(closed)))
    return World(
        name, "the shop closes for a week of holidays, and on three single days", start, seed, knobs, Expected(promotions=2)
    )


def _sudden_drift(name: str, start: date, seed: int) -> World:
    knobs = Knobs(**UNITS, **LEARNABLE, drift_from=start + timedelta(weeks=4))
    right = Expected(retrain_after=4, retrain_within=4, other_retrains=3, promotes_after=4, promotes_within=8)
    return World(name, "in week 4 most items, tastes and prices change at once", start, seed, knobs, right, has_drift=True)


def _gradual_drift(name: str, start: date, seed: int) -> World:
    knobs = Knobs(**UNITS, **LEARNABLE, drift_from=start + timedelta(weeks=3), drift_days=42)
    right = Expected(retrain_after=4, retrain_within=6, other_retrains=4, promotes_after=4, promotes_within=10)
    return World(
        name, "from week 3 on a new season replaces the old one within six weeks", start, seed, knobs, right, has_drift=True
    )


def _seasonal_drift(name: str, start: date, seed: int) -> World:
    knobs = Knobs(**UNITS, **LEARNABLE, drift_from=start + timedelta(weeks=3), drift_period_days=84)
    right = Expected(retrain_after=5, retrain_within=6, other_retrains=5, promotes_after=5, promotes_within=10)
    return World(name, "a season comes and goes every twelve weeks", start, seed, knobs, right, has_drift=True)


def _growth(name: str, start: date, seed: int) -> World:
    knobs = Knobs(**UNITS, growth_from=start + timedelta(weeks=2), growth_days=7 * 10, growth_factor=10.0)
    return World(name, "ten times as many invoices after ten weeks", start, seed, knobs, Expected(other_retrains=1))


def _turnover(name: str, start: date, seed: int) -> World:
    knobs = Knobs(**UNITS, item_days=70)
    right = Expected(retrain_after=0, retrain_within=8, other_retrains=5, promotes_after=0, promotes_within=ALWAYS)
    return World(name, "every item is replaced within ten weeks", start, seed, knobs, right, has_drift=True)


def _column_lost(name: str, start: date, seed: int) -> World:
    change = _blank(_CUSTOMER, _weeks(start, 4, 6))
    right = Expected(faulty_weeks=(4, 5), promotions=2)
    return World(name, "for two weeks the files name no customer", start, seed, Knobs(**UNITS), right, (change,))


def _column_renamed(name: str, start: date, seed: int) -> World:
    renamed = tuple("Customer ID" if column == "CustomerID" else column for column in HEADER)
    days = _weeks(start, 4, 6)
    return World(
        name,
        "for two weeks a column has another name",
        start,
        seed,
        Knobs(**UNITS),
        Expected(faulty_weeks=(4, 5), promotions=2),
        header=lambda day: renamed if day in days else HEADER,
    )


def _late_week(name: str, start: date, seed: int) -> World:
    days = _weeks(start, 4, 5)
    late = [Delivery(day, start + timedelta(weeks=6)) for day in sorted(days)]
    right = Expected(promotions=2, other_faults=1)
    return World(
        name, "the files of a week come one week late", start, seed, Knobs(**UNITS), right, withheld=days, deliveries=late
    )


def _slow_review(name: str, start: date, seed: int) -> World:
    knobs = Knobs(**UNITS, **LEARNABLE, drift_from=start + timedelta(weeks=4))
    right = Expected(retrain_after=4, retrain_within=4, other_retrains=3, promotes_after=4, promotes_within=8)
    return World(
        name, "as sudden_drift; replay it with a person who answers after three days", start, seed, knobs, right, has_drift=True
    )


def _silent_customers(name: str, start: date, seed: int) -> World:
    knobs = Knobs(**UNITS | {"customers": 900}, attendance_shape=0.15)
    return World(name, "most known customers do not come in most windows", start, seed, knobs, Expected(promotions=2))


def _heavy_revenue(name: str, start: date, seed: int) -> World:
    knobs = Knobs(**UNITS, bulk_share=0.05)
    return World(name, "a few orders make most of the revenue", start, seed, knobs, Expected(promotions=2))


def _corrections(name: str, start: date, seed: int) -> World:
    late = [
        Delivery(day, day + timedelta(days=9), _without_every_tenth_invoice)
        for day in sorted(_weeks(start, 2, 5))
        if is_open(Knobs(**UNITS), day)
    ]
    knobs = Knobs(**UNITS, return_share=0.3)
    right = Expected(promotions=2)
    return World(
        name,
        "many returns, and three weeks are delivered again without cancelled invoices",
        start,
        seed,
        knobs,
        right,
        deliveries=late,
    )


def _other_zone(name: str, start: date, seed: int) -> World:
    knobs = Knobs(**UNITS, opens_at=10, closes_at=24)
    return World(
        name,
        "a shop whose local clock changes to summer time and that opens until midnight",
        start,
        seed,
        knobs,
        Expected(promotions=2),
    )


def _over_midnight(name: str, start: date, seed: int) -> World:
    knobs = Knobs(**UNITS, opens_at=18, closes_at=27, closed_weekdays=())
    return World(
        name, "a shop that opens from the evening until three in the morning", start, seed, knobs, Expected(promotions=2)
    )


def _small_shop(name: str, start: date, seed: int) -> World:
    knobs = Knobs(customers=60, items=40, invoices_per_day=8)
    return World(name, "a small stationary shop; replay it with daily windows", start, seed, knobs, Expected(promotions=2))


def _poisoned_day(name: str, start: date, seed: int) -> World:
    change = _poison(frozenset({start + timedelta(days=30)}), seed)
    right = Expected(faulty_weeks=(4,), promotions=2)
    return World(
        name,
        "on one day most lines are of one item at a hundred times its price",
        start,
        seed,
        Knobs(**UNITS),
        right,
        (change,),
    )


def _equal_challengers(name: str, start: date, seed: int) -> World:
    right = Expected(other_retrains=ALWAYS, promotions=0)
    knobs = Knobs(**UNITS, item_days=20_000, customer_days=20_000)
    return World(name, "nothing changes at all; replay it with a policy that retrains every week", start, seed, knobs, right)


def _shipped_shop(name: str, start: date, seed: int) -> World:
    return World(
        name,
        "the shop of `titleholder generate`, of which nothing is decided beforehand",
        start,
        seed,
        Knobs(),
        Expected(other_retrains=ALWAYS, other_faults=ALWAYS),
    )


WORLDS: dict[str, Callable[[str, date, int], World]] = {
    made.__name__.removeprefix("_"): made
    for made in (
        _calm,
        _closed_weekends,
        _holidays,
        _sudden_drift,
        _gradual_drift,
        _seasonal_drift,
        _growth,
        _turnover,
        _column_lost,
        _column_renamed,
        _late_week,
        _slow_review,
        _silent_customers,
        _heavy_revenue,
        _corrections,
        _other_zone,
        _over_midnight,
        _small_shop,
        _poisoned_day,
        _equal_challengers,
        _shipped_shop,
    )
}

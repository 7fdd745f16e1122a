"""A seeded generator of daily invoice files with known purchase probabilities.

Customers and items have latent vectors. Purchases are drawn from a mixture: half taste (softmax of taste . item + popularity,
which follows Zipf's law and the season), half habit (a few staples of each customer). Everything is a function of the seed and
the day alone, so any range of days gives the same files, however it is divided.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tasks.contracts.arrays import Floats
from tasks.io.storage import write_atomically
from tasks.stages.ingestion.invoice_files import HEADER

DIMENSIONS = 8
TASTE_STRENGTH = 1.1
ZIPF = 0.8
HABIT_SHARE = 0.5
STAPLES = 10
CUSTOMER_DAYS, ITEM_DAYS = 600, 1000  # lifetimes of a customer and of an item
SATURDAY = 5
SATURDAY_VOLUME = 0.8  # of a shop that is open then
WEEKDAY_VOLUME = (1.0, 1.05, 1.05, 1.15, 0.95, 0.0, 0.7)
COUNTRIES = ("United Kingdom", "Germany", "France", "EIRE", "Spain", "Netherlands", "Belgium", "Switzerland")
COUNTRY_SHARES = (0.84, 0.04, 0.04, 0.03, 0.02, 0.01, 0.01, 0.01)
PIECES = (1, 2, 3, 4, 6, 8, 10, 12, 24, 48)
PIECE_SHARES = (0.28, 0.18, 0.08, 0.09, 0.12, 0.05, 0.04, 0.11, 0.04, 0.01)
COLOURS = ("WHITE", "RED", "PINK", "BLUE", "IVORY", "CREAM", "BLACK", "GREEN", "SILVER", "VINTAGE", "RETROSPOT", "REGENCY")
MATTERS = ("METAL", "WOODEN", "CERAMIC", "GLASS", "PAPER", "KNITTED", "ENAMEL", "HANGING", "HEART", "UNION JACK", "JUMBO")
THINGS = (
    "LANTERN",
    "MUG",
    "T-LIGHT HOLDER",
    "CAKE STAND",
    "BUNTING",
    "SHOPPER BAG",
    "ALARM CLOCK",
    "TEA TOWEL",
    "DOORMAT",
    "PHOTO FRAME",
    "HOT WATER BOTTLE",
    'PLATE 8"',
    "JAM JAR, LABELLED",
    "COAT HANGER",
    "LUNCH BOX",
    "TRINKET BOX",
)
WHEN = HEADER.index("InvoiceDate")
# One stream of random numbers for each purpose, so that a setting changes only its own purpose.
CUSTOMER, ITEM, DAY, DIRT, ROTATION = range(5)


class Knobs(BaseModel):
    """Settings of the generator. The defaults give about 480 lines a day."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    customers: int = Field(600, ge=1, le=30_000, description="customers at any one time; they change over time")
    items: int = Field(300, ge=2, le=20_000, description="items on sale at any one time; they change over time")
    invoices_per_day: int = Field(60, ge=1, le=5_000, description="on an average weekday")
    drift_from: date | None = Field(
        None, description="first day of a new season: items are replaced, tastes rotate, habits weaken, prices rise"
    )
    drift_item_share: float = Field(0.6, ge=0, le=1, description="share of the items that the new season replaces")
    drift_price_factor: float = Field(1.6, gt=0)
    drift_habit_share: float = Field(0.05, ge=0, le=1, description="share of purchases by habit in the new season")
    drift_days: int = Field(0, ge=0, description="over so many days the new season replaces the old one, customer by customer")
    drift_period_days: int | None = Field(
        None, ge=2, description="the new season comes and goes with this period; None: it stays"
    )
    growth_from: date | None = Field(None, description="first day on which the number of invoices grows")
    growth_days: int = Field(180, ge=1, description="it grows for so many days")
    growth_factor: float = Field(1.0, gt=0, description="so many times as many invoices at the end of the growth")
    item_days: int = Field(ITEM_DAYS, ge=7, description="how long an item is on sale")
    customer_days: int = Field(CUSTOMER_DAYS, ge=7, description="how long a customer stays")
    attendance_shape: float = Field(
        0.8, gt=0, description="of the gamma distribution of how often customers come; smaller: more of them rarely come"
    )
    bulk_share: float = Field(0.0, ge=0, le=1, description="share of the lines whose pieces follow a law with a heavy tail")
    return_share: float = Field(0.1, ge=0, le=1, description="share of the invoices of which a part comes back on the same day")
    closed_weekdays: tuple[int, ...] = Field((SATURDAY,), description="0 is Monday")
    holidays: tuple[date, ...] = Field((), description="days without trading")
    opens_at: int = Field(8, ge=0, le=23, description="hour")
    closes_at: int = Field(18, ge=1, le=30, description="hour; more than 24: lines after midnight are in the next day's file")
    dirt: float = Field(0.0, ge=0, le=1, description="share of the rows that are made bad")
    dirty_day: date | None = Field(None, description="the only day with bad rows; None: every day has them")


@dataclass(frozen=True)
class _Customer:
    number: int
    taste: Floats
    whims: Floats  # preference for staples, (item slots,)
    activity: float
    country: int


@dataclass(frozen=True)
class _Item:
    code: str
    text: str
    price: float
    latent: Floats
    popularity: float  # logarithm
    peak: float  # day of the year


@dataclass(frozen=True)
class _Scene:
    """One day: its customers, its items, and each customer's probabilities."""

    customers: list[_Customer]
    items: list[_Item]
    probabilities: Floats  # (customers, items), rows sum to 1
    attendance: Floats  # (customers,), share of the invoices
    prices: Floats


@dataclass(frozen=True)
class GeneratedTruth:
    """The true purchase probabilities, which a model estimates. They are defined for any day, generated or not."""

    seed: int
    knobs: Knobs
    days: tuple[date, ...] = field(default=(), repr=False)

    def customers(self, day: date) -> list[str]:
        """Ids, as the pipeline reads them, of all customers of a day."""
        return [str(customer.number) for customer in self._scenes(day)[0][1].customers]

    def items(self, day: date) -> list[str]:
        """Stock codes on sale on a day."""
        return list(dict.fromkeys(item.code for _, scene in self._scenes(day) for item in scene.items))

    def probabilities(self, customer: str, day: date) -> dict[str, float]:
        """Item -> the probability that one line of this customer's invoice of the day is for it. They sum to 1."""
        place = self._world.places(day)[customer]
        shares: dict[str, float] = {}
        for weight, scene in self._scenes(day):
            for item, share in zip(scene.items, scene.probabilities[place], strict=True):
                shares[item.code] = shares.get(item.code, 0.0) + weight * float(share)
        return shares

    def best_items(self, customer: str, day: date, k: int) -> list[str]:
        """The `k` items that the customer is most likely to buy on a day, best first. No ranking is better."""
        shares = self.probabilities(customer, day)
        return sorted(shares, key=lambda item: (-shares[item], item))[:k]

    def rows(self, day: date) -> list[list[str]]:
        """The lines of one day's file, without the header, as text; empty on a day without trading."""
        return self._world.file_rows(day)

    def _scenes(self, day: date) -> list[tuple[float, _Scene]]:
        """The seasons of a day, each with its share of the invoices."""
        share = self._world.season_share(day)
        return [(part, self._world.scene(day, new)) for part, new in ((1 - share, False), (share, True)) if part]

    @cached_property
    def _world(self) -> _World:
        return _World(self.seed, self.knobs)


def generate_invoices(folder: Path, start: date, end: date, seed: int = 7, knobs: Knobs = Knobs()) -> GeneratedTruth:  # noqa: B008
    """Write one CSV for each trading day from `start` to before `end`. Saturdays have no file, as in the real data.

    A file is written completely or not at all. The same seed, day and knobs give the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    days = [start + timedelta(days=offset) for offset in range((end - start).days)]
    truth = GeneratedTruth(seed, knobs, tuple(day for day in days if is_open(knobs, day)))
    for day in truth.days:
        write_atomically(folder / f"{day.isoformat()}.csv", write_csv(truth.rows(day)))
    return truth


def is_open(knobs: Knobs, day: date) -> bool:
    """Whether the shop trades on a day."""
    return day.weekday() not in knobs.closed_weekdays and day not in knobs.holidays


def write_csv(rows: list[list[str]]) -> str:
    """The file of some lines."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(rows)
    return buffer.getvalue()


class _World:
    """Customers and items in slots. After its lifetime each is replaced by a new one, evenly over the year."""

    def __init__(self, seed: int, knobs: Knobs) -> None:
        self.seed, self.knobs = seed, knobs
        self._customers: dict[tuple[int, int], _Customer] = {}
        self._items: dict[tuple[int, int, int], _Item] = {}
        self._scenes: dict[bool, tuple[date, _Scene]] = {}
        rotation = self._stream(ROTATION)
        self._rotation = np.linalg.qr(rotation.normal(size=(DIMENSIONS, DIMENSIONS)))[0]
        self._leaving = rotation.random(knobs.items) < knobs.drift_item_share

    def _stream(self, *key: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *key])

    def season_share(self, day: date) -> float:
        """The new season's share of a day's invoices."""
        knobs = self.knobs
        if knobs.drift_from is None or day < knobs.drift_from:
            return 0.0
        since = (day - knobs.drift_from).days
        if knobs.drift_period_days is not None:
            return 0.5 - 0.5 * math.cos(2 * math.pi * since / knobs.drift_period_days)
        return min(1.0, (since + 1) / (knobs.drift_days + 1))

    def scene(self, day: date, new_season: bool) -> _Scene:
        if new_season not in self._scenes or self._scenes[new_season][0] != day:
            self._scenes[new_season] = (day, self._make_scene(day, new_season))
        return self._scenes[new_season][1]

    def places(self, day: date) -> dict[str, int]:
        """Customer -> its place in the scenes of a day."""
        return {str(customer.number): place for place, customer in enumerate(self._customers_of(day))}

    def _customers_of(self, day: date) -> list[_Customer]:
        stay, many = self.knobs.customer_days, self.knobs.customers
        return [self._customer(slot, (day.toordinal() + slot * stay // many) // stay) for slot in range(many)]

    def _make_scene(self, day: date, new_season: bool) -> _Scene:
        ordinal, stay = day.toordinal(), self.knobs.item_days
        customers = self._customers_of(day)
        items = [
            self._item(slot, (ordinal + slot * 619 % stay) // stay, int(new_season and self._leaving[slot]))
            for slot in range(self.knobs.items)
        ]
        tastes = np.stack([customer.taste for customer in customers])
        if new_season:
            tastes = tastes @ self._rotation
        latent = np.stack([item.latent for item in items])
        season = np.cos((day.timetuple().tm_yday - np.array([item.peak for item in items])) * 2 * math.pi / 365.25)
        appeal = TASTE_STRENGTH * tastes @ latent.T + np.array([item.popularity for item in items]) + 0.4 * season
        taste = np.exp(appeal - appeal.max(axis=1, keepdims=True))
        taste /= taste.sum(axis=1, keepdims=True)
        wish = appeal + np.stack([customer.whims for customer in customers])
        staples = np.argsort(-wish, axis=1, kind="stable")[:, : min(STAPLES, self.knobs.items)]
        habit = np.zeros_like(taste)
        shares = 1 / np.arange(1.0, staples.shape[1] + 1)
        np.put_along_axis(habit, staples, np.broadcast_to(shares / shares.sum(), staples.shape), axis=1)
        attendance = np.array([c.activity * (6.0 if new_season and c.country else 1.0) for c in customers])
        factor, habits = 1.0, HABIT_SHARE
        if new_season:
            factor, habits = self.knobs.drift_price_factor, self.knobs.drift_habit_share
        return _Scene(
            customers=customers,
            items=items,
            probabilities=(1 - habits) * taste + habits * habit,
            attendance=attendance / attendance.sum(),
            prices=np.array([round(item.price * factor, 2) for item in items]),
        )

    def _customer(self, slot: int, generation: int) -> _Customer:
        if (slot, generation) not in self._customers:
            random = self._stream(CUSTOMER, slot, generation)
            self._customers[slot, generation] = _Customer(
                number=10_000 + (generation * self.knobs.customers + slot) % 90_000,
                taste=random.normal(size=DIMENSIONS),
                whims=random.gumbel(size=self.knobs.items),
                activity=random.gamma(self.knobs.attendance_shape) + 0.05,
                country=int(random.choice(len(COUNTRIES), p=COUNTRY_SHARES)),
            )
        return self._customers[slot, generation]

    def _item(self, slot: int, generation: int, season: int) -> _Item:
        key = (slot, generation, season)
        if key not in self._items:
            random = self._stream(ITEM, *key)
            letter = str(random.choice(["", "", "", "", "A", "B", "C"]))
            words = [str(random.choice(names)) for names in (COLOURS, MATTERS, THINGS)]
            self._items[key] = _Item(
                code=f"{20_000 + (2 * (generation * self.knobs.items + slot) + season) % 70_000}{letter}",
                text=" ".join(words),
                price=float(np.clip(random.lognormal(0.9, 0.8), 0.2, 60)),
                latent=random.normal(size=DIMENSIONS) / math.sqrt(DIMENSIONS) * 1.5,
                popularity=-ZIPF * math.log(1 + random.random() * self.knobs.items),
                peak=float(random.random() * 365),
            )
        return self._items[key]

    def file_rows(self, day: date) -> list[list[str]]:
        """The lines of one day's file: those of its invoices, and those of the evening before that came after midnight."""
        rows = [row for of in self._evenings(day) for row in self.rows(of)]
        return [row for row in rows if row[WHEN].startswith(day.isoformat())] if self.knobs.closes_at > 24 else rows

    def _evenings(self, day: date) -> list[date]:
        before = [day - timedelta(days=1)] if self.knobs.closes_at > 24 else []
        return [of for of in (*before, day) if is_open(self.knobs, of)]

    def rows(self, day: date) -> list[list[str]]:
        """The lines of the invoices that begin on a day, without the header, as text."""
        random, knobs = self._stream(DAY, day.toordinal()), self.knobs
        yearly = 1 + 0.25 * math.cos((day.timetuple().tm_yday - 325) * 2 * math.pi / 365.25)
        weekday = WEEKDAY_VOLUME[day.weekday()] or SATURDAY_VOLUME
        count = max(1, int(random.poisson(knobs.invoices_per_day * weekday * yearly * self._grown(day))))
        share = self.season_share(day)
        if share in (0.0, 1.0):
            return self._soil(self._invoices(day, self.scene(day, share == 1.0), count, 0, random), day)
        late = self._stream(DAY, day.toordinal(), 1)
        new = int(late.binomial(count, share))
        rows = self._invoices(day, self.scene(day, False), count - new, 0, random)
        return self._soil(rows + self._invoices(day, self.scene(day, True), new, 2 * count, late), day)

    def _grown(self, day: date) -> float:
        """How many times as many invoices as before the growth."""
        if self.knobs.growth_from is None:
            return 1.0
        grown = (day - self.knobs.growth_from).days / self.knobs.growth_days
        return float(self.knobs.growth_factor ** min(1.0, max(0.0, grown)))

    def _invoices(self, day: date, scene: _Scene, count: int, first: int, random: np.random.Generator) -> list[list[str]]:
        """The lines of `count` invoices of one season."""
        opens, closes = self.knobs.opens_at * 60, self.knobs.closes_at * 60
        buyers = random.choice(len(scene.customers), size=count, p=scene.attendance)
        sizes = np.minimum(random.integers(6, 11, size=count), len(scene.items))
        minutes = np.sort(random.integers(opens, closes, size=count))
        # The Gumbel trick: the largest of log p + noise are draws without replacement with probabilities p.
        keys = np.log(scene.probabilities[buyers] + 1e-300) + random.gumbel(size=(count, len(scene.items)))
        chosen = np.argsort(-keys, axis=1, kind="stable")
        most = max(500, int(3 * self.knobs.invoices_per_day * max(1.0, self.knobs.growth_factor)))
        numbers = iter(range(100_000 + day.toordinal() * most % 800_000 + first, 10**9))
        rows: list[list[str]] = []
        for place in range(count):
            customer = scene.customers[buyers[place]]
            who = [f"{customer.number}.0" if random.random() >= 0.1 else "", COUNTRIES[customer.country]]
            basket = chosen[place, : sizes[place]]
            pieces = random.choice(PIECES, size=len(basket), p=PIECE_SHARES)
            if self.knobs.bulk_share:
                bulk = random.random(len(basket)) < self.knobs.bulk_share
                pieces = np.where(bulk, np.minimum(pieces * (1 + random.pareto(1.1, len(basket))), 50_000).astype(int), pieces)
            sold = [self._line(scene, item, int(n), random) for item, n in zip(basket, pieces, strict=True)]
            rows += _invoice(str(next(numbers)), datetime.combine(day, time()), int(minutes[place]), sold, who)
            if random.random() < self.knobs.return_share:  # a return on the same day
                back = [[code, text, f"-{n}", price] for code, text, n, price in sold[: int(random.integers(1, 3))]]
                later = int(min(minutes[place] + random.integers(5, 120), closes + 60))
                rows += _invoice(f"C{next(numbers)}", datetime.combine(day, time()), later, back, who)
        copies = 1 + (random.random(len(rows)) < 0.005)
        return [list(row) for row, times in zip(rows, copies, strict=True) for _ in range(times)]

    def _line(self, scene: _Scene, item: int, pieces: int, random: np.random.Generator) -> list[str]:
        text = scene.items[item].text if random.random() >= 0.003 else ""
        return [scene.items[item].code, text, str(pieces), repr(float(scene.prices[item]))]

    def _soil(self, rows: list[list[str]], day: date) -> list[list[str]]:
        """Make a share of the rows bad, each in a way that validation detects."""
        if not self.knobs.dirt or self.knobs.dirty_day not in (None, day):
            return rows
        random = self._stream(DIRT, day.toordinal())
        bad = random.permutation(len(rows))[: round(self.knobs.dirt * len(rows))]
        for place, way in zip(bad, random.integers(len(DIRT_WAYS), size=len(bad)), strict=True):
            column, cell = DIRT_WAYS[way]
            rows[place][HEADER.index(column)] = cell
        return rows


DIRT_WAYS = (
    ("InvoiceDate", "31/31/2011 25:61"),
    ("InvoiceDate", ""),
    ("UnitPrice", "-4.95"),
    ("UnitPrice", "n/a"),
    ("Quantity", "0"),
    ("Quantity", "a dozen"),
    ("Quantity", "999999"),
    ("StockCode", ""),
    ("Country", ""),
)


def _invoice(number: str, day: datetime, minute: int, lines: list[list[Any]], who: list[str]) -> list[list[str]]:
    """The lines of one invoice in the order of the header."""
    at = (day + timedelta(minutes=minute)).strftime("%Y-%m-%d %H:%M:%S")
    return [[number, code, text, pieces, at, price, *who] for code, text, pieces, price in lines]

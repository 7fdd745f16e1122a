"""A small shop with daily windows: baskets of lines, quiet weekends, closed days, and true drift from a stated day on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.calendar import NO_CALENDAR, Calendar
from tasks.contracts.monitoring import DriftReport, RetrainDecision, RetrainRequest
from tasks.contracts.promotion import Action, LedgerEntry, Trust
from tasks.stages.monitoring.checks import CHECKS
from tasks.stages.monitoring.checks.base import DriftCheck
from tasks.stages.monitoring.decision import RetrainHistory, RetrainPolicy, decide_retrain
from tasks.stages.monitoring.evidence import ComparedRows, gather
from tasks.stages.monitoring.judging import judge

FIRST = date(2024, 1, 1)  # a Monday
REFERENCE_DAYS = 56
ITEMS, SEGMENTS = 300, ("here", "north", "south", "abroad")
SHIPPED = RetrainPolicy(violations=2, of_last=3, cooldown_days=3, at_most_per_week=2)


def list_checks(threshold: float = 0.2) -> tuple[DriftCheck, ...]:
    """The checks of the shipped use case that need no predictions."""
    columns = [c.UNIT_PRICE, c.QUANTITY, c.ITEM_ID, c.SEGMENT]
    entries: list[dict[str, object]] = [
        {"kind": "column_drift", "columns": columns, "method": "jensenshannon", "threshold": threshold},
        {"kind": "unit_change", "columns": columns[:2]},
        {"kind": "missing_values", "columns": [c.USER_ID, *columns[:2]], "threshold": 0.3},
    ]
    faults = ("missing_days", "volume", "doubled_rows", "frozen_rows")
    return tuple(CHECKS.parse(entry, "here") for entry in [*entries, *({"kind": kind} for kind in faults)])


@dataclass(frozen=True)
class Shop:
    """What a generated shop does.

    invoices : a weekday's, on average. weekend : a weekend day's share of that. lines : of an invoice, on average.
    drift_from, drift_days : from this day on other items, segments and prices, growing to their full strength in so many days.
    closed : weekday numbers on which nothing is sold. calendar : more days on which nothing is sold.
    """

    seed: int
    invoices: int = 20
    lines: int = 8
    users: int = 300
    weekend: float = 1.0
    drift_from: int | None = None
    drift_days: int = 1
    closed: tuple[int, ...] = ()
    calendar: Calendar = NO_CALENDAR

    def make_day(self, place: int) -> pd.DataFrame:
        """The lines of one day."""
        day, random = FIRST + timedelta(days=place), np.random.default_rng([self.seed, place])
        of_users = np.random.default_rng([self.seed])
        segment = of_users.choice(len(SEGMENTS), self.users, p=[0.75, 0.12, 0.08, 0.05])
        tastes = of_users.integers(0, ITEMS, (self.users, 20))
        price = of_users.lognormal(1, 0.8, ITEMS)
        is_open = day.weekday() not in self.closed and not self.calendar.is_closed(day)
        invoices = random.poisson(self.invoices * (self.weekend if day.weekday() >= 5 else 1.0)) if is_open else 0
        strength = 0.0 if self.drift_from is None else float(np.clip((place - self.drift_from + 1) / self.drift_days, 0, 1))
        drifted = random.random(invoices) < 0.6 * strength  # a basket of the new kind
        buyers = random.integers(0, self.users, invoices)
        basket = np.repeat(np.arange(invoices), 1 + random.poisson(self.lines - 1, invoices))
        of_taste = tastes[buyers[basket], random.integers(0, 20, len(basket))]
        popular = (ITEMS * random.random(len(basket)) ** 1.5).astype(int)
        item = np.where(random.random(len(basket)) < 0.5, of_taste, popular)
        item = np.where(drifted[basket], (item + ITEMS // 2) % ITEMS, item)
        bought = segment[buyers[basket]]
        where = np.where(drifted[basket], len(SEGMENTS) - 1, bought)
        moment = pd.Timestamp(day, tz="UTC") + pd.to_timedelta(9 + random.random(invoices) * 9, unit="h")
        return pd.DataFrame(
            {
                c.ROW_ID: [f"{place}:{line}" for line in range(len(basket))],
                c.EVENT_AT: pd.Series(moment[basket]).astype("datetime64[us, UTC]"),
                c.EVENT_ID: [f"{place}-{one}" for one in basket],
                c.USER_ID: pd.Series([None if user % 5 == 0 else f"u{user}" for user in buyers[basket]], dtype=object),
                c.ITEM_ID: item.astype(str).astype(object),
                c.SEGMENT: np.array(SEGMENTS, dtype=object)[where],
                c.UNIT_PRICE: np.round(price[item] * np.where(drifted[basket], 1.3, 1.0), 2),
                c.QUANTITY: random.choice([1.0, 2.0, 6.0, 12.0], len(basket), p=[0.5, 0.25, 0.15, 0.1]),
            }
        )


@dataclass
class Installation:
    """The real checks and the real controller over the days of a shop. A request makes a champion that serves the next day.

    learned : the number of days up to which the champion has learned.
    calendar : what monitoring knows of closed days; None: all of the shop's calendar.
    """

    shop: Shop
    checks: Sequence[DriftCheck] = field(default_factory=list_checks)
    calendar: Calendar | None = None
    policy: RetrainPolicy = SHIPPED
    window_days: int = 1
    current_days: int = 7
    learned: int = REFERENCE_DAYS
    past: list[RetrainDecision] = field(default_factory=list)
    requests: list[RetrainRequest] = field(default_factory=list)
    days: list[pd.DataFrame] = field(default_factory=list)

    def run(self, until: int) -> list[RetrainDecision]:
        """Monitor every window after the reference up to a day; a window without a row is no window."""
        while len(self.days) < REFERENCE_DAYS:
            self.days.append(self.shop.make_day(len(self.days)))
        while len(self.days) + self.window_days <= until:
            begin = len(self.days)
            self.days += [self.shop.make_day(begin + place) for place in range(self.window_days)]
            if any(len(rows) for rows in self.days[begin:]):
                self._monitor(begin, len(self.days))
        return self.past

    def _between(self, begin: int, end: int) -> pd.DataFrame:
        return pd.concat(self.days[begin:end], ignore_index=True)

    def _monitor(self, begin: int, end: int) -> None:
        delivered = [place for place in range(begin) if len(self.days[place])]
        last = delivered[-1]
        known_until = FIRST + timedelta(days=last + 1)
        window, span = (
            Window.before(FIRST + timedelta(days=end), n) for n in (end - begin, max(end - begin, self.current_days))
        )
        reference = self._between(self.learned - REFERENCE_DAYS, self.learned)
        rows = ComparedRows(
            window,
            {"rows": reference},
            {"rows": self._between(end - span.days, end)},
            span=span,
            own=self._between(begin, end),
            before=self._between(begin - REFERENCE_DAYS, begin),
            previous=self._between(last - self.window_days + 1, last + 1),
            known_until=known_until,
            calendar=self.shop.calendar if self.calendar is None else self.calendar,
        )
        results = judge(self.checks, gather(self.checks, rows))
        report = DriftReport(
            use_case="shop",
            window=window,
            reference="",
            current_rows=len(rows.current["rows"]),
            reference_rows=len(reference),
            checks=results,
            violated=any(one.violated for one in results),
            report_uri="",
            run_id="",
        )
        as_of = FIRST + timedelta(days=self.learned)
        history = RetrainHistory(self.past, make_champion(len(self.requests) + 1), as_of, self.requests)
        decision = decide_retrain("shop", self.policy, window, report, history)
        self.past.append(decision)
        if decision.retrain:
            self.learned = end
            request = RetrainRequest(idempotency_key=decision.idempotency_key, as_of=window.end, taken_by="run")
            self.requests.append(request.model_copy(update={"version": len(self.requests) + 2, "passed": True}))


def make_champion(version: int) -> LedgerEntry:
    """The ledger's entry of a champion."""
    empty = "0" * 64
    return LedgerEntry(
        sequence=version,
        use_case="shop",
        action=Action.PROMOTE,
        version=version,
        previous_version=None,
        manifest_digest=empty,
        data_digest=empty,
        report_digest=empty,
        code_version="",
        actor="bench",
        trust=Trust.POLICY,
        reason="",
        dag_run="",
        at=datetime(2026, 1, 1, tzinfo=UTC),
        entry_digest=empty,
        previous_digest=empty,
    )


HOLIDAYS = Calendar(closed_days=("03-29", "04-01", "05-06", "05-27", "08-26", "12-25..12-26", "01-01"))
CALM = {
    "daily": (Shop(0), 1),
    "daily_quiet_weekends": (Shop(0, weekend=0.2), 1),
    "daily_closed_weekends": (Shop(0, closed=(5, 6)), 1),
    "daily_holidays": (Shop(0, calendar=HOLIDAYS), 1),
    "weekly": (Shop(0), 7),
}
DRIFT_FROM = REFERENCE_DAYS + 14
DRIFTING = {  # name -> the shop, the days of a window, and the days within which a request must come
    "daily_sudden": (Shop(0, drift_from=DRIFT_FROM), 1, 10),
    "daily_sudden_quiet_weekends": (Shop(0, weekend=0.2, drift_from=DRIFT_FROM), 1, 10),
    "daily_gradual": (Shop(0, drift_from=DRIFT_FROM, drift_days=42), 1, 42),
    "weekly_sudden": (Shop(0, drift_from=DRIFT_FROM), 7, 21),
    "weekly_gradual": (Shop(0, drift_from=DRIFT_FROM, drift_days=42), 7, 49),
}


def measure_calm_shops(seeds: int, days: int) -> dict[str, dict[str, float]]:
    """Shop without drift -> what happens in a year of 364 days, mean of the seeds."""
    found = {}
    for name, (shop, window_days) in CALM.items():
        past = [
            Installation(replace(shop, seed=seed), window_days=window_days).run(REFERENCE_DAYS + days) for seed in range(seeds)
        ]
        years = seeds * days / 364
        found[name] = {
            "retrains": sum(one.retrain for decisions in past for one in decisions) / years,
            "fault_alerts": sum(one.alert for decisions in past for one in decisions) / years,
            "violated_windows": sum(one.violated for decisions in past for one in decisions) / years,
        }
    return found


def measure_missed_drift(names: Sequence[str], seeds: int) -> dict[str, dict[str, float]]:
    """Drifting shop -> the share of the seeds without a request within its days."""
    found = {}
    for name in names:
        shop, window_days, within = DRIFTING[name]
        missed = 0
        for seed in range(seeds):
            decisions = Installation(replace(shop, seed=seed), window_days=window_days).run(DRIFT_FROM + within)
            first = FIRST + timedelta(days=DRIFT_FROM)
            missed += not any(one.retrain and one.window.end > first for one in decisions)
        found[name] = {"missed_share": missed / seeds, "within_days": float(within)}
    return found

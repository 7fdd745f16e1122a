"""Checks that separate broken data from real change. A violation stops every retraining."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from pydantic import Field

from tasks.contracts.monitoring import CheckResult, Signal
from tasks.stages.monitoring.bins import MISSING
from tasks.stages.monitoring.checks.base import OWN_OF, Counts, DriftCheck, Evidence
from tasks.stages.monitoring.resampling import Draws, exceeded_by_chance

if TYPE_CHECKING:
    import pandas as pd

FAULT = Signal.FAULT
QUANTILES = np.arange(0.05, 1, 0.05)
AGREEING = 0.8  # of the quantiles
SAME_WEEKDAYS = 3
BEYOND_CHANCE = 4.0  # standard deviations: of a normal distribution one of 16,000 days


class UnitChange(DriftCheck):
    """A column in another unit: all its quantiles changed by one factor.

    A shop that sells dearer things moves its quantiles by different factors; pence in the place of pounds move all by 100.
    A pure change of scale by `factor` or more therefore counts as a fault, and a person says if it is none.

    Parameters
    ----------
    factor : how much larger or smaller. 1.5 notices miles in the place of kilometres.
    misfit : how far a quantile's own factor may be from the common one, in logarithms, beside the sample's own noise.
    """

    kind: Literal["unit_change"] = "unit_change"
    columns: tuple[str, ...] = Field(min_length=1)
    factor: float = Field(1.5, gt=1)
    misfit: float = Field(0.05, gt=0)
    min_rows: int = Field(100, ge=20)

    @property
    def wanted(self) -> tuple[tuple[str, str], ...]:
        return tuple((OWN_OF, column) for column in self.columns)

    def judge(self, seen: Evidence) -> tuple[CheckResult, ...]:
        results = []
        for column in self.columns:
            before, now = (_numbers(side) for side in seen.samples[OWN_OF, column])
            few = min(len(before), len(now)) < self.min_rows
            ratio = 1.0 if few else find_rescaling(before, now, self.misfit)
            note = f"not judged: fewer than {self.min_rows} numbers" if few else ""
            results.append(
                self.answer(column, "rescaled_by", ratio, self.factor, ratio >= self.factor, signal=FAULT, note=note)
            )
        return tuple(results)


def find_rescaling(reference: np.ndarray, current: np.ndarray, misfit: float) -> float:
    """The factor, from 1 on, by which one side is the other rescaled; 1 where it is not.

    Each of 19 quantiles has a factor of its own, and four fifths of those must agree with their median: columns of few values
    (pieces of 1, 2, 6, 12) jump from one to the next, each by another factor, which is not a change of unit.

    Parameters
    ----------
    reference, current : (rows,) finite numbers.
    """
    before, now = np.quantile(reference, QUANTILES), np.quantile(current, QUANTILES)
    known = before * now > 0
    if known.sum() < AGREEING * len(QUANTILES):
        return 1.0
    factors = np.log(now[known] / before[known])
    common = float(np.median(factors))
    noise = 2 / math.sqrt(min(len(reference), len(current)))
    agreeing = int((np.abs(factors - common) <= misfit + noise).sum())
    return math.exp(abs(common)) if agreeing >= AGREEING * len(QUANTILES) else 1.0


def _numbers(values: pd.Series) -> np.ndarray:
    import pandas as pd

    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return np.asarray(numbers[np.isfinite(numbers)])


class MissingValues(DriftCheck):
    """A column that lost values: the growth of the share of missing values, beyond what chance explains.

    Parameters
    ----------
    error : the probability, for each column and window, with which chance alone violates the check (see resampling.py).
    """

    kind: Literal["missing_values"] = "missing_values"
    columns: tuple[str, ...] = Field(min_length=1)
    threshold: float = Field(0.2, gt=0, le=1)
    error: float = Field(0.001, ge=0.001, le=0.1)

    @property
    def wanted(self) -> tuple[tuple[str, str], ...]:
        return tuple((OWN_OF, column) for column in self.columns)

    @property
    def wants_draws(self) -> bool:
        return True

    def judge(self, seen: Evidence) -> tuple[CheckResult, ...]:
        return tuple(
            self._judge(column, seen.counts[OWN_OF, column], seen.draws.get((OWN_OF, column))) for column in self.columns
        )

    def _judge(self, column: str, counts: Counts, draws: Draws | None) -> CheckResult:
        before, now = counts.share(MISSING)
        threshold = self.threshold
        drawn = draws.draw() if draws and now - before >= threshold else {}
        if MISSING in drawn:
            totals = [np.sum(side, axis=0) for side in zip(*drawn.values(), strict=True)]
            shares = [missing / total for missing, total in zip(drawn[MISSING], totals, strict=True)]
            threshold = max(threshold, exceeded_by_chance(shares[1] - shares[0], self.error))
        return self.answer(column, "share_grew", now - before, threshold, now - before >= threshold, signal=FAULT)


class UsualDays(NamedTuple):
    """What is usual on a weekday, from the days before the window.

    median : rows of the days on which any came. traded : the share of those days.
    spread : the standard deviation of the root of a day's rows around that of its weekday. Rows of independent units have the
        same in the root, however many come, so that all weekdays share it.
    """

    median: float
    traded: float
    spread: float

    @property
    def at_least(self) -> float:
        """The rows that chance leaves of a usual day."""
        return max(0.0, math.sqrt(self.median) - BEYOND_CHANCE * self.spread) ** 2

    @property
    def at_most(self) -> float:
        """The rows that chance makes of a usual day."""
        return (math.sqrt(self.median) + BEYOND_CHANCE * self.spread) ** 2


def find_usual_days(seen: Evidence) -> dict[int, UsualDays]:
    """Weekday -> what is usual on it. Days that the calendar closes are left out.

    Only weekdays that occurred `SAME_WEEKDAYS` times or more: fewer do not say what is usual.
    """
    before = seen.days[0]
    if not before:
        return {}
    found: dict[int, list[int]] = {}
    for place in range((max(before) - min(before)).days + 1):
        day = min(before) + timedelta(days=place)
        if not seen.calendar.is_closed(day):
            found.setdefault(day.weekday(), []).append(before.get(day, 0))
    known = {weekday: np.array(rows, dtype=np.float64) for weekday, rows in found.items() if len(rows) >= SAME_WEEKDAYS}
    traded = {weekday: rows[rows > 0] for weekday, rows in known.items()}
    medians = {weekday: float(np.median(rows)) if len(rows) else 0.0 for weekday, rows in traded.items()}
    squares = sum(float(((np.sqrt(rows) - math.sqrt(medians[weekday])) ** 2).sum()) for weekday, rows in traded.items())
    freedom = sum(max(0, len(rows) - 1) for rows in traded.values())
    spread = math.sqrt(squares / freedom) if freedom else 0.0
    return {day: UsualDays(medians[day], len(traded[day]) / len(rows), spread) for day, rows in known.items()}


class MissingDays(DriftCheck):
    """Days without a row, where rows came on `usual` of the same weekdays before or more. Closed days are not missing.

    Days count from the end of the window before, so that a day for which no file came at all is missed too. A weekday with so
    few rows that chance leaves none is not missed.
    """

    kind: Literal["missing_days"] = "missing_days"
    usual: float = Field(0.8, gt=0, le=1)

    @property
    def wants_facts(self) -> bool:
        return True

    def judge(self, seen: Evidence) -> tuple[CheckResult, ...]:
        weekdays = find_usual_days(seen)
        expected = {day for day, usual in weekdays.items() if usual.traded >= self.usual and usual.at_least > 0}
        first = min(seen.window.start, seen.known_until or seen.window.start)
        days = [first + timedelta(days=n) for n in range((seen.window.end - first).days)]
        missing = [
            day for day in days if day.weekday() in expected and not seen.days[1].get(day) and not seen.calendar.is_closed(day)
        ]
        note = "" if weekdays else f"not judged: fewer than {SAME_WEEKDAYS} weeks before the window"
        named = "event_at" if not missing else f"event_at ({', '.join(map(str, missing[:5]))})"
        return (self.answer(named, "days_missing", len(missing), 1, bool(missing), signal=FAULT, note=note),)


class Volume(DriftCheck):
    """Far more or far fewer rows a day than the median of the same weekday before. Closed days do not count.

    Parameters
    ----------
    factor : how many times more or fewer. It is larger where chance alone gives as much, as in a shop of few invoices a day.
    """

    kind: Literal["volume"] = "volume"
    factor: float = Field(4.0, gt=1)

    @property
    def wants_facts(self) -> bool:
        return True

    def judge(self, seen: Evidence) -> tuple[CheckResult, ...]:
        weekdays = find_usual_days(seen)
        judged = [
            (rows / usual.median, rows / usual.at_least if usual.at_least else math.inf, rows / usual.at_most)
            for day, rows in seen.days[1].items()
            if seen.window.start <= day < seen.window.end
            and not seen.calendar.is_closed(day)
            and (usual := weekdays.get(day.weekday())) is not None
            and usual.median
        ]
        note = "" if judged else f"not judged: no open day whose weekday came {SAME_WEEKDAYS} times before"
        ratio, over_least, over_most = np.median(np.array(judged or [(1.0, 1.0, 1.0)]), axis=0).tolist()
        value = math.exp(abs(math.log(ratio)))
        is_beyond = over_least < 1 or over_most > 1
        return (
            self.answer("rows", "times_usual", value, self.factor, value >= self.factor and is_beyond, signal=FAULT, note=note),
        )


class DoubledRows(DriftCheck):
    """Rows delivered twice: the growth of the share of rows that equal an earlier one in all columns, beyond chance."""

    kind: Literal["doubled_rows"] = "doubled_rows"
    threshold: float = Field(0.1, gt=0, le=1)
    min_rows: int = Field(50, ge=10)

    @property
    def wants_facts(self) -> bool:
        return True

    def judge(self, seen: Evidence) -> tuple[CheckResult, ...]:
        before, now = seen.doubled
        rows = sum(seen.days[1].values())
        note = f"not judged: {rows} rows in the window, {self.min_rows} needed" if rows < self.min_rows else ""
        threshold = max(self.threshold, BEYOND_CHANCE * math.sqrt(before * (1 - before) / max(1, rows)))
        return (self.answer("rows", "share_grew", now - before, threshold, now - before >= threshold, signal=FAULT, note=note),)


class FrozenRows(DriftCheck):
    """A source that repeats itself: the share of the last window's unique rows that occur again with another day."""

    kind: Literal["frozen_rows"] = "frozen_rows"
    threshold: float = Field(0.5, gt=0, le=1)
    min_rows: int = Field(50, ge=10)

    @property
    def wants_facts(self) -> bool:
        return True

    def judge(self, seen: Evidence) -> tuple[CheckResult, ...]:
        rows, share = seen.repeated
        note = f"not judged: {rows} unique rows in the window before, {self.min_rows} needed" if rows < self.min_rows else ""
        return (self.answer("rows", "share_repeated", share, self.threshold, share >= self.threshold, signal=FAULT, note=note),)

"""Checks that separate broken data from real change. A violation stops every retraining."""

from __future__ import annotations

import math
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from tasks.contracts.monitoring import CheckResult, Signal
from tasks.stages.monitoring.bins import MISSING
from tasks.stages.monitoring.checks.base import ROWS_OF, DriftCheck, Evidence

if TYPE_CHECKING:
    import pandas as pd

FAULT = Signal.FAULT
QUANTILES = np.arange(0.05, 1, 0.05)
AGREEING = 0.8  # of the quantiles


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
        return tuple((ROWS_OF, column) for column in self.columns)

    def judge(self, seen: Evidence) -> tuple[CheckResult, ...]:
        results = []
        for column in self.columns:
            before, now = (_numbers(side) for side in seen.samples[ROWS_OF, column])
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
    """A column that lost values: the growth of the share of missing values."""

    kind: Literal["missing_values"] = "missing_values"
    columns: tuple[str, ...] = Field(min_length=1)
    threshold: float = Field(0.2, gt=0, le=1)

    @property
    def wanted(self) -> tuple[tuple[str, str], ...]:
        return tuple((ROWS_OF, column) for column in self.columns)

    def judge(self, seen: Evidence) -> tuple[CheckResult, ...]:
        shares = {column: seen.counts[ROWS_OF, column].share(MISSING) for column in self.columns}
        return tuple(
            self.answer(column, "share_grew", now - before, self.threshold, now - before >= self.threshold, signal=FAULT)
            for column, (before, now) in shares.items()
        )


class MissingDays(DriftCheck):
    """Days without a row, where the reference had rows on `usual` of that day of the week or more.

    Days count from the end of the window before, so that a day for which no file came at all is missed too.
    """

    kind: Literal["missing_days"] = "missing_days"
    usual: float = Field(0.8, gt=0, le=1)

    @property
    def wants_facts(self) -> bool:
        return True

    def judge(self, seen: Evidence) -> tuple[CheckResult, ...]:
        before, now = seen.days
        traded = Counter(day.weekday() for day in before)
        span = [min(before) + timedelta(days=n) for n in range((max(before) - min(before)).days + 1)] if before else []
        there_were = Counter(day.weekday() for day in span)
        usual = {day for day, times in there_were.items() if times >= 3 and traded[day] / times >= self.usual}
        first = min(seen.window.start, seen.known_until or seen.window.start)
        days = [first + timedelta(days=n) for n in range((seen.window.end - first).days)]
        missing = [day for day in days if day.weekday() in usual and not now.get(day)]
        note = "" if usual else "not judged: the reference has fewer than three weeks"
        named = "event_at" if not missing else f"event_at ({', '.join(map(str, missing[:5]))})"
        return (self.answer(named, "days_missing", len(missing), 1, bool(missing), signal=FAULT, note=note),)


class Volume(DriftCheck):
    """Far more or far fewer rows a day than the reference has on its median day."""

    kind: Literal["volume"] = "volume"
    factor: float = Field(4.0, gt=1)

    @property
    def wants_facts(self) -> bool:
        return True

    def judge(self, seen: Evidence) -> tuple[CheckResult, ...]:
        before, now = (sorted(side.values()) for side in seen.days)
        if len(before) < 5 or not now:
            return (
                self.answer(
                    "rows", "times_usual", 1, self.factor, False, signal=FAULT, note="not judged: fewer than five days known"
                ),
            )
        ratio = float(np.median(now) / np.median(before))
        value = math.exp(abs(math.log(ratio)))
        return (self.answer("rows", "times_usual", value, self.factor, value >= self.factor, signal=FAULT),)


class DoubledRows(DriftCheck):
    """Rows delivered twice: the growth of the share of rows that equal an earlier one in all columns."""

    kind: Literal["doubled_rows"] = "doubled_rows"
    threshold: float = Field(0.1, gt=0, le=1)

    @property
    def wants_facts(self) -> bool:
        return True

    def judge(self, seen: Evidence) -> tuple[CheckResult, ...]:
        before, now = seen.doubled
        return (self.answer("rows", "share_grew", now - before, self.threshold, now - before >= self.threshold, signal=FAULT),)


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

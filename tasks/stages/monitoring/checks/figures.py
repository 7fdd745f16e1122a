"""One check for everything that is a figure by itself: cold traffic, coverage, calibration, quality, business value."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, model_validator

from tasks.contracts.monitoring import CheckResult, Signal
from tasks.stages.monitoring.checks.base import DriftCheck, Evidence


class Bound(DriftCheck):
    """A figure of the report that has to stay within a bound. One that was not measured is reported and not judged.

    Parameters
    ----------
    figure : its name in the report, such as `cold_share` or `hit_rate`.
    signal : what it means when it does not: a fault, drift, a label shift, or lost quality.
    """

    kind: Literal["bound"] = "bound"
    figure: str = Field(min_length=1)
    at_least: float | None = None
    at_most: float | None = None
    signal: Signal = Signal.QUALITY

    @model_validator(mode="after")
    def _one_bound(self) -> Bound:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("set either at_least or at_most")
        return self

    def judge(self, seen: Evidence) -> tuple[CheckResult, ...]:
        value = seen.figures.get(self.figure, math.nan)
        is_low = self.at_least is not None and value < self.at_least
        is_high = self.at_most is not None and value > self.at_most
        bound = self.at_least if self.at_least is not None else self.at_most
        of_all = self.figure.partition(".")[0]  # `hit_rate.online` is missing where `hit_rate` is
        reason = seen.notes.get(of_all, "not measured in this window")
        note = f"not judged: {reason}" if math.isnan(value) else ""
        method = "at_least" if self.at_least is not None else "at_most"
        shown = 0.0 if math.isnan(value) else value
        return (self.answer(self.figure, method, shown, bound or 0.0, is_low or is_high, signal=self.signal, note=note),)

"""Checks of the distance of two distributions.

They compare effect sizes, never p-values: with enough rows every p-value is small. The threshold is of the drift alone. Chance
moves windows of few baskets apart too (see resampling.py), and its mean distance is added. A distance is violated from that sum
on, and only where chance does not give as much.
Both methods (`tasks.metrics.distances`) compare shares of the same bins (see bins.py).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from tasks.columns import PREDICTION
from tasks.contracts.monitoring import CheckResult, Signal
from tasks.metrics.distances import jensenshannon_of_pairs, psi_of_pairs
from tasks.stages.monitoring.checks.base import PREDICTIONS_OF, ROWS_OF, Counts, Distance, DriftCheck, Evidence
from tasks.stages.monitoring.resampling import Draws, exceeded_by_chance

DISTANCES = {"psi": psi_of_pairs, "jensenshannon": jensenshannon_of_pairs}
ADDITIVE = {"psi": 1, "jensenshannon": 2}  # the power in which chance and drift add up


def measure_distance(counts: Counts, method: str) -> float:
    """The distance of the current window from the reference; 0 where one side is empty."""
    return float(DISTANCES[method](counts.reference, counts.current)) if all(counts.rows) else 0.0


class DistanceCheck(DriftCheck):
    """Base of the checks that compare two distributions.

    Parameters
    ----------
    method : how the distance of two distributions is measured.
    threshold : violated from this distance on, beside the mean distance that chance gives.
    thresholds : another one for columns that are named here.
    error : the probability, for each column and window, with which chance alone violates the check.
    min_units : with fewer units than this, in the window or in the reference, the distance is reported but not judged. A unit
        is what one user did in the window; without users an event, such as an invoice; without both a row.
    """

    method: Literal["psi", "jensenshannon"]
    threshold: float = Field(gt=0)
    thresholds: dict[str, float] = Field({})
    error: float = Field(0.001, ge=0.001, le=0.1)
    min_units: int = Field(50, ge=20)

    def threshold_of(self, column: str) -> float:
        return self.thresholds.get(column, self.threshold)

    @property
    def distances(self) -> tuple[Distance, ...]:
        return tuple(Distance(table, column, self.method, self.threshold_of(column)) for table, column in self.wanted)

    def judge(self, seen: Evidence) -> tuple[CheckResult, ...]:
        return tuple(
            self._judge(column, seen.counts[table, column], seen.draws.get((table, column))) for table, column in self.wanted
        )

    @property
    def wants_draws(self) -> bool:
        return True

    @property
    def _signal(self) -> Signal:
        return Signal.DRIFT

    def _judge(self, column: str, counts: Counts, draws: Draws | None) -> CheckResult:
        threshold, distance = self.threshold_of(column), measure_distance(counts, self.method)
        before, now = draws.units if draws else counts.rows  # without draws a side is empty
        note = ""
        for units, where in ((now, "in the window"), (before, "in the reference")):
            if units < self.min_units:
                note = note or f"not judged: {units} users, events or rows {where}, {self.min_units} needed"
        if draws and not note and distance >= threshold:
            pairs = [np.stack(side, axis=1) for side in zip(*draws.draw().values(), strict=True)]
            chance, power = DISTANCES[self.method](*pairs), ADDITIVE[self.method]
            of_chance_and_drift = float((threshold**power + np.mean(chance**power)) ** (1 / power))
            threshold = max(of_chance_and_drift, exceeded_by_chance(chance, self.error))
        return self.answer(column, self.method, distance, threshold, distance >= threshold, signal=self._signal, note=note)


class ColumnDrift(DistanceCheck):
    """The distribution of columns of the data, each judged by itself."""

    kind: Literal["column_drift"] = "column_drift"
    columns: tuple[str, ...] = Field(min_length=1)

    @property
    def wanted(self) -> tuple[tuple[str, str], ...]:
        return tuple((ROWS_OF, column) for column in self.columns)


class PredictionDrift(DistanceCheck):
    """The distribution of the scores of the model in service."""

    kind: Literal["prediction_drift"] = "prediction_drift"

    @property
    def wanted(self) -> tuple[tuple[str, str], ...]:
        return ((PREDICTIONS_OF, PREDICTION),)


class LabelDrift(DistanceCheck):
    """The distribution of the label: the class, the rating, or another outcome."""

    kind: Literal["label_drift"] = "label_drift"
    column: str

    @property
    def wanted(self) -> tuple[tuple[str, str], ...]:
        return ((ROWS_OF, self.column),)

    @property
    def _signal(self) -> Signal:
        return Signal.LABEL_SHIFT

"""Checks of the distance of two distributions.

They compare effect sizes, never p-values: with enough rows every p-value is small, and a threshold that depends on the
number of rows means nothing. Both methods (`tasks.metrics.distances`) compare shares of the same bins (see bins.py).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tasks.columns import PREDICTION
from tasks.contracts.monitoring import CheckResult, Signal
from tasks.metrics.distances import jensenshannon, psi
from tasks.stages.monitoring.checks.base import PREDICTIONS_OF, ROWS_OF, Counts, Distance, DriftCheck, Evidence

DISTANCES = {"psi": psi, "jensenshannon": jensenshannon}


def measure_distance(counts: Counts, method: str) -> float:
    """The distance of the current window from the reference; 0 where one side is empty."""
    return DISTANCES[method](counts.reference, counts.current) if all(counts.rows) else 0.0


class DistanceCheck(DriftCheck):
    """Base of the checks that compare two distributions.

    Parameters
    ----------
    method : how the distance of two distributions is measured.
    threshold : violated from this distance on.
    thresholds : another one for columns that are named here.
    min_rows : with fewer values than this, in the window or in the reference, the distance is reported but not judged.
    """

    method: Literal["psi", "jensenshannon"]
    threshold: float = Field(gt=0)
    thresholds: dict[str, float] = Field({})
    min_rows: int = Field(100, ge=20)

    def threshold_of(self, column: str) -> float:
        return self.thresholds.get(column, self.threshold)

    @property
    def distances(self) -> tuple[Distance, ...]:
        return tuple(Distance(table, column, self.method, self.threshold_of(column)) for table, column in self.wanted)

    def judge(self, seen: Evidence) -> tuple[CheckResult, ...]:
        return tuple(self._judge(column, seen.counts[table, column], self._signal) for table, column in self.wanted)

    @property
    def _signal(self) -> Signal:
        return Signal.DRIFT

    def _judge(self, column: str, counts: Counts, signal: Signal) -> CheckResult:
        threshold, distance = self.threshold_of(column), measure_distance(counts, self.method)
        before, now = counts.rows
        note = ""
        for rows, where in ((now, "in the window"), (before, "in the reference")):
            if rows < self.min_rows:
                note = note or f"not judged: {rows} values {where}, {self.min_rows} needed"
        return self.answer(column, self.method, distance, threshold, distance >= threshold, signal=signal, note=note)


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

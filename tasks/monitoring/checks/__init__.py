"""The shelf of checks: what is looked at in every window, and what it means when it is not as it should be."""

from tasks.monitoring.checks.base import PREDICTIONS_OF, ROWS_OF, Counts, DriftCheck, Evidence
from tasks.monitoring.checks.distributions import ColumnDrift, LabelDrift, PredictionDrift, measure_distance
from tasks.monitoring.checks.faults import DoubledRows, FrozenRows, MissingDays, MissingValues, UnitChange, Volume
from tasks.monitoring.checks.figures import Bound
from tasks.spec import Room

CHECKS = Room(
    "drift check", ColumnDrift, PredictionDrift, LabelDrift, UnitChange, MissingValues, MissingDays, Volume, DoubledRows,
    FrozenRows, Bound,
)  # fmt: skip

__all__ = [
    "CHECKS", "PREDICTIONS_OF", "ROWS_OF", "Bound", "ColumnDrift", "Counts", "DoubledRows", "DriftCheck", "Evidence",
    "FrozenRows", "LabelDrift", "MissingDays", "MissingValues", "PredictionDrift", "UnitChange", "Volume", "measure_distance",
]  # fmt: skip

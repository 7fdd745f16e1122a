"""The shelf of checks: what is looked at in every window, and what it means when it is not as it should be."""

from tasks.kinds import KindRegistry
from tasks.stages.monitoring.checks.base import PREDICTIONS_OF, ROWS_OF, Counts, DriftCheck, Evidence
from tasks.stages.monitoring.checks.distributions import ColumnDrift, LabelDrift, PredictionDrift, measure_distance
from tasks.stages.monitoring.checks.faults import DoubledRows, FrozenRows, MissingDays, MissingValues, UnitChange, Volume
from tasks.stages.monitoring.checks.figures import Bound

CHECKS = KindRegistry(
    "drift check",
    ColumnDrift,
    PredictionDrift,
    LabelDrift,
    UnitChange,
    MissingValues,
    MissingDays,
    Volume,
    DoubledRows,
    FrozenRows,
    Bound,
)

__all__ = [
    "CHECKS",
    "PREDICTIONS_OF",
    "ROWS_OF",
    "Bound",
    "ColumnDrift",
    "Counts",
    "DoubledRows",
    "DriftCheck",
    "Evidence",
    "FrozenRows",
    "LabelDrift",
    "MissingDays",
    "MissingValues",
    "PredictionDrift",
    "UnitChange",
    "Volume",
    "measure_distance",
]

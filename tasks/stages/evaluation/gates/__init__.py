"""The gates that a challenger must pass. Each is a class with a `kind`, listed once below.

To add one: a class with `check`, its entry in `GATES`, and in tests/tasks/stages/evaluation/twins.py a broken twin, an example
that it refuses. A gate without one fails the tests.
"""

from tasks.kinds import KindRegistry
from tasks.stages.evaluation.gates.answers import Calibration, CatalogCoverage, PredictionSanity, SuspiciousImprovement
from tasks.stages.evaluation.gates.base import ComparingGate, Context, Export, Gate, Lineage, describe
from tasks.stages.evaluation.gates.champion import BeatsChampion, MinimumMetric
from tasks.stages.evaluation.gates.freshness import Freshness
from tasks.stages.evaluation.gates.no_slice_regression import NoSliceRegression
from tasks.stages.evaluation.gates.serving import ServingBudget, SignatureMatch

GATES = KindRegistry(
    "gate",
    BeatsChampion,
    MinimumMetric,
    NoSliceRegression,
    PredictionSanity,
    Calibration,
    CatalogCoverage,
    SuspiciousImprovement,
    Freshness,
    ServingBudget,
    SignatureMatch,
)

__all__ = [
    "GATES",
    "BeatsChampion",
    "ComparingGate",
    "Context",
    "Export",
    "Gate",
    "Lineage",
    "MinimumMetric",
    "SuspiciousImprovement",
    "describe",
]

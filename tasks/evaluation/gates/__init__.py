"""The gates that a challenger must pass. Each is a class with a `kind`, listed once below.

To add one: a class with `check`, its entry in `GATES`, and in tests/tasks/evaluation/twins.py a broken twin, an example that it
refuses. A gate without one fails the tests.
"""

from tasks.evaluation.gates.answers import Calibration, CatalogCoverage, PredictionSanity, SuspiciousImprovement
from tasks.evaluation.gates.base import ComparingGate, Context, Export, Gate, Lineage, describe
from tasks.evaluation.gates.champion import BeatsChampion, MinimumMetric
from tasks.evaluation.gates.freshness import Freshness
from tasks.evaluation.gates.no_slice_regression import NoSliceRegression
from tasks.evaluation.gates.serving import ServingBudget, SignatureMatch
from tasks.spec import Room

GATES = Room(
    "gate", BeatsChampion, MinimumMetric, NoSliceRegression, PredictionSanity, Calibration, CatalogCoverage,
    SuspiciousImprovement, Freshness, ServingBudget, SignatureMatch,
)  # fmt: skip

__all__ = [
    "GATES", "BeatsChampion", "ComparingGate", "Context", "Export", "Gate", "Lineage", "MinimumMetric",
    "SuspiciousImprovement", "describe",
]  # fmt: skip

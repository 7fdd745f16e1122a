"""What each model answered on the holdout, as the model card reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.contracts.base import TaskKind
from tasks.metrics import USER_COVERAGE, WEIGHT, Metric, get_metric

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Side:
    """What one model answered on the holdout. `units` is sorted by unit; all sides have the same units.

    probabilities : predictions by which probabilities are judged; None: `predictions`.
    hides_seen : whether lists leave out what their user had met before.
    relevant_from : the least rating of a relevant item.
    """

    subject: str
    name: str
    units: pd.DataFrame
    predictions: pd.DataFrame
    probabilities: pd.DataFrame | None = None
    hides_seen: bool = False
    relevant_from: float = 0.5

    @property
    def promised(self) -> pd.DataFrame:
        """The predictions by which probabilities are judged."""
        return self.predictions if self.probabilities is None else self.probabilities


def unit_metric(compared: Sequence[str], units: pd.DataFrame, task: TaskKind) -> Metric | None:
    """What single users or rows are ranked by: the first compared metric that they have, else the first of theirs."""
    names = [str(name) for name in units.columns]
    there = [name for name in names if name + WEIGHT in names and name != USER_COVERAGE]
    chosen = next((name for name in compared if name in there), next(iter(there), None))
    return None if chosen is None else get_metric(chosen, task)

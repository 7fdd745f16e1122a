"""The drift checks: each names what it looks at, how far two distributions are apart, and how far is too far.

A check compares effect sizes, never p-values: with enough rows every p-value is small, and a threshold that depends on
the number of rows means nothing. Both methods compare shares of the same bins (see bins.py):

psi : sum of (c - r) * ln(c / r) over the bins, c and r the shares in the current and the reference window. 0 for equal
    shares, without upper limit; 0.1 is commonly called a moderate and 0.2 a large shift.
jensenshannon : the square root of the Jensen-Shannon divergence in nats. 0 for equal shares, 0.83 for disjoint ones.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tasks.columns import PREDICTION
from tasks.spec import Room, Spec

if TYPE_CHECKING:
    import pandas as pd


class DriftCheck(Spec):
    """Base of all checks. To add one: a `kind`, `observe`, its entry in CHECKS, and data that it must object to in the tests.

    Parameters
    ----------
    method : how the distance of two distributions is measured.
    threshold : violated from this distance on.
    min_rows : with fewer values than this, in the window or in the reference, the distance is told but not judged.
    """

    method: Literal["psi", "jensenshannon"]
    threshold: float = Field(gt=0)
    min_rows: int = Field(100, ge=20)

    @property
    def row_columns(self) -> tuple[str, ...]:
        """The columns of the rows that `observe` wants."""
        return ()

    @property
    def wants_predictions(self) -> bool:
        """Whether `observe` looks at the predictions."""
        return False

    @abstractmethod
    def observe(self, rows: pd.DataFrame, predictions: pd.DataFrame) -> dict[str, pd.Series]:
        """One side of the comparison: name -> values (numbers or categories, missing ones included).

        `rows` has `row_columns`, `predictions` has one row per score that was given out, in column `prediction`.
        """


class ColumnDrift(DriftCheck):
    """The values of columns of the data, each judged by itself."""

    kind: Literal["column_drift"] = "column_drift"
    columns: tuple[str, ...] = Field(min_length=1)

    @property
    def row_columns(self) -> tuple[str, ...]:
        return self.columns

    def observe(self, rows: pd.DataFrame, predictions: pd.DataFrame) -> dict[str, pd.Series]:
        return {column: rows[column] for column in self.columns}


class PredictionDrift(DriftCheck):
    """The scores that the model in service gave out, batch and online."""

    kind: Literal["prediction_drift"] = "prediction_drift"

    @property
    def wants_predictions(self) -> bool:
        return True

    def observe(self, rows: pd.DataFrame, predictions: pd.DataFrame) -> dict[str, pd.Series]:
        return {PREDICTION: predictions[PREDICTION]}


CHECKS = Room("drift check", ColumnDrift, PredictionDrift)

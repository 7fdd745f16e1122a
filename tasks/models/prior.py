"""Prior: the share of class 1, whatever the row. The baseline of classification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.arrays import Floats
from tasks.contracts.base import TaskKind
from tasks.models.base import Examples, ModelSpec, ServedModel
from tasks.models.tabular import read_training_rows

if TYPE_CHECKING:
    import pandas as pd


class PriorModel(ServedModel):
    kind = "prior"

    def __init__(self, share: float) -> None:
        self.share = share

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return {"share": self.share}, {}

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        return cls(float(settings["share"]))

    def predict_rows(self, rows: pd.DataFrame) -> Floats:
        return np.full(len(rows), self.share)

    def predict_values(self, values: Floats, names: tuple[str, ...]) -> Floats:
        return np.full(len(values), self.share)


class Prior(ModelSpec):
    """The share of class 1 in the training rows, for every row."""

    tasks = frozenset({TaskKind.CLASSIFICATION})
    kind: Literal["prior"] = "prior"
    served = PriorModel

    def fit(self, train: Examples, history: Examples, seed: int) -> ServedModel:
        return PriorModel(float(read_training_rows(train)[2].mean()))

"""What classifiers share: columns by name, imputation, balanced classes and calibrated probabilities."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.contracts.base import TaskKind
from tasks.errors import ModelError, NotEnoughData
from tasks.models.base import AGREEMENT, Examples, ServedModel
from tasks.models.encoding import Encoding
from tasks.models.folds import make_folds
from tasks.models.platt import fit_curve, sigmoid
from tasks.models.steps import SteppedSpec, Steps

if TYPE_CHECKING:
    import pandas as pd


def feature_columns(rows: pd.DataFrame) -> tuple[str, ...]:
    """The names of the features in a table of rows, in its order."""
    return tuple(str(name) for name in rows.columns if name not in (*c.TABULAR_COLUMNS, c.LABEL))


def read_training_rows(train: Examples) -> tuple[Encoding, Floats, NDArray[np.int64]]:
    """The encoding learned from the training rows, their values (rows, outputs) and their targets (rows,).

    Raises
    ------
    NotEnoughData : no feature, or only one class.
    """
    rows = train.rows
    if rows is None or rows.empty or not feature_columns(rows):
        raise NotEnoughData("a classifier needs rows with feature columns; got none")
    target = rows[c.TARGET].to_numpy(dtype=np.int64)
    counts = np.bincount(target, minlength=2)
    if len(counts) > 2:
        raise NotEnoughData(
            f"classification is binary: expected the targets 0 and 1, got {', '.join(map(str, np.unique(target)))}"
        )
    if not counts.all():
        raise NotEnoughData(f"a classifier needs rows of class 0 and of class 1; got {counts.tolist()} of class 0, 1, ...")
    encoding = Encoding.learn(rows, feature_columns(rows), train.kinds)
    return encoding, encoding.read(rows, "a classifier"), target


def fill(values: Floats, means: Floats) -> Floats:
    """The values (rows, columns) with gaps and infinities replaced by the means (columns,)."""
    return np.where(np.isfinite(values), values, means)


def column_means(values: Floats) -> Floats:
    """The mean of each column's finite values, (columns,); 0 for a column without one."""
    finite = np.isfinite(values)
    total = np.where(finite, values, 0.0).sum(axis=0)
    return np.asarray(total / np.maximum(finite.sum(axis=0), 1), dtype=np.float64)


@dataclass(frozen=True)
class Learned:
    """What a library learned: arrays and settings, and its own margins, which the arrays must reproduce."""

    arrays: dict[str, NDArray[Any]]
    settings: dict[str, Any] = field(default_factory=dict)
    own_margins: Callable[[Floats], Floats] | None = None


class TabularSpec(SteppedSpec):
    """A classifier of rows. Columns are standardised, and by default both classes weigh the same in training.

    Its scores become probabilities by a curve fitted on rows that it did not learn from, one fold after the other, cut as the
    split is (see `folds`). This corrects balanced classes, and margins that are not probabilities.
    """

    tasks = frozenset({TaskKind.CLASSIFICATION})
    is_balanced: bool = Field(True, description="both classes weigh the same; the calibration corrects the probabilities")
    calibration_folds: int = Field(5, ge=2, le=20)
    served: ClassVar[type[TabularModel]]

    def learn(self, values: Floats, target: NDArray[np.int64], weight: Floats, seed: int) -> Learned:
        """Learn from values (rows, columns), standardised or the output of the steps, target (rows,) and weight (rows,)."""
        raise NotImplementedError(f"{type(self).__name__} must define learn")

    def fit(self, train: Examples, history: Examples, seed: int) -> ServedModel:
        from threadpoolctl import threadpool_limits

        scaler, values, target = self.scale(train)
        with threadpool_limits(1):  # sums in one order, for the same bits
            model = self._learn(scaler, values, target, seed)
            folds = [] if train.rows is None else make_folds(train.rows, self.calibration_folds, seed)
            margins = [self._learn(scaler, values[rest], target[rest], seed).answer(values[part]) for rest, part in folds]
            if not folds:
                margins, folds = [model.answer(values)], [(np.arange(0), np.arange(len(target)))]
        judged = np.concatenate([part for _, part in folds])
        order = np.argsort(judged)  # sums in the order of the rows
        model.curve = fit_curve(np.concatenate(margins)[order], target[judged[order]].astype(np.float64))
        return model

    def scale(self, train: Examples) -> tuple[Scaler, Floats, NDArray[np.int64]]:
        """The scaler, the standardised values (rows, columns) and the targets (rows,)."""
        encoding, raw, target = read_training_rows(train)
        means = column_means(raw)
        filled = fill(raw, means)
        spread = filled.std(axis=0)
        scaler = Scaler(encoding, means, filled.mean(axis=0), np.where(spread < 1e-12, 1.0, spread))
        return scaler, (filled - scaler.centre) / scaler.spread, target

    def weigh(self, target: NDArray[np.int64]) -> Floats:
        """The weight of each row, (rows,)."""
        counts = np.bincount(target, minlength=2)
        return np.asarray((len(target) / (2.0 * counts))[target] if self.is_balanced else np.ones(len(target)))

    def _learn(self, scaler: Scaler, values: Floats, target: NDArray[np.int64], seed: int) -> TabularModel:
        steps = self.learn_steps(values, target)
        prepared = values if steps is None else steps.apply(values)
        learned = self.learn(prepared, target, self.weigh(target), seed)
        model = self.served(scaler, learned.arrays, learned.settings, (1.0, 0.0), steps)
        if learned.own_margins is not None:
            apart = float(np.abs(model.margins(prepared) - learned.own_margins(prepared)).max())
            if not apart <= AGREEMENT:
                raise ModelError(
                    f"{self.kind}: the exported arrays and the library differ by up to {apart:.2g}, and {AGREEMENT} is "
                    "allowed; the library's model format may have changed"
                )
        return model


@dataclass(frozen=True)
class Scaler:
    """The standardisation of rows: means, centre and spread are (outputs,)."""

    encoding: Encoding
    means: Floats
    centre: Floats
    spread: Floats

    def read(self, rows: pd.DataFrame, whose: str) -> Floats:
        return (fill(self.encoding.read(rows, whose), self.means) - self.centre) / self.spread


class TabularModel(ServedModel):
    """probability = sigmoid(slope * margin + intercept). To add one: `kind` and `margins`, from `arrays` and `settings`."""

    def __init__(
        self,
        scaler: Scaler,
        arrays: dict[str, NDArray[Any]],
        settings: dict[str, Any],
        curve: tuple[float, float],
        steps: Steps | None = None,
    ) -> None:
        self.scaler, self.arrays, self.settings, self.curve, self.steps = scaler, arrays, settings, curve, steps

    @abstractmethod
    def margins(self, values: Floats) -> Floats:
        """Margins (rows,) of values (rows, columns): the higher, the more likely class 1."""

    def answer(self, values: Floats) -> Floats:
        """The margins (rows,) of standardised values (rows, columns)."""
        return self.margins(values if self.steps is None else self.steps.apply(values))

    def predict_rows(self, rows: pd.DataFrame) -> Floats:
        values = self.scaler.read(rows, self.kind)
        return sigmoid(self.curve[0] * self.answer(values) + self.curve[1]) if len(values) else np.empty(0)

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        own = {"means": self.scaler.means, "centre": self.scaler.centre, "spread": self.scaler.spread}
        own |= {} if self.steps is None else self.steps.state()
        settings = {**self.scaler.encoding.to_json(), "curve": list(self.curve), "own": self.settings}
        return settings, {**own, **{f"own_{name}": array for name, array in self.arrays.items()}}

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        scaler = Scaler(Encoding.from_json(settings), arrays["means"], arrays["centre"], arrays["spread"])
        own = {name.removeprefix("own_"): array for name, array in arrays.items() if name.startswith("own_")}
        return cls(scaler, own, settings["own"], tuple(settings["curve"]), Steps.from_state(arrays))

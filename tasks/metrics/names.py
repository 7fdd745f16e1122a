"""What the name of a metric means, and which tasks it fits.

Most metrics are a ratio of two sums over units (users, or rows for tabular tasks): each unit has a part and a weight, and the
paired bootstrap resamples units. The others (`per_unit` is False) need all predictions together.

To add one: one function with the decorator `metric` in a module of `MODULES`. A new module takes one line there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.contracts.base import TaskKind
from tasks.errors import ConfigurationError
from tasks.metrics.families import FAMILIES, Shape

if TYPE_CHECKING:
    import pandas as pd

UNIT = "unit"
WEIGHT = "__weight"  # `<metric>__weight` beside `<metric>` in the units

MODULES = ("ranking", "lists", "rating", "classification")  # whose functions register themselves as metrics
MANY = 1_000  # rows of each class from which placements replace the exact ROC-AUC of a resample

for _module in MODULES:
    import_module(f"tasks.metrics.{_module}")


@dataclass(frozen=True)
class Sums:
    """A metric as a function of weighted sums, so that many resamples are one matrix product.

    unit : (rows,), the place of each row's unit among the units.
    columns : (rows, columns), what is weighted and summed.
    value : (resamples, columns) of sums -> (resamples,).
    """

    unit: NDArray[np.intp]
    columns: Floats
    value: Callable[[Floats], Floats]


@dataclass(frozen=True)
class Metric:
    """What a metric's name means.

    Attributes
    ----------
    name : as in the YAML, with its k: `ndcg_at_10`.
    greater_is_better : False for errors and losses.
    per_unit : whether it is a ratio of sums over units.
    k : length of the list that it measures; None if it measures no list.
    """

    name: str
    greater_is_better: bool
    per_unit: bool
    k: int | None
    family: str

    @property
    def is_biased(self) -> bool:
        """Whether its estimate is too large in every sample, and more so in a resample."""
        return FAMILIES[self.family].biased

    @property
    def resamples(self) -> bool:
        """Whether a paired bootstrap can judge it.

        Not coverage, which shrinks in every resample. Not the calibration errors: their estimate is biased upwards, and the
        bias grows with the spread of the predictions, so that of two perfectly calibrated models the constant one was called
        better in more than half of the trials. Gate them by `at_most`, or by the gate `calibration`, which removes the bias.
        """
        family = FAMILIES[self.family]
        return self.per_unit or (family.shape is Shape.WHOLE and not family.biased)

    def compute(self, units: pd.DataFrame, predictions: pd.DataFrame, weights: Floats) -> Floats:
        """The metric once per row of `weights`.

        Parameters
        ----------
        units, predictions : as in `Scored`.
        weights : (resamples, units), how often each unit is in each resample; ones for the plain value.

        Returns
        -------
        (resamples,)
        """
        if self.per_unit:
            return self._ratio(weights @ units[[self.name, self.name + WEIGHT]].to_numpy(np.float64))
        prediction, label, unit = self.read_rows(units, predictions)
        return self.of_rows(prediction, label, weights[:, unit])

    def sums(self, units: pd.DataFrame, predictions: pd.DataFrame) -> Sums | None:
        """The metric by sums, exact if it is per unit; None if it needs all predictions together.

        For many rows, ROC-AUC is computed from its placements (DeLong and others 1988): their distance from the exact value
        of a resample is small compared with the spread of the resamples, and they cost a tenth.
        """
        if self.per_unit:
            columns = units[[self.name, self.name + WEIGHT]].to_numpy(np.float64)
            return Sums(np.arange(len(units), dtype=np.intp), columns, self._ratio)
        placements = FAMILIES[self.family].placements
        if placements is None:
            return None
        prediction, label, unit = self.read_rows(units, predictions)
        if min(label.sum(), len(label) - label.sum()) < MANY or not np.isfinite(prediction).all():
            return None
        placed, positive = placements(prediction, label), label > 0.5
        columns = np.stack([placed * positive, positive, placed * ~positive, ~positive], axis=1)
        exact = float(placed[positive].mean())

        def value(sums: Floats) -> Floats:
            return sums[:, 0] / sums[:, 1] + sums[:, 2] / sums[:, 3] - exact

        return Sums(unit, columns, value)

    def read_rows(self, units: pd.DataFrame, predictions: pd.DataFrame) -> tuple[Floats, Floats, NDArray[np.intp]]:
        """Of each prediction: its value, its label, and the place of its unit in `units`; each (rows,)."""
        import pandas as pd

        key = c.ROW_ID if c.ROW_ID in predictions else c.USER_ID
        prediction, label = (predictions[name].to_numpy(np.float64) for name in (c.PREDICTION, c.LABEL))
        if np.array_equal(units[UNIT].to_numpy(), predictions[key].to_numpy()):  # rows are in the order of their units
            return prediction, label, np.arange(len(units), dtype=np.intp)
        return prediction, label, pd.Index(units[UNIT]).get_indexer(predictions[key])

    def of_rows(self, prediction: Floats, label: Floats, weights: Floats) -> Floats:
        """The value of a metric that is not per unit; weights (resamples, rows) give (resamples,)."""
        family = FAMILIES[self.family]
        if family.shape is not Shape.WHOLE:
            raise ConfigurationError(f"metric '{self.name}' cannot be resampled; compare by another one")
        values: Floats = family.function(prediction, label, weights)
        return values

    def _ratio(self, sums: Floats) -> Floats:
        parts, mass = sums[:, 0], sums[:, 1]
        mean: Floats = np.divide(parts, mass, out=np.zeros(len(sums)), where=mass > 0)
        return np.sqrt(mean) if FAMILIES[self.family].root else mean

    def parts(self, *arguments: Floats) -> Any:
        """The metric's function for each user, pair or row: of shape `hits`, `pairs` or `rows` (see `Shape`).

        Raises
        ------
        ConfigurationError : the metric has another shape.
        """
        family = FAMILIES[self.family]
        if family.shape not in (Shape.HITS, Shape.PAIRS, Shape.ROWS):
            raise ConfigurationError(f"metric '{self.name}' has no parts of single units")
        return family.function(*arguments)


def allowed_metrics(task: TaskKind) -> tuple[str, ...]:
    """The names that fit a task, `<k>` standing for a number."""
    return tuple(family.label for family in FAMILIES.values() if task in family.tasks)


def get_metric(name: str, task: TaskKind) -> Metric:
    """The metric of a name.

    Raises
    ------
    ConfigurationError : there is none of that name for the task; the message lists those that there are.
    """
    found = re.fullmatch(r"([a-z_]+_at)_([1-9][0-9]{0,3})", name)
    key, k = (found[1], int(found[2])) if found else (name, None)
    family = FAMILIES.get(key)
    if family is None or task not in family.tasks or family.has_k != (k is not None):
        allowed = ", ".join(allowed_metrics(task))
        raise ConfigurationError(f"no metric '{name}' for the task '{task}'; allowed: {allowed}")
    return Metric(name, family.greater_is_better, family.is_per_unit, k, key)

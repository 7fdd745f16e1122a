"""What the name of a metric means, and which tasks it fits.

Most metrics are a ratio of two sums over units (users, or rows for tabular tasks): each unit has a part and a weight, and the
paired bootstrap resamples units. The others (`per_unit` is False) need all predictions together.

To add one: one function with the decorator `metric` in a module of `MODULES`. A new module takes one line there.
"""

from __future__ import annotations

import re
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

SUREST = 0.95  # quantile of the losses that the rows risk

for _module in MODULES:
    import_module(f"tasks.metrics.{_module}")


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
        return self.per_unit or family.influence is not None

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

    def influence(self, units: pd.DataFrame, predictions: pd.DataFrame) -> Floats:
        """How much each unit moves the metric, (units,), with mean 0: n times the derivative by its weight.

        For a mean it is the unit's own value less the mean; for a ratio and for a metric of all rows the first order (the
        infinitesimal jackknife, Efron 1982). NaN where the metric is not a number.

        Raises
        ------
        ConfigurationError : the metric states no influence.
        """
        if self.per_unit:
            return self._influence_on_ratio(*units[[self.name, self.name + WEIGHT]].to_numpy(np.float64).T)
        function = FAMILIES[self.family].influence
        if function is None:
            raise ConfigurationError(f"metric '{self.name}' states no influence of single rows; compare by another one")
        prediction, label, unit = self.read_rows(units, predictions)
        of_rows = function(prediction, label) if len(prediction) else np.zeros(0)
        of_units: Floats = np.bincount(unit, of_rows, len(units)) * len(units) / max(1, len(prediction))
        return of_units

    def _influence_on_ratio(self, parts: Floats, weights: Floats) -> Floats:
        mass = weights.sum()
        mean = parts.sum() / mass if mass > 0 else 0.0
        is_root = FAMILIES[self.family].root
        if not mass > 0 or (is_root and mean == 0):
            return np.zeros(len(parts))
        slope = 0.5 / np.sqrt(mean) if is_root else 1.0
        own: Floats = slope * (parts - mean * weights) * len(parts) / mass
        return own

    def risk(self, units: pd.DataFrame, predictions: pd.DataFrame) -> float:
        """What one of the surest rows in twenty would cost if its class were the other one; -inf for other metrics than losses.

        A probability is held to be no closer to 0 or 1 than one in as many rows as there are: nearer, no such sample shows it.
        """
        if FAMILIES[self.family].shape is not Shape.ROWS or self.greater_is_better or predictions.empty:
            return -np.inf
        prediction, label, _ = self.read_rows(units, predictions)
        nearest = min(0.5, 1.0 / len(prediction))
        return float(np.quantile(self.parts(np.clip(prediction, nearest, 1.0 - nearest), 1.0 - label)[0], SUREST))

    def answers_of_units(self, units: pd.DataFrame, predictions: pd.DataFrame) -> tuple[Floats, ...]:
        """What shows on which units two models differ: arrays (units,), equal where the models answer alike."""
        if self.per_unit:
            return tuple(units[[self.name, self.name + WEIGHT]].to_numpy(np.float64).T)
        prediction, _, unit = self.read_rows(units, predictions)
        sums = (np.bincount(unit, power, len(units)) for power in (prediction, prediction**2))
        return tuple(one.astype(np.float64) for one in sums)

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
        """The metric's function for each user, pair or row: of shape `hits`, `pairs`, `rows` or `classes` (see `Shape`).

        Raises
        ------
        ConfigurationError : the metric has another shape.
        """
        family = FAMILIES[self.family]
        if family.shape not in (Shape.HITS, Shape.PAIRS, Shape.ROWS, Shape.CLASSES):
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

"""What the name of a metric means, and which tasks it fits.

Most metrics are a ratio of two sums over units (users, or rows for tabular): each unit has a part and a weight, and the
paired bootstrap resamples units. The others (`per_unit` is False) need all predictions at once.

To add one: one function in `ranking`, `lists`, `rating` or `classification`, and its line in `FAMILIES`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.contracts.base import TaskKind
from tasks.errors import ConfigurationError
from tasks.metrics import classification, lists, ranking, rating

if TYPE_CHECKING:
    import pandas as pd

UNIT = "unit"
WEIGHT = "__weight"  # `<metric>__weight` beside `<metric>` in the units

_LISTS = (TaskKind.RECOMMENDATION, TaskKind.PROPENSITY, TaskKind.RATING)
_SHOPS = (TaskKind.RECOMMENDATION, TaskKind.PROPENSITY)
_RATINGS = (TaskKind.RATING,)
_ROWS = (TaskKind.CLASSIFICATION,)
_PROBABILITIES = (TaskKind.PROPENSITY, *_ROWS)
MANY = 1_000  # rows of each class from which placements stand in for the exact ROC-AUC of a resample


@dataclass(frozen=True)
class Family:
    """One metric without its k. `parts` gives each unit's share, `of_lists` that of each list; `whole` needs all predictions;
    `placements` stands in for it where there are many."""

    tasks: tuple[TaskKind, ...]
    greater_is_better: bool
    parts: Callable[..., Any] | None = None
    of_lists: lists.Measure | None = None
    whole: Callable[[Floats, Floats, Floats], Floats] | None = None
    placements: Callable[[Floats, Floats], Floats] | None = None
    root: bool = False
    biased: bool = False


FAMILIES = {
    "ndcg_at": Family(_LISTS, True, ranking.ndcg),
    "recall_at": Family(_LISTS, True, ranking.recall),
    "precision_at": Family(_LISTS, True, ranking.precision),
    "map_at": Family(_LISTS, True, ranking.average_precision),
    "mrr_at": Family(_LISTS, True, ranking.reciprocal_rank),
    "hit_rate_at": Family(_LISTS, True, ranking.hit_rate),
    "catalog_coverage_at": Family(_LISTS, True),
    "novelty_at": Family(_LISTS, True, of_lists=lists.novelty),
    "diversity_at": Family(_LISTS, True, of_lists=lists.diversity),
    "popularity_bias_at": Family(_LISTS, False, of_lists=lists.popularity_bias),
    "revenue_at": Family(_SHOPS, True, of_lists=lists.revenue),
    "rmse": Family(_RATINGS, False, rating.squared_error, root=True),
    "mae": Family(_RATINGS, False, rating.absolute_error),
    "r2": Family(_RATINGS, True, whole=rating.r2),
    "roc_auc": Family(_ROWS, True, whole=classification.roc_auc, placements=classification.placements),
    "pr_auc": Family(_ROWS, True, whole=classification.pr_auc),
    "log_loss": Family(_ROWS, False, classification.log_loss),
    "brier": Family(_ROWS, False, classification.brier),
    "accuracy": Family(_ROWS, True, classification.accuracy),
    "precision": Family(_ROWS, True, classification.precision),
    "recall": Family(_ROWS, True, classification.recall),
    "f1": Family(_ROWS, True, classification.f1),
    "gain_at_top_decile": Family(_ROWS, True, whole=classification.gain_at_top_decile),
    "calibration_error": Family(_PROBABILITIES, False, whole=classification.calibration_error, biased=True),
    "squared_calibration_error": Family(_PROBABILITIES, False, whole=classification.squared_calibration_error, biased=True),
}


@dataclass(frozen=True)
class Sums:
    """A metric as a function of weighted sums, so that many resamples are one matrix product.

    unit : (rows,), where each row's unit stands among the units.
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
    k : length of the list that it looks at; None where it looks at no list.
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

        Not coverage, which shrinks in every resample. Not the calibration errors: their estimate is biased upwards, and more
        so the more a model's answers spread, so that of two perfectly calibrated models the constant one was called better
        in more than half of the trials. Gate them by `at_most`, or by the gate `calibration`, which takes the bias off.
        """
        family = FAMILIES[self.family]
        return self.per_unit or (family.whole is not None and not family.biased)

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
        """The metric by sums, exact where it is per unit; None where it takes all predictions at once.

        Of many rows ROC-AUC is taken by its placements (DeLong and others 1988), whose distance from the exact value of
        a resample is small beside the resamples' own spread, and which costs a tenth.
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
        """Of each prediction: itself, its label, and where its unit stands in `units`."""
        import pandas as pd

        key = c.ROW_ID if c.ROW_ID in predictions else c.USER_ID
        prediction, label = (predictions[name].to_numpy(np.float64) for name in (c.PREDICTION, c.LABEL))
        if np.array_equal(units[UNIT].to_numpy(), predictions[key].to_numpy()):  # rows stand in the order of their units
            return prediction, label, np.arange(len(units), dtype=np.intp)
        return prediction, label, pd.Index(units[UNIT]).get_indexer(predictions[key])

    def of_rows(self, prediction: Floats, label: Floats, weights: Floats) -> Floats:
        """The value of a metric that is not per unit; weights (resamples, rows) give (resamples,)."""
        whole = FAMILIES[self.family].whole
        if whole is None:
            raise ConfigurationError(f"metric '{self.name}' cannot be resampled; compare by another one")
        return whole(prediction, label, weights)

    def _ratio(self, sums: Floats) -> Floats:
        parts, mass = sums[:, 0], sums[:, 1]
        mean: Floats = np.divide(parts, mass, out=np.zeros(len(sums)), where=mass > 0)
        return np.sqrt(mean) if FAMILIES[self.family].root else mean

    def parts(self, *arguments: Floats) -> Any:
        """What the metric's function says of each unit or pair (see its module); for per-unit metrics only."""
        function = FAMILIES[self.family].parts
        if function is None:
            raise ConfigurationError(f"metric '{self.name}' has no parts of single units")
        return function(*arguments)


def allowed_metrics(task: TaskKind) -> tuple[str, ...]:
    """The names that fit a task, `<k>` standing for a number."""
    return tuple(key + "_<k>" * key.endswith("_at") for key, family in FAMILIES.items() if task in family.tasks)


def get_metric(name: str, task: TaskKind) -> Metric:
    """The metric of a name.

    Raises
    ------
    ConfigurationError : there is none of that name for the task; the message lists those that there are.
    """
    found = re.fullmatch(r"([a-z_]+_at)_([1-9][0-9]{0,3})", name)
    key, k = (found[1], int(found[2])) if found else (name, None)
    family = FAMILIES.get(key)
    if family is None or task not in family.tasks or key.endswith("_at") != (k is not None):
        allowed = ", ".join(allowed_metrics(task))
        raise ConfigurationError(f"no metric '{name}' for the task '{task}'; allowed: {allowed}")
    is_per_unit = family.parts is not None or family.of_lists is not None
    return Metric(name, family.greater_is_better, is_per_unit, k, key)

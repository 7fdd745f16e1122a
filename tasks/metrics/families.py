"""The registry of metrics: what is known of a metric beside its formula, stated by a decorator at its function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from tasks.contracts.arrays import Floats
from tasks.contracts.base import TaskKind

LISTS = (TaskKind.RECOMMENDATION, TaskKind.PROPENSITY, TaskKind.RATING)
SHOPS = (TaskKind.RECOMMENDATION, TaskKind.PROPENSITY)
RATINGS = (TaskKind.RATING,)
ROWS = (TaskKind.CLASSIFICATION,)
PROBABILITIES = (TaskKind.PROPENSITY, *ROWS)

F = TypeVar("F", bound=Callable[..., Any])


class Shape(StrEnum):
    """What the function of a metric receives and returns.

    hits : hits (users, k) and relevant (users,) -> a value for each user.
    lists : items (users, k), hits (users, k) and the catalogue -> a value for each user.
    catalogue : the distinct items of all lists and the size of the catalogue -> one value.
    pairs : prediction (pairs,) and label (pairs,) -> a loss for each pair.
    rows : prediction (rows,) and label (rows,) -> a part and a weight for each row.
    classes : predicted class (rows,) and label (rows,) -> a part and a weight for each row.
    whole : prediction (rows,), label (rows,) and weights (resamples, rows) -> a value for each resample.
    """

    HITS = "hits"
    LISTS = "lists"
    CATALOGUE = "catalogue"
    PAIRS = "pairs"
    ROWS = "rows"
    CLASSES = "classes"
    WHOLE = "whole"


@dataclass(frozen=True)
class Family:
    """One metric without its k.

    Attributes
    ----------
    name : as in the YAML, without the number after `_at`.
    function : its formula; `shape` says what it receives.
    tasks : the kinds of task that it fits.
    greater_is_better : False for errors and losses.
    unit : of its value, for documents: "share", "bits", "stars".
    influence : for metrics of shape `whole`: prediction (rows,) and label (rows,) -> how much each row moves the metric,
        (rows,) with mean 0. A metric without it cannot be compared.
    root : the value is the root of the mean of its parts.
    biased : its estimate is too large in every sample, and more so in a resample.
    """

    name: str
    function: Callable[..., Any]
    shape: Shape
    tasks: tuple[TaskKind, ...]
    greater_is_better: bool
    unit: str
    influence: Callable[[Floats, Floats], Floats] | None = None
    root: bool = False
    biased: bool = False

    @property
    def is_per_unit(self) -> bool:
        """Whether each unit (user or row) has a part and a weight of its own."""
        return self.shape not in (Shape.CATALOGUE, Shape.WHOLE)

    @property
    def label(self) -> str:
        """Its name in documents and messages, `<k>` in the place of a number."""
        return self.name + "_<k>" * self.has_k

    @property
    def has_k(self) -> bool:
        """Whether it is measured on lists of k items."""
        return self.name.endswith("_at")


FAMILIES: dict[str, Family] = {}


def metric(
    name: str,
    shape: Shape,
    *,
    tasks: tuple[TaskKind, ...],
    greater_is_better: bool,
    unit: str = "share",
    influence: Callable[[Floats, Floats], Floats] | None = None,
    root: bool = False,
    biased: bool = False,
) -> Callable[[F], F]:
    """Register the decorated function as the metric `name`; the parameters are those of `Family`.

    Raises
    ------
    ValueError : two functions have the same name.
    """

    def register(function: F) -> F:
        if name in FAMILIES:
            raise ValueError(f"the metric '{name}' is registered twice")
        FAMILIES[name] = Family(name, function, shape, tasks, greater_is_better, unit, influence, root, biased)
        return function

    return register

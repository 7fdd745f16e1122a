"""The slices of a holdout that are judged by themselves: new users, light and heavy ones, new items, a column's values.

A slice of users or rows keeps their answers as they are. A slice of items measures every user's answers again, with these
items only: what of them was relevant, and what of them was recommended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.contracts.judging import MIN_UNITS_OF_A_LOSS, Role
from tasks.errors import NotEnoughData
from tasks.metrics import UNIT, WEIGHT, Metric
from tasks.metrics.populations import wanted_labels
from tasks.models.base import Examples, FeatureTables
from tasks.stages.evaluation.paired import Answers, Places

if TYPE_CHECKING:
    import pandas as pd

NEW_USERS, LIGHT_USERS, HEAVY_USERS, NEW_ITEMS = "new_users", "light_users", "heavy_users", "new_items"
OF_PEOPLE = (NEW_USERS, LIGHT_USERS, HEAVY_USERS, NEW_ITEMS)  # the slices that have a name of their own
NEW_ITEM_DAYS = 28
MOST_VALUES = 20  # of one column that get a slice each; the rarer ones share one
MOST_NUMBERS = 12  # distinct numbers up to which a column counts as one of values, and not of amounts
_PAIR_ORDERS, _ITEM_AGE = "pair_orders", "item_age_days"


@dataclass(frozen=True)
class SliceTerms:
    """Which slices are judged, and how.

    names : those of `OF_PEOPLE`, or columns of users, items or rows, of which each value is a slice.
    metrics : what the slices are measured by. Slices of items need metrics of single units.
    min_units : a smaller slice is measured and not judged.
    new_item_days : the age, in days at the start of the holdout, up to which an item is new. One without a past is new.
    """

    names: tuple[str, ...]
    metrics: tuple[str, ...]
    min_units: int = MIN_UNITS_OF_A_LOSS
    new_item_days: int = NEW_ITEM_DAYS


@dataclass(frozen=True)
class SliceAnswers:
    """One part of the holdout with the answers of each model. `places`: (units,), positions among all units."""

    name: str
    sides: Mapping[Role, Answers]
    places: Places

    @property
    def challenger(self) -> Answers:
        return self.sides[Role.CHALLENGER]

    @property
    def champion(self) -> Answers:
        """Raises KeyError where there is no champion."""
        return self.sides[Role.CHAMPION]


def make_slices(
    name: str, examples: Examples, sides: Mapping[Role, Answers], metrics: Sequence[Metric], new_item_days: int
) -> list[SliceAnswers]:
    """The slices of one name: one of `OF_PEOPLE`, or all values of a column of users, items or rows.

    Parameters
    ----------
    metrics : those that slices of items are measured by; each is per unit.
    new_item_days : as in `SliceTerms`.

    Raises
    ------
    NotEnoughData : the name is no column; a metric needs more ranks than were kept.
    """
    made = []
    units = sides[Role.CHALLENGER].units[UNIT].to_numpy(dtype=object)
    for title, inside in slice_units(name, examples, units):
        made.append(cut_out(sides, title, inside))
    for title, items in _slice_items(name, examples, new_item_days):
        measured = {role: _measure_items(side, examples, items, metrics) for role, side in sides.items()}
        places = np.flatnonzero(measured[Role.CHALLENGER][1] > 0)
        made.append(SliceAnswers(title, {role: _cut(side, places) for role, (side, _) in measured.items()}, places))
    return made


def cut_out(sides: Mapping[Role, Answers], title: str, inside: NDArray[np.bool_]) -> SliceAnswers:
    """The answers about some of the units, (units,)."""
    places = np.flatnonzero(inside)
    return SliceAnswers(title, {role: _cut(side, places) for role, side in sides.items()}, places)


def slice_units(name: str, examples: Examples, units: NDArray[np.object_]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Of each slice of units: its title, and which units are in it."""
    if examples.rows is not None:
        if name not in examples.rows:
            raise NotEnoughData(f"slices: the rows have no column '{name}'; they have: {_names(examples.rows)}")
        yield from _by_value(name, examples.rows.set_index(c.ROW_ID)[name].reindex(units))
        return
    features = _features(examples)
    if name in (NEW_USERS, LIGHT_USERS, HEAVY_USERS):
        events = _past_events(features, units)
        median = float(np.median(events[events > 0])) if (events > 0).any() else 0.0
        is_new = events == 0
        yield name, {NEW_USERS: is_new, LIGHT_USERS: ~is_new & (events <= median), HEAVY_USERS: events > median}[name]
    elif name != NEW_ITEMS and name in features.users:
        yield from _by_value(name, features.users.set_index(c.USER_ID)[name].reindex(units))


def _past_events(features: FeatureTables, units: NDArray[np.object_]) -> Floats:
    pairs = features.pairs
    amounts = pairs[_PAIR_ORDERS] if _PAIR_ORDERS in pairs else pairs[c.USER_ID].map(lambda _: 1.0)
    return np.asarray(amounts.groupby(pairs[c.USER_ID]).sum().reindex(units).fillna(0.0), dtype=np.float64)


def _slice_items(name: str, examples: Examples, new_item_days: int) -> Iterator[tuple[str, set[str]]]:
    """Of each slice of items: its title, and the items."""
    if examples.rows is not None:
        return
    features = _features(examples)
    items = features.items
    if name == NEW_ITEMS:
        old = items[items[_ITEM_AGE] > new_item_days] if _ITEM_AGE in items else items
        there = set(items[c.ITEM_ID]) | (set() if examples.labels is None else set(examples.labels[c.ITEM_ID]))
        yield name, there - set(old[c.ITEM_ID])
    elif name not in OF_PEOPLE and name not in features.users:
        if name not in items:
            raise NotEnoughData(
                f"slices: '{name}' is none of {', '.join(OF_PEOPLE)} and no column; users have: {_names(features.users)}; "
                f"items have: {_names(items)}"
            )
        ids = items[c.ITEM_ID].to_numpy(dtype=object)
        yield from ((title, set(ids[inside])) for title, inside in _by_value(name, items[name]))


def _by_value(column: str, values: pd.Series) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """One slice for each value, or for each quarter of many numbers; everybody is in exactly one."""
    import pandas as pd

    missing = values.isna().to_numpy()
    if missing.any():
        yield f"{column}=missing", missing
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > MOST_NUMBERS:
        numbers = values.to_numpy(np.float64)
        bounds = np.unique(np.quantile(numbers[~missing], [0.25, 0.5, 0.75]))
        quarter = np.searchsorted(bounds, numbers, side="left")
        ends = ["", *(f"{bound:.4g}" for bound in bounds), ""]
        for place in range(len(bounds) + 1):
            low, high = ends[place], ends[place + 1]
            title = f"{column} up to {high}" if not low else f"{column} above {low}" + (f" up to {high}" if high else "")
            yield title, (quarter == place) & ~missing
        return
    counts = values.value_counts()  # missing ones do not count
    for value in counts.index[:MOST_VALUES]:
        yield f"{column}={value:g}" if isinstance(value, float) else f"{column}={value}", (values == value).to_numpy(bool)
    if len(counts) > MOST_VALUES:
        yield f"{column}=others", values.isin(counts.index[MOST_VALUES:]).to_numpy(bool)


def _measure_items(
    answers: Answers, examples: Examples, items: set[str], metrics: Sequence[Metric]
) -> tuple[Answers, NDArray[np.float64]]:
    """One model's answers about some items only, for all units, and how much each unit has to say of them."""
    import pandas as pd

    users = pd.Index(answers.units[UNIT])
    shown = answers.predictions[answers.predictions[c.ITEM_ID].isin(items)]
    place = users.get_indexer(shown[c.USER_ID])
    units: dict[str, Any] = {UNIT: users}
    mass = np.zeros(len(users))
    kept = 0
    if c.RANK in shown:
        labels = examples.labels
        wanted = shown.iloc[:0] if labels is None else labels[(labels[c.LABEL] > 0) & labels[c.ITEM_ID].isin(items)]
        wanted = wanted_labels(wanted, _features(examples).pairs, exclude_seen=answers.hides_seen)
        wanted = wanted[wanted[c.USER_ID].isin(users)]
        mass = np.bincount(users.get_indexer(wanted[c.USER_ID]), minlength=len(users)).astype(np.float64)
        kept = answers.depth or int(answers.predictions[c.RANK].max() if len(answers.predictions) else 0)
        hits = np.zeros((len(users), kept))
        hits[place, shown[c.RANK].to_numpy(np.intp) - 1] = shown[c.LABEL]
    for metric in metrics:
        if metric.k is None:
            losses = metric.parts(shown[c.PREDICTION].to_numpy(np.float64), shown[c.LABEL].to_numpy(np.float64))
            mass = np.bincount(place, minlength=len(users)).astype(np.float64)
            units[metric.name], units[metric.name + WEIGHT] = np.bincount(place, losses, len(users)), mass
        elif c.RANK not in shown or metric.k > kept:
            raise NotEnoughData(
                f"slices of items: {metric.name} needs ranks that were not kept; use a metric of "
                + (f"at most {kept} ranks" if c.RANK in shown else "ratings, such as rmse")
            )
        else:
            units[metric.name] = metric.parts(hits[:, : metric.k], mass)
            units[metric.name + WEIGHT] = (mass > 0).astype(np.float64)
    return Answers(answers.evaluation, pd.DataFrame(units), shown), mass


def _cut(answers: Answers, places: Places) -> Answers:
    units = answers.units.iloc[places].reset_index(drop=True)
    key = c.ROW_ID if c.ROW_ID in answers.predictions else c.USER_ID
    inside = answers.predictions[key].isin(units[UNIT])
    return Answers(answers.evaluation, units, answers.predictions[inside].reset_index(drop=True))


def _features(examples: Examples) -> FeatureTables:
    if examples.features is None:
        raise NotEnoughData("slices: this holdout has neither features nor rows to slice by")
    return examples.features


def _names(table: pd.DataFrame) -> str:
    return ", ".join(str(name) for name in table.columns if name not in (c.ROW_ID, c.USER_ID, c.ITEM_ID)) or "none"

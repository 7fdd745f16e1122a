"""Errors of a challenger: kinds of mistakes, and the users or rows that cost its metric most."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.contracts.judging import Role
from tasks.metrics import UNIT, WEIGHT, Metric
from tasks.metrics.families import FAMILIES
from tasks.problems import Problem
from tasks.stages.reporting.sides import Side

if TYPE_CHECKING:
    import pandas as pd

WORST = 10
SHOWN = 5  # items of one user in each column
AGAIN, DISCOVERY, NEW_ITEM = "known to the user", "new to the user", "new to the model"


@dataclass(frozen=True)
class Mistakes:
    """One kind of label: its count and share, and the result of each model on it."""

    kind: str
    count: int
    share: float
    values: Mapping[str, float]


@dataclass(frozen=True)
class Entry:
    """One item of a user with a note. `is_hit`: it was predicted and bought."""

    item: str
    note: str = ""
    is_hit: bool = False


@dataclass(frozen=True)
class Case:
    """One user or row with its predictions and outcomes. `more`: number of entries left out of each."""

    unit: str
    value: float
    champion: float | None
    predicted: tuple[Entry, ...]
    happened: tuple[Entry, ...]
    more: tuple[int, int] = (0, 0)


def kinds_of_labels(labels: pd.DataFrame, pairs: pd.DataFrame, items: pd.DataFrame) -> pd.Series[Any]:
    """The kind of each label: known to the user, new to the user, or new to the model (an item without features)."""
    import pandas as pd

    keys = [c.USER_ID, c.ITEM_ID]
    is_new = ~labels[c.ITEM_ID].isin(items[c.ITEM_ID]).to_numpy(bool)
    kinds = np.where(is_new, NEW_ITEM, np.where(_is_in(labels[keys], pairs), AGAIN, DISCOVERY))
    return pd.Series(kinds, index=labels.index)


def mistakes_of_lists(labels: pd.DataFrame, kinds: pd.Series[Any], sides: Sequence[Side]) -> list[Mistakes]:
    """The share of the purchases of each kind that is in the lists."""
    found = {side.subject: _is_in(labels[[c.USER_ID, c.ITEM_ID]], side.predictions) for side in sides}
    mistakes = []
    for kind in (AGAIN, DISCOVERY, NEW_ITEM):
        mine = (kinds == kind).to_numpy(bool)
        if mine.any():
            values = {subject: float(hit[mine].mean()) for subject, hit in found.items()}
            mistakes.append(Mistakes(kind, int(mine.sum()), float(mine.mean()), values))
    return mistakes


def mistakes_of_values(sides: Sequence[Side], problem: Problem) -> list[Mistakes]:
    """How right or wrong each model is about the units of each label, as the problem measures it."""
    label = sides[0].predictions[c.LABEL].to_numpy(np.float64)
    mistakes = []
    for one in np.unique(label):
        mine = label == one
        values = {}
        for side in sides:
            column = c.PREDICTED_CLASS if c.PREDICTED_CLASS in side.predictions else c.PREDICTION
            predicted = side.predictions[column].to_numpy(np.float64)[mine]
            values[side.subject] = problem.measure_label(predicted, float(one))
        kind = f"{problem.wording.label} {one:g}"
        finite = {subject: value for subject, value in values.items() if np.isfinite(value)}
        mistakes.append(Mistakes(kind, int(mine.sum()), float(mine.mean()), finite))
    return mistakes


def worst_cases(
    metric: Metric, sides: Sequence[Side], labels: pd.DataFrame | None, describe: Callable[[str, pd.DataFrame], Case]
) -> list[Case]:
    """The ten units that cost the challenger's metric most. Ties are ordered by the number of labels.

    Parameters
    ----------
    labels : the purchases of users. None for rows.
    describe : (unit, the challenger's predictions for it) -> a case, whose values are set here.
    """
    import pandas as pd

    units = sides[0].units
    part, weight = (units[name].to_numpy(np.float64) for name in (metric.name, metric.name + WEIGHT))
    mean = part.sum() / weight.sum() if weight.sum() > 0 else 0.0
    cost = (mean * weight - part) * (1.0 if metric.greater_is_better else -1.0)
    ranked = pd.DataFrame({UNIT: units[UNIT], "cost": np.nan_to_num(cost, nan=np.inf), "labels": 0.0}, index=units.index)
    if labels is not None:
        ranked["labels"] = units[UNIT].map(labels.groupby(c.USER_ID).size()).fillna(0.0)
    ranked = ranked[weight > 0].sort_values(["cost", "labels", UNIT], ascending=[False, False, True])[:WORST]
    ranked = ranked[ranked["cost"] > 0]
    values = {side.subject: _own_values(metric, side.units) for side in sides}
    key = c.ROW_ID if labels is None else c.USER_ID
    mine = dict(iter(sides[0].predictions[sides[0].predictions[key].isin(ranked[UNIT])].groupby(key)))
    cases = []
    for place, unit in zip(ranked.index.to_numpy(int), ranked[UNIT], strict=True):
        case = describe(str(unit), mine.get(unit, sides[0].predictions[:0]))
        champion = float(values[Role.CHAMPION][place]) if Role.CHAMPION in values else None
        value = float(values[sides[0].subject][place])
        cases.append(Case(case.unit, value, champion, case.predicted, case.happened, case.more))
    return cases


def describe_list(unit: str, predicted: pd.DataFrame, bought: pd.Series[Any], kinds: pd.Series[Any], *, is_share: bool) -> Case:
    """A user's list and purchases. Purchases in the list come first, those of items new to the model last."""
    lines = predicted.sort_values(c.RANK)
    listed = tuple(
        Entry(str(item), f"{score:.0%}" if is_share else "", bool(label > 0))
        for item, score, label in zip(lines[c.ITEM_ID], lines[c.PREDICTION], lines[c.LABEL], strict=True)
    )
    places = {entry.item: place for place, entry in enumerate(listed, start=1) if entry.is_hit}
    order = {AGAIN: 1, DISCOVERY: 2, NEW_ITEM: 3}
    notes = {AGAIN: "had it before", DISCOVERY: "", NEW_ITEM: "new item"}
    purchases = sorted(
        (0 if item in places else order[kind], item, notes[kind]) for item, kind in zip(bought, kinds, strict=True)
    )
    happened = tuple(
        Entry(str(item), ", ".join(filter(None, (f"place {places[item]}" if item in places else "", note))), item in places)
        for _, item, note in purchases
    )
    return Case(unit, 0.0, None, listed[:SHOWN], happened[:SHOWN], (len(listed[SHOWN:]), len(happened[SHOWN:])))


def describe_ratings(unit: str, predicted: pd.DataFrame) -> Case:
    """A user's ratings with the largest errors."""
    missed = (predicted[c.PREDICTION] - predicted[c.LABEL]).abs().fillna(np.inf)
    lines = predicted.assign(_missed=missed).sort_values(["_missed", c.ITEM_ID], ascending=[False, True])
    missed_most = tuple(
        Entry(str(item), f"predicted {said:.2f}, given {given:g}")
        for item, said, given in zip(lines[c.ITEM_ID], lines[c.PREDICTION], lines[c.LABEL], strict=True)
    )
    return Case(unit, 0.0, None, missed_most[:SHOWN], (), (len(missed_most[SHOWN:]), 0))


def describe_row(unit: str, predicted: pd.DataFrame, row: pd.Series[Any], typical: pd.DataFrame) -> Case:
    """A row's probability and class, and its most unusual features. `typical`: mean and standard deviation of each."""
    away = ((row - typical["mean"]) / typical["std"]).dropna()
    far = away.abs().sort_values(ascending=False, kind="stable").index[:3]
    unusual = tuple(Entry(str(name), f"{row[name]:.4g}, {away[name]:+.1f} sd") for name in far if abs(away[name]) >= 1.5)
    probability, label = float(predicted[c.PREDICTION].iloc[0]), float(predicted[c.LABEL].iloc[0])
    said = (Entry("", f"{probability:.3f}"), Entry("", f"class {label:g}"))
    return Case(unit, 0.0, None, said, unusual)


def _own_values(metric: Metric, units: pd.DataFrame) -> Floats:
    part, weight = (units[name].to_numpy(np.float64) for name in (metric.name, metric.name + WEIGHT))
    values: Floats = np.divide(part, weight, out=np.full(len(units), np.nan), where=weight > 0)
    return np.sqrt(values) if FAMILIES[metric.family].root else values


def _is_in(keys: pd.DataFrame, other: pd.DataFrame) -> Any:
    """Whether each pair of user and item is in another frame."""
    there = other[[c.USER_ID, c.ITEM_ID]].drop_duplicates()
    return (keys.merge(there, on=[c.USER_ID, c.ITEM_ID], how="left", indicator=True)["_merge"] == "both").to_numpy(bool)

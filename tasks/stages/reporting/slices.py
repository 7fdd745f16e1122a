"""How a challenger does on parts of the holdout: for whom it is better, and where it is worst. Frames in, values out.

Frames are those of `tasks.metrics.Scored` and of examples. Everything is sorted by key, so that the same evidence gives the
same answer in whatever order it was read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.contracts.base import TaskKind
from tasks.contracts.judging import Role
from tasks.metrics import USER_COVERAGE, WEIGHT, Metric, get_metric
from tasks.metrics.families import FAMILIES

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 20  # units; below, no interval is told, as the gates conclude nothing from fewer
SEGMENT_VALUES, WORST_SEGMENTS = 6, 8
MISSING, OTHER = "(not told)", "(other)"
NORMAL = 1.959964  # 95 %
_SAME = 0.8  # two segments that share so much of their units are one finding


@dataclass(frozen=True)
class Side:
    """What one model answered on the holdout. `units` is sorted by unit; all sides have the same units."""

    subject: str
    name: str
    units: pd.DataFrame
    predictions: pd.DataFrame


@dataclass(frozen=True)
class Slice:
    """One metric of some of the units. The difference is challenger minus champion, positive is better."""

    group: str
    name: str
    units: int
    values: dict[str, float]
    difference: float | None = None
    low: float | None = None
    high: float | None = None


def slice_metric(compared: Sequence[str], units: pd.DataFrame, task: TaskKind) -> Metric | None:
    """What slices are measured by: the first compared metric that single units have, else the first that they have."""
    names = [str(name) for name in units.columns]
    there = [name for name in names if name + WEIGHT in names and name != USER_COVERAGE]
    chosen = next((name for name in compared if name in there), next(iter(there), None))
    return None if chosen is None else get_metric(chosen, task)


def value_of(metric: Metric, units: pd.DataFrame) -> float:
    """The metric of these units; NaN where none of them has any weight."""
    if not units[metric.name + WEIGHT].sum() > 0:
        return float("nan")
    return float(metric.compute(units, units, np.ones((1, len(units))))[0])


def influences(metric: Metric, units: pd.DataFrame) -> Floats:
    """How far each unit moves the metric, (units,), with mean zero: the metric's derivative by the unit's weight."""
    part, weight = (units[name].to_numpy(np.float64) for name in (metric.name, metric.name + WEIGHT))
    if not weight.sum() > 0:
        return np.zeros(len(units))
    ratio = part.sum() / weight.sum()
    moved: Floats = (part - ratio * weight) / weight.mean()
    if FAMILIES[metric.family].root:
        return moved / (2.0 * np.sqrt(ratio)) if ratio > 0 else np.zeros(len(units))
    return moved


def measure_slice(metric: Metric, sides: Sequence[Side], group: str, name: str, inside: NDArray[np.bool_]) -> Slice:
    """One slice of all sides. The interval is the paired normal one (by influences), without a random number."""
    parts = {side.subject: side.units[inside] for side in sides}
    values = {subject: value_of(metric, units) for subject, units in parts.items()}
    finite = {subject: value for subject, value in values.items() if np.isfinite(value)}
    count = int(inside.sum())
    if not {Role.CHALLENGER, Role.CHAMPION} <= set(finite):
        return Slice(group, name, count, finite)
    sign = 1.0 if metric.greater_is_better else -1.0
    difference = sign * (finite[Role.CHALLENGER] - finite[Role.CHAMPION])
    if count < FEWEST:
        return Slice(group, name, count, finite, difference)
    spread = influences(metric, parts[Role.CHALLENGER]) - influences(metric, parts[Role.CHAMPION])
    half = NORMAL * float(spread.std(ddof=1)) / count**0.5
    return Slice(group, name, count, finite, difference, difference - half, difference + half)


def measure_slices(metric: Metric, sides: Sequence[Side], groups: pd.DataFrame) -> list[Slice]:
    """Every value of every column of `groups` (rows: the units, in their order) that tells some units from others."""
    return [
        measure_slice(metric, sides, str(group), str(name), (groups[group] == name).to_numpy(bool))
        for group in groups
        if groups[group].nunique() > 1
        for name in groups[group].cat.categories
        if (groups[group] == name).any()
    ]


def worst_segments(metric: Metric, sides: Sequence[Side], groups: pd.DataFrame) -> list[Slice]:
    """The segments of at least 20 units where the challenger is worse than over all; worst first, each finding once."""
    sign = 1.0 if metric.greater_is_better else -1.0
    overall = sign * value_of(metric, sides[0].units)
    found = []
    for group in groups:
        for name in groups[group].cat.categories:
            inside = (groups[group] == name).to_numpy(bool)
            value = sign * value_of(metric, sides[0].units[inside]) if FEWEST <= inside.sum() < len(inside) else np.nan
            if value < overall:
                found.append((value, str(group), str(name), inside))
    taken: list[tuple[str, str, NDArray[np.bool_]]] = []
    for _, group, name, inside in sorted(found, key=lambda one: one[:3]):
        if all((inside & other).sum() < _SAME * (inside | other).sum() for _, _, other in taken):
            taken.append((group, name, inside))
    return [measure_slice(metric, sides, *one) for one in taken[:WORST_SEGMENTS]]


def group_users(units: Sequence[str], users: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """What each user was on the first day of the holdout: known or new, light or heavy, and the segment."""
    import pandas as pd

    index = pd.Index(units)
    known = index.isin(users[c.USER_ID])
    met = pairs.groupby(c.USER_ID).size().reindex(index).reset_index(drop=True).astype(float)
    names = ("light", "medium", "heavy")
    groups = {
        "history": _categories(np.where(known, "known user", "new user"), ["known user", "new user"]),
        "activity before": cut_thirds(met, names, "items").where(known) if known.any() else None,
    }
    if c.SEGMENT in users:
        told = users.drop_duplicates(c.USER_ID).set_index(c.USER_ID)[c.SEGMENT].reindex(index).reset_index(drop=True)
        groups[c.SEGMENT] = cut_values(told, most=SEGMENT_VALUES).where(known)
    return pd.DataFrame({name: column for name, column in groups.items() if column is not None})


def group_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The class of each row, and the columns that hold a handful of values."""
    import pandas as pd

    groups = {"class": _categories(rows[c.TARGET].map(lambda label: f"class {int(label)}"), ["class 0", "class 1"])}
    few = [name for name in rows if name not in (c.ROW_ID, c.TARGET) and 2 <= rows[name].nunique() <= SEGMENT_VALUES]
    return pd.DataFrame(groups | {str(name): cut_values(rows[name], most=SEGMENT_VALUES) for name in few[:3]})


def group_features(features: pd.DataFrame) -> pd.DataFrame:
    """Every column in three parts, or by its values where they are few."""
    import pandas as pd

    columns = {}
    for name in features:
        column = features[name]
        if pd.api.types.is_numeric_dtype(column) and column.nunique() > SEGMENT_VALUES:
            columns[str(name)] = cut_thirds(column.astype(float))
        elif column.nunique() > 1:
            columns[str(name)] = cut_values(column, most=SEGMENT_VALUES)
    return pd.DataFrame(columns, index=features.index)


def cut_thirds(column: pd.Series[Any], names: tuple[str, str, str] | None = None, what: str = "") -> pd.Series[Any]:
    """The lower, middle and upper third of a column of numbers, named by what they span; ties stay together."""
    values = column.to_numpy(np.float64)
    told = np.isfinite(values)
    place = np.searchsorted(np.quantile(values[told], [1 / 3, 2 / 3]), values) if told.any() else np.zeros(len(values), int)
    labels = np.full(len(values), MISSING, dtype=object)
    order = []
    for third in range(3):
        inside = told & (place == third)
        if inside.any():
            low, high = values[inside].min(), values[inside].max()
            span = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
            label = f"{span} {what}".strip() if names is None else f"{names[third]}: {span} {what}".strip()
            order += [label] if label not in order else []
            labels[inside] = label
    return _categories(labels, [*order, MISSING])


def cut_values(column: pd.Series[Any], most: int) -> pd.Series[Any]:
    """The most frequent values of a column, the others together."""
    named = column.map(lambda value: f"{value:g}" if isinstance(value, float) else str(value), na_action="ignore")
    counts = named.dropna().value_counts().rename_axis("value").reset_index(name="count")
    ordered = list(counts.sort_values(["count", "value"], ascending=[False, True])["value"])
    kept = ordered[:most]
    labels = named.where(named.isna() | named.isin(kept), OTHER).fillna(MISSING)
    return _categories(labels, [*dict.fromkeys([*kept, OTHER, MISSING])])


def _categories(labels: Any, order: list[str]) -> pd.Series[Any]:
    import pandas as pd

    return pd.Series(pd.Categorical(labels, categories=order))

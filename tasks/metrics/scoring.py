"""Query a model about every unit of a set of examples, and measure its predictions.

Which of these functions fits a use case, `tasks.problems` knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.errors import NotEnoughData
from tasks.metrics.families import FAMILIES, Shape
from tasks.metrics.lists import Catalogue
from tasks.metrics.names import UNIT, WEIGHT, Metric
from tasks.models.base import Examples, FeatureTables, ServedModel

if TYPE_CHECKING:
    import pandas as pd

USER_COVERAGE = "user_coverage"  # share of the users who got an answer; reported beside every metric of users


@dataclass(frozen=True)
class Scored:
    """One model, scored on one set of examples.

    metrics : name -> value; with `user_coverage` beside it where the units are users.
    units : one row a unit, sorted by `unit` (the user or the row's id); for each per-unit metric its part and its weight.
    predictions : recommenders: user_id, item_id, rank, raw_score, prediction, label (one row for each recommended item);
        ratings: user_id, item_id, prediction, label (one for each rated pair); tabular: row_id, prediction, label.
    """

    metrics: dict[str, float]
    units: pd.DataFrame
    predictions: pd.DataFrame


def score_rows(model: ServedModel, examples: Examples, metrics: Sequence[Metric]) -> Scored:
    """Measure a model of rows on every row of the examples.

    Raises
    ------
    NotEnoughData : there is no row.
    """
    import pandas as pd

    if examples.rows is None or examples.rows.empty:
        raise NotEnoughData("there is not one row to score a model on; widen the split")
    rows = examples.rows.sort_values(c.ROW_ID, ignore_index=True)
    prediction = model.predict_rows(rows).astype(np.float64)
    label = rows[c.TARGET].to_numpy(np.float64)
    units: dict[str, Any] = {UNIT: rows[c.ROW_ID].astype(str)}
    for metric in metrics:
        family = FAMILIES[metric.family]
        if family.shape is Shape.ROWS:
            units[metric.name], units[metric.name + WEIGHT] = family.function(prediction, label)
    predictions = pd.DataFrame({c.ROW_ID: units[UNIT], c.PREDICTION: prediction, c.LABEL: label})
    return _measure(metrics, pd.DataFrame(units), predictions, {})


def read_interactions(examples: Examples) -> tuple[FeatureTables, pd.DataFrame]:
    """The features and the labels, sorted by user and item.

    Raises
    ------
    NotEnoughData : there is no label.
    """
    if examples.labels is None or examples.features is None or examples.labels.empty:
        raise NotEnoughData("there is not one label to score a model on; move as_of, or widen holdout_days")
    return examples.features, examples.labels.sort_values([c.USER_ID, c.ITEM_ID], ignore_index=True)


def score_ratings(model: ServedModel, features: FeatureTables, labels: pd.DataFrame, metrics: Sequence[Metric]) -> Scored:
    """Measure the predicted rating of every labelled pair.

    Parameters
    ----------
    labels : one row a pair: `user_id`, `item_id`, and the given rating as `label`.
    """
    import pandas as pd

    pairs = labels[[c.USER_ID, c.ITEM_ID]]
    label = labels[c.LABEL].to_numpy(np.float64)
    prediction = model.predict_ratings(pairs, features).astype(np.float64)
    codes, users = pd.factorize(labels[c.USER_ID])
    answered = np.bincount(codes, np.isfinite(prediction), len(users)) > 0
    units: dict[str, Any] = {UNIT: users, **_coverage(answered)}
    for metric in metrics:
        family = FAMILIES[metric.family]
        if family.shape is Shape.PAIRS:
            units[metric.name] = np.bincount(codes, family.function(prediction, label), len(users))
            units[metric.name + WEIGHT] = np.bincount(codes, minlength=len(users)).astype(np.float64)
    predictions = pairs.assign(**{c.PREDICTION: prediction, c.LABEL: label})
    return _measure(metrics, pd.DataFrame(units), predictions, {})


def score_lists(
    model: ServedModel,
    features: FeatureTables,
    labels: pd.DataFrame,
    metrics: Sequence[Metric],
    *,
    k: int,
    exclude_seen: bool,
) -> Scored:
    """Measure the recommendation list of every labelled user.

    Lists are as long as the longest metric needs, and at least `k`. `predictions` keeps the first `k` of each.

    Parameters
    ----------
    labels : one row a pair: `user_id`, `item_id`, and `label`, above 0 where the item is relevant.
    """
    import pandas as pd

    users = pd.Index(labels[c.USER_ID].drop_duplicates())
    wanted = labels[labels[c.LABEL] > 0]
    relevant = np.bincount(users.get_indexer(wanted[c.USER_ID]), minlength=len(users)).astype(np.float64)
    depth = max(k, *(metric.k or 1 for metric in metrics)) if metrics else k
    lists = _list_items(model, features, list(users), depth, exclude_seen)
    bought = set(zip(wanted[c.USER_ID], wanted[c.ITEM_ID], strict=True))
    pairs = zip(lists[c.USER_ID], lists[c.ITEM_ID], strict=True)
    lists[c.LABEL] = np.fromiter((float(pair in bought) for pair in pairs), np.float64, len(lists))

    place, rank = users.get_indexer(lists[c.USER_ID]), lists[c.RANK].to_numpy(np.int64)
    hits = np.zeros((len(users), depth))
    hits[place, rank - 1] = lists[c.LABEL]
    items = np.full((len(users), depth), -1, dtype=np.int64)
    items[place, rank - 1] = lists[c.ITEM_ID].map(features.item_position)
    catalogue = Catalogue.of(features)
    units: dict[str, Any] = {UNIT: users, **_coverage(np.bincount(place, minlength=len(users)) > 0)}
    values: dict[str, float] = {}
    for metric in metrics:
        family = FAMILIES[metric.family]
        if metric.k is None:
            continue
        listed = items[:, : metric.k]
        if family.shape is Shape.LISTS:
            units[metric.name] = family.function(listed, hits[:, : metric.k], catalogue)
            units[metric.name + WEIGHT] = np.ones(len(users))
        elif family.shape is Shape.CATALOGUE:
            values[metric.name] = family.function(listed[listed >= 0], len(features.item_ids))
        elif family.shape is Shape.HITS:
            units[metric.name] = family.function(hits[:, : metric.k], relevant)
            units[metric.name + WEIGHT] = (relevant > 0).astype(np.float64)
    return _measure(metrics, pd.DataFrame(units), lists[rank <= k].reset_index(drop=True), values)


def _list_items(model: ServedModel, features: FeatureTables, users: list[str], depth: int, exclude_seen: bool) -> pd.DataFrame:
    """The lists of all users, one row an item."""
    import pandas as pd

    flat = [
        (answer.user_id, item, rank, raw, score)
        for answer in model.recommend(users, features, depth, exclude_seen)
        for rank, (item, raw, score) in enumerate(zip(answer.items, answer.raw_scores, answer.scores, strict=True), start=1)
    ]
    names = [c.USER_ID, c.ITEM_ID, c.RANK, c.RAW_SCORE, c.PREDICTION]
    return pd.DataFrame(flat, columns=names).astype({c.RANK: "int64", c.RAW_SCORE: "float64", c.PREDICTION: "float64"})


def _coverage(answered: NDArray[np.bool_]) -> dict[str, Floats]:
    return {USER_COVERAGE: answered.astype(np.float64), USER_COVERAGE + WEIGHT: np.ones(len(answered))}


def _measure(metrics: Sequence[Metric], units: pd.DataFrame, predictions: pd.DataFrame, values: dict[str, float]) -> Scored:
    """The value of each metric: of `values` where it is there, else computed from units and predictions."""
    once = np.ones((1, len(units)))
    measured = {
        metric.name: values[metric.name] if metric.name in values else float(metric.compute(units, predictions, once)[0])
        for metric in metrics
    }
    if USER_COVERAGE in units:
        measured[USER_COVERAGE] = float(units[USER_COVERAGE].mean())
    return Scored(measured, units, predictions)

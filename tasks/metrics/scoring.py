"""Query a model about every unit of a set of examples, and measure its predictions.

Which of these functions fits a use case, `tasks.problems` knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.contracts.training import Population, ScoringTerms
from tasks.errors import NotEnoughData
from tasks.metrics.families import FAMILIES, Shape
from tasks.metrics.lists import Catalogue
from tasks.metrics.names import UNIT, WEIGHT, Metric
from tasks.metrics.populations import probability_users, wanted_labels
from tasks.models.base import Examples, FeatureTables, ServedModel

if TYPE_CHECKING:
    import pandas as pd

PROBABILITY = "probability"  # stands among the metrics of the population that probabilities are about
USER_COVERAGE = "user_coverage"  # share of the users who got an answer; reported beside every metric of users


@dataclass(frozen=True)
class Scored:
    """One model, scored on one set of examples.

    metrics : name -> value; with `user_coverage` beside it where the units are users.
    units : one row a unit, sorted by `unit` (the user or the row's id); for each per-unit metric its part and its weight.
    predictions : recommenders: user_id, item_id, rank, raw_score, prediction, label (one row for each recommended item);
        ratings: user_id, item_id, prediction, label (one for each rated pair); tabular: row_id, prediction, predicted_class,
        label.
    populations : whom the metrics describe.
    probabilities : units and predictions of the users by whom probabilities are judged; None: the same as above.
    """

    metrics: dict[str, float]
    units: pd.DataFrame
    predictions: pd.DataFrame
    populations: tuple[Population, ...] = ()
    probabilities: Scored | None = None

    @property
    def promised(self) -> Scored:
        """The units and predictions by which probabilities are judged."""
        return self.probabilities or self

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """What an evaluation stores, by name."""
        found = {c.UNITS: self.units, c.PREDICTIONS: self.predictions}
        if self.probabilities is not None:
            found |= {c.PROBABILITY_UNITS: self.probabilities.units, c.PROBABILITIES: self.probabilities.predictions}
        return found


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
    chosen = model.choose_classes(prediction)
    units: dict[str, Any] = {UNIT: rows[c.ROW_ID].astype(str)}
    for metric in metrics:
        family = FAMILIES[metric.family]
        if family.shape is Shape.ROWS:
            units[metric.name], units[metric.name + WEIGHT] = family.function(prediction, label)
        elif family.shape is Shape.CLASSES:
            units[metric.name], units[metric.name + WEIGHT] = family.function(chosen, label)
    predictions = pd.DataFrame(
        {c.ROW_ID: units[UNIT], c.PREDICTION: prediction, c.PREDICTED_CLASS: chosen.astype(np.int64), c.LABEL: label}
    )
    scored = _measure(metrics, pd.DataFrame(units), predictions, {})
    return replace(scored, populations=(Population(whom="rows", units=len(rows), metrics=tuple(scored.metrics)),))


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
    scored = _measure(metrics, pd.DataFrame(units), predictions, {})
    whom = Population(whom="users who rated in the label window", units=len(users), metrics=tuple(scored.metrics))
    return replace(scored, populations=(whom,))


def score_lists(
    model: ServedModel, features: FeatureTables, labels: pd.DataFrame, metrics: Sequence[Metric], terms: ScoringTerms
) -> Scored:
    """Measure the recommendation list of every user who has a label that a list can fulfil.

    Lists are as long as the longest metric needs, and at least `terms.k`. `predictions` keeps the first `terms.k` of each.
    With `terms.exclude_seen`, what a user had met before is not relevant, and who has no other label is left out. Metrics of
    probabilities describe the users of `terms.probability_of`, who count with zeros for what they do not buy.

    Parameters
    ----------
    labels : one row a pair: `user_id`, `item_id`, and `label`, above 0 where the item is relevant.

    Raises
    ------
    NotEnoughData : no user has a label that a list can fulfil.
    """
    import pandas as pd

    fulfillable = wanted_labels(labels, features.pairs, exclude_seen=terms.exclude_seen)
    users = pd.Index(fulfillable[c.USER_ID].drop_duplicates())
    if users.empty:
        raise NotEnoughData(
            f"exclude_seen: each of the {len(labels)} labels is of an item that its user had met before, which no list may "
            "show; set exclude_seen: false, move as_of, or widen holdout_days"
        )
    wanted = fulfillable[fulfillable[c.LABEL] > 0]
    relevant = np.bincount(users.get_indexer(wanted[c.USER_ID]), minlength=len(users)).astype(np.float64)
    depth = max(terms.k, *(metric.k or 1 for metric in metrics)) if metrics else terms.k
    promised = users
    if terms.task.has_probabilities:
        promised = pd.Index(probability_users(terms, features, labels))
    asked = users.union(promised, sort=False)
    every = _list_items(model, features, list(asked), depth, terms.exclude_seen)
    bought = set(zip(wanted[c.USER_ID], wanted[c.ITEM_ID], strict=True))
    pairs = zip(every[c.USER_ID], every[c.ITEM_ID], strict=True)
    every[c.LABEL] = np.fromiter((float(pair in bought) for pair in pairs), np.float64, len(every))
    shown = every[every[c.RANK] <= terms.k]

    lists = every[every[c.USER_ID].isin(users)]
    place, rank = users.get_indexer(lists[c.USER_ID]), lists[c.RANK].to_numpy(np.int64)
    hits = np.zeros((len(users), depth))
    hits[place, rank - 1] = lists[c.LABEL]
    items = np.full((len(users), depth), -1, dtype=np.int64)
    items[place, rank - 1] = lists[c.ITEM_ID].map(features.item_position)
    catalogue = Catalogue.of(features)
    units: dict[str, Any] = {UNIT: users, **_coverage(np.bincount(place, minlength=len(users)) > 0)}
    values: dict[str, float] = {}
    probable = [metric for metric in metrics if FAMILIES[metric.family].shape is Shape.WHOLE]
    for metric in metrics:
        family = FAMILIES[metric.family]
        if metric.k is None:
            continue
        listed = items[:, : metric.k]
        if family.shape is Shape.LISTS:
            units[metric.name] = family.function(listed, hits[:, : metric.k], catalogue)
            units[metric.name + WEIGHT] = np.ones(len(users))
        elif family.shape is Shape.CATALOGUE:
            listed = listed[listed >= 0]
            values[metric.name] = family.function(listed[features.on_sale[listed]], int(features.on_sale.sum()))
        elif family.shape is Shape.HITS:
            units[metric.name] = family.function(hits[:, : metric.k], relevant)
            units[metric.name + WEIGHT] = (relevant > 0).astype(np.float64)
    probabilities = _select(probable, promised, shown)
    values |= probabilities.metrics
    scored = _measure(metrics, pd.DataFrame(units), _select((), users, shown).predictions, values)
    left_out = labels[c.USER_ID].nunique() - len(users)
    described = [
        Population(
            whom=f"users who {'rated' if terms.task.rates_pairs else 'bought'} in the label window",
            units=len(users),
            metrics=tuple(name for name in scored.metrics if name not in probabilities.metrics),
            left_out=f"{left_out:,} others only items that they had met before" if left_out else "",
        ),
    ]
    if terms.task.has_probabilities:
        names = (PROBABILITY, *probabilities.metrics)
        described.append(Population(whom=terms.probability_of.words, units=len(promised), metrics=names))
    same = len(promised) == len(users) and promised.isin(users).all()
    return replace(scored, populations=tuple(described), probabilities=None if same else probabilities)


def _select(metrics: Sequence[Metric], users: pd.Index, lists: pd.DataFrame) -> Scored:
    """The lists of some users, measured by metrics of single predictions."""
    import pandas as pd

    mine = lists[lists[c.USER_ID].isin(users)].reset_index(drop=True)
    units = pd.DataFrame({UNIT: users})
    once = np.ones((1, len(units)))
    return Scored({metric.name: float(metric.compute(units, mine, once)[0]) for metric in metrics}, units, mine)


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

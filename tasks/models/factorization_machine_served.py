"""Predictions of a factorization machine from its arrays, by sums over the columns of users and items. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.contracts.predictions import AnswerPath
from tasks.models.base import FeatureTables, ServedModel
from tasks.models.bias import Scale
from tasks.models.prepared import PerFeatures, read_numbers

if TYPE_CHECKING:
    import pandas as pd

PAIRS_AT_ONCE = 2**22  # numbers that are added at a time: 32 MB


@dataclass(frozen=True)
class Layout:
    """Which column of a machine means what, in this order: days, user ids, the items that a user rated, user attributes, item
    ids, the users who rated an item, item attributes. Days count backwards from the newest day of the training."""

    users: int
    items: int
    user_attributes: tuple[str, ...]
    item_attributes: tuple[str, ...]
    has_histories: bool
    newest_day: int = 0
    days: int = 0

    @property
    def groups(self) -> list[int]:
        """How many columns each of the seven has."""
        met = self.has_histories
        return [
            self.days,
            self.users,
            self.items * met,
            len(self.user_attributes),
            self.items,
            self.users * met,
            len(self.item_attributes),
        ]

    def day_of(self, recency: Floats) -> NDArray[np.intp]:
        """The column (pairs,) of days ago (pairs,); days outside the training have its nearest day."""
        return np.clip(np.nan_to_num(recency) - self.newest_day, 0, max(self.days - 1, 0)).astype(np.intp)


@dataclass(frozen=True)
class Side:
    """All users, or all items, of a set of features, and last an unknown one."""

    place: dict[str, int]
    sums: Floats  # (n + 1, factors): of each column's value times its vector
    terms: Floats  # (n + 1,): linear terms, and what columns of one row do together

    def places(self, keys: pd.Series) -> NDArray[np.intp]:
        return np.fromiter((self.place.get(key, -1) for key in keys), np.intp, len(keys))


def numbers_of(names: NDArray[Any], known: NDArray[Any]) -> NDArray[np.int64]:
    """The place of each name (names,) among the known ones, -1 for an unknown name."""
    import pandas as pd

    return np.asarray(pd.Index(known).get_indexer(pd.Index(names)), dtype=np.int64)


class FactorizationMachineModel(ServedModel):
    """rating = intercept + sum of w_a x_a + sum over a < b of <v_a, v_b> x_a x_b, clipped to the scale.

    An unknown user or item has the mean of all ids instead of its own, and its other columns.

    users : (users,) and items : (items,), ids. linear : (columns,). vectors : (columns, factors), columns as in `Layout`.
    """

    kind = "factorization_machine"

    def __init__(
        self,
        scale: Scale,
        layout: Layout,
        users: NDArray[Any],
        items: NDArray[Any],
        *,
        intercept: float,
        linear: Floats,
        vectors: NDArray[np.float32],
    ) -> None:
        self.scale, self.layout, self.users, self.items = scale, layout, users, items
        self.intercept, self.linear, self.vectors = intercept, linear, vectors
        self._sides = PerFeatures(self._measure)

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        settings = {"scale": vars(self.scale), "layout": vars(self.layout), "intercept": self.intercept}
        arrays = {"users": self.users.astype(object), "items": self.items.astype(object)}
        return settings, {**arrays, "linear": self.linear, "vectors": self.vectors}

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        layout = dict(settings["layout"])
        layout |= {name: tuple(layout[name]) for name in ("user_attributes", "item_attributes")}
        names = (arrays["users"].astype(object), arrays["items"].astype(object))
        scale = Scale(**settings["scale"])
        return cls(
            scale,
            Layout(**layout),
            *names,
            intercept=settings["intercept"],
            linear=arrays["linear"],
            vectors=arrays["vectors"],
        )

    def score_items(self, user_id: str, features: FeatureTables) -> tuple[Floats, AnswerPath]:
        """For the newest day, and not clipped to the scale, because the best items would tie."""
        users, items = self._sides(features)
        known = features.pairs_of(user_id)
        row = users.place.get(user_id, -1)
        day, linear = self._days(np.zeros(1))
        toward = users.sums[row] + day[0]
        scores = self.intercept + linear[0] + users.terms[row] + users.sums[row] @ day[0] + items.terms[:-1]
        return scores + items.sums[:-1] @ toward, AnswerPath.MODEL if known.stop > known.start else AnswerPath.POPULAR

    def predict_ratings(self, pairs: pd.DataFrame, features: FeatureTables) -> Floats:
        """The column `pair_recency_days` of `pairs`, if present, is the age of each rating in days; otherwise it is today."""
        users, items = self._sides(features)
        user, item = users.places(pairs[c.USER_ID]), items.places(pairs[c.ITEM_ID])
        name = "pair_recency_days"
        recency = pairs[name].to_numpy(np.float64, na_value=0.0) if name in pairs else np.zeros(len(pairs))
        day, linear = self._days(recency)
        mine, theirs = users.sums[user], items.sums[item]
        together = np.einsum("pf,pf->p", mine, theirs) + np.einsum("pf,pf->p", mine + theirs, day)
        rating = self.intercept + linear + users.terms[user] + items.terms[item] + together
        return np.asarray(np.clip(rating, self.scale.low, self.scale.high), dtype=np.float64)

    def _days(self, recency: Floats) -> tuple[Floats, Floats]:
        """The vector and the linear term of each day; zeros in a machine without days."""
        if not self.layout.days:
            return np.zeros((len(recency), self.vectors.shape[1])), np.zeros(len(recency))
        day = self.layout.day_of(recency)
        return self.vectors[day].astype(np.float64), self.linear[day]

    def _measure(self, features: FeatureTables) -> tuple[Side, Side]:
        bounds = np.r_[0, np.cumsum(self.layout.groups)]
        columns = [slice(int(a), int(b)) for a, b in pairwise(bounds)]
        pairs = features.sorted_pairs
        rated = np.isfinite(pairs["pair_rating"].to_numpy(np.float64, na_value=np.nan))
        position = pairs["item_position"].to_numpy()[rated]
        names, starts = features.bounds
        order = np.repeat(np.arange(len(names)), np.diff(starts))[rated]
        known_users = np.unique(np.r_[names, features.users[c.USER_ID].to_numpy(dtype=object)].astype(object))
        user, item = numbers_of(known_users, self.users), numbers_of(features.item_ids, self.items)
        person = numbers_of(names, known_users)[order] if len(order) else order
        users = self._side(
            features.users,
            c.USER_ID,
            known_users,
            user,
            (person, item[position]),
            attributes=self.layout.user_attributes,
            columns=columns[1:4],
        )
        items = self._side(
            features.items,
            c.ITEM_ID,
            features.item_ids,
            item,
            (position, user[person]),
            attributes=self.layout.item_attributes,
            columns=columns[4:7],
        )
        return users, items

    def _side(
        self,
        table: pd.DataFrame,
        key: str,
        names: NDArray[Any],
        number: NDArray[np.int64],
        met: tuple[NDArray[np.int64], NDArray[np.int64]],
        *,
        attributes: tuple[str, ...],
        columns: list[slice],
    ) -> Side:
        """Sums and terms of each name and of an unknown one; `met`: rows of names, and the number of what each met."""
        ids, histories, described = ((self.vectors[where], self.linear[where]) for where in columns)
        number = np.r_[number, -1]  # and, last, one that is unknown
        vector = np.vstack([ids[0], ids[0].mean(axis=0, keepdims=True)]).astype(np.float64)[number]
        linear = np.r_[ids[1], ids[1].mean()][number]
        sums, squares = vector, np.einsum("nf,nf->n", vector, vector)
        if self.layout.has_histories and len(met[0]):
            added = _mean_of_met(met, histories[0], histories[1], len(number))
            sums, linear, squares = sums + added[0], linear + added[1], squares + added[2]
        if attributes:
            row = numbers_of(names, table[key].to_numpy(dtype=object))
            values = np.nan_to_num(read_numbers(table, attributes, self.kind))
            values = np.vstack([values, np.zeros((1, len(attributes)))])[np.r_[row, -1]]
            own = described[0].astype(np.float64)
            sums, linear = sums + values @ own, linear + values @ described[1]
            squares = squares + values**2 @ np.einsum("nf,nf->n", own, own)
        terms = linear + 0.5 * (np.einsum("nf,nf->n", sums, sums) - squares)
        return Side(dict(zip(names.tolist(), range(len(names)), strict=True)), sums, terms)


def _mean_of_met(
    met: tuple[NDArray[np.int64], NDArray[np.int64]], vectors: NDArray[np.float32], linear: Floats, size: int
) -> tuple[Floats, Floats, Floats]:
    """For each of `size` rows, over the n that it met and the model knows: the sums of vectors and of linear terms, divided by
    the root of n, and the mean of the vectors' squares."""
    known = met[1] >= 0
    order = np.argsort(met[0][known], kind="stable")
    row, other = met[0][known][order], met[1][known][order]
    count = np.bincount(row, minlength=size).astype(np.float64)
    share = 1.0 / np.sqrt(np.maximum(count, 1.0))
    squares = np.einsum("nf,nf->n", vectors, vectors, dtype=np.float64)
    sums = np.zeros((size, vectors.shape[1]))
    at_once = max(1, PAIRS_AT_ONCE // vectors.shape[1])
    for start in range(0, len(row), at_once):
        part = row[start : start + at_once]
        first = np.flatnonzero(np.r_[True, part[1:] != part[:-1]])
        sums[part[first]] += np.add.reduceat(vectors[other[start : start + at_once]].astype(np.float64), first, axis=0)
    by_row = (np.bincount(row, values[other], size) for values in (linear, squares))
    return sums * share[:, None], next(by_row) * share, next(by_row) * share**2


class SparkFmModel(FactorizationMachineModel):
    """The same, learned by Spark."""

    kind = "spark_fm"

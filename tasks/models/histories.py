"""What models of a user's history share: weighted pairs, and the popular list for users without a history."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.contracts.arrays import Floats
from tasks.contracts.base import TaskKind
from tasks.contracts.predictions import AnswerPath
from tasks.errors import NotEnoughData
from tasks.models.base import Examples, FeatureTables, ModelSpec, ServedModel
from tasks.models.popularity import recent_buyers
from tasks.models.prepared import PerFeatures, read_numbers

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

SAMPLE = 200  # users from whose scores the model's scale is measured


@dataclass(frozen=True)
class Weighing:
    """The weight of a pair: 1 (or its orders), halved every `half_life_days` days since its last order; 0 without an order."""

    count_orders: bool = False
    half_life_days: float | None = None
    popular_half_life_days: float = 28.0  # of the popularity that users without a history get

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Self:
        """The inverse of `vars`; reads exports that name the half-life of a pair `fade_days`, too."""
        stored = dict(settings)
        if "fade_days" in stored:
            stored["half_life_days"] = stored.pop("fade_days")
        return cls(**stored)

    def of(self, features: FeatureTables) -> Floats:
        """The weight of each of `sorted_pairs`: (pairs,)."""
        names = ["pair_orders", "pair_recency_days"][: 1 if self.half_life_days is None else 2]
        values = np.nan_to_num(read_numbers(features.sorted_pairs, names, "a model of histories"))
        weight = np.maximum(values[:, 0], 0.0) if self.count_orders else (values[:, 0] > 0).astype(np.float64)
        return weight if self.half_life_days is None else weight * 0.5 ** (np.maximum(values[:, 1], 0.0) / self.half_life_days)


@dataclass(frozen=True)
class Histories:
    """Pairs in compressed rows: user `users[u]` met the items at `places[starts[u]:starts[u + 1]]` of `items`.

    users : (users,). items : (items,). starts : (users + 1,). places and weights : (pairs,).
    """

    features: FeatureTables  # that they were read from
    users: NDArray[np.object_]
    items: NDArray[np.object_]
    starts: NDArray[np.int64]
    places: NDArray[np.int32]
    weights: Floats

    @property
    def matrix(self) -> csr_matrix:
        """(users, items), for the libraries that train."""
        from scipy.sparse import csr_matrix

        return csr_matrix((self.weights, self.places, self.starts), shape=(len(self.users), len(self.items)))


def read_histories(history: Examples, weighing: Weighing, whose: str, *, only_on_sale: bool = False) -> Histories:
    """The pairs with a positive weight, and their users and items.

    Parameters
    ----------
    only_on_sale : leave out items that were not sold in the longest lookback.

    Raises
    ------
    NotEnoughData : there is no such pair.
    """
    features = history.features
    if features is None or features.pairs.empty:
        raise NotEnoughData(f"{whose} needs pairs of a user and an item; got none")
    weights, place = weighing.of(features), features.sorted_pairs["item_position"].to_numpy()
    users, starts = features.bounds
    kept = weights > 0
    if only_on_sale:
        kept &= features.on_sale[place]
    if not kept.any():
        raise NotEnoughData(f"{whose} needs pairs with an order; none of {len(kept)} pairs has one")
    has_pair = np.bincount(place[kept], minlength=len(features.item_ids)) > 0
    number = np.cumsum(has_pair) - 1
    ends = np.r_[0, np.cumsum(kept)][starts]
    has_history = np.diff(ends) > 0
    return Histories(
        features,
        users[has_history],
        features.item_ids[has_pair],
        np.r_[0, ends[1:][has_history]].astype(np.int64),
        number[place[kept]].astype(np.int32),
        weights[kept],
    )


class HistorySpec(ModelSpec):
    """The settings that all models of histories share."""

    tasks = frozenset({TaskKind.RECOMMENDATION, TaskKind.PROPENSITY})
    renamed: ClassVar[Mapping[str, str]] = {"fade_days": "half_life_days"}
    count_orders: bool = Field(False, description="the weight is the number of orders; otherwise 1 for each pair")
    half_life_days: float | None = Field(
        None, gt=0.0, le=3650.0, description="the days after which a pair weighs half; null: never"
    )
    popular_half_life_days: float = Field(28.0, gt=0.0, le=3650.0, description="of the list for users without a history")

    @property
    def weighing(self) -> Weighing:
        return Weighing(self.count_orders, self.half_life_days, self.popular_half_life_days)


@dataclass(frozen=True)
class _Ready:
    """What is computed once for a set of features. `number`: of each pair's item in the model, -1 for an unknown item."""

    weights: Floats
    number: NDArray[np.int64]
    place: NDArray[np.int64]  # of each item of the model in features.item_ids, -1 where the features lack it
    popular: Floats


class HistoryModel(ServedModel):
    """Scores its items from the items that a user met, by the current features.

    To add one: `score_history`, and the arrays that it needs (`own_state`, `from_own_state`).
    """

    kind: ClassVar[str]

    def __init__(self, items: NDArray[Any], weighing: Weighing) -> None:
        self.items, self.weighing, self.typical_best = items, weighing, 0.0
        self._ready = PerFeatures(self._prepare)

    @abstractmethod
    def score_history(self, user_id: str, places: NDArray[np.int64], weights: Floats) -> Floats:
        """The score of each of `items`, (items,), for a user who met the items at `places` (met,) with `weights` (met,)."""

    @abstractmethod
    def own_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Settings and arrays beyond the items and the weighing."""

    @classmethod
    @abstractmethod
    def from_own_state(
        cls, items: NDArray[Any], weighing: Weighing, settings: dict[str, Any], arrays: dict[str, NDArray[Any]]
    ) -> Self:
        """The inverse of `own_state`."""

    def measure_scale(self, histories: Histories) -> Self:
        """Measure the best score of the average user, to which the popular list is scaled, so that one calibration fits users
        with and without a history. Returns the model."""
        chosen = np.unique(np.linspace(0, len(histories.users) - 1, SAMPLE).astype(np.intp))
        total = np.zeros(len(self.items))
        for user in chosen:
            rows = slice(histories.starts[user], histories.starts[user + 1])
            places = histories.places[rows].astype(np.int64)
            total += self.score_history(str(histories.users[user]), places, histories.weights[rows])
        self.typical_best = max(float(total.max() / len(chosen)), 1e-9)  # positive, or it would reverse the popular list
        return self

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        settings, arrays = self.own_state()
        shared = {"weighing": vars(self.weighing), "typical_best": self.typical_best}
        return {**settings, **shared}, {**arrays, "items": self.items.astype(object)}

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        model = cls.from_own_state(arrays["items"].astype(object), Weighing.from_json(settings["weighing"]), settings, arrays)
        model.typical_best = settings["typical_best"]
        return model

    def score_items(self, user_id: str, features: FeatureTables) -> tuple[Floats, AnswerPath]:
        ready, rows = self._ready(features), features.pairs_of(user_id)
        is_used = (ready.number[rows] >= 0) & (ready.weights[rows] > 0)
        if not is_used.any():
            return ready.popular, AnswerPath.POPULAR
        found = self.score_history(user_id, ready.number[rows][is_used], ready.weights[rows][is_used])
        scores = np.full(len(features.item_ids), -np.inf)
        known = ready.place >= 0
        scores[ready.place[known]] = found[known]
        return scores, AnswerPath.MODEL

    def _prepare(self, features: FeatureTables) -> _Ready:
        import pandas as pd

        place = pd.Index(features.item_ids).get_indexer(pd.Index(self.items)).astype(np.int64)
        number = np.full(len(features.item_ids) + 1, -1, dtype=np.int64)
        number[place[place >= 0]] = np.flatnonzero(place >= 0)
        popular = recent_buyers(features.sorted_items, self.weighing.popular_half_life_days)
        peak = popular.max(initial=0.0)
        pairs = features.sorted_pairs["item_position"].to_numpy()
        scaled = popular * (self.typical_best / peak if peak > 0 else 1.0)
        return _Ready(self.weighing.of(features), number[pairs], place, scaled)

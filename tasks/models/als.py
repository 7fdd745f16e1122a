"""ALS: matrix factorisation by Spark. The served model keeps the items' factors and folds users in by their current pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.contracts.base import TaskKind
from tasks.contracts.predictions import AnswerPath
from tasks.errors import NotEnoughData
from tasks.models.arrays import number_texts
from tasks.models.base import (
    Best,
    Examples,
    FeatureTables,
    ModelSpec,
    ServedModel,
    SparkProblem,
    SparkTuned,
    find_best,
    forbid_seen,
)
from tasks.models.bias import Effects, Scale, item_effects, measure_effects, measure_scale
from tasks.models.histories import Weighing
from tasks.models.popularity import recent_buyers
from tasks.models.prepared import PerFeatures

if TYPE_CHECKING:
    import pandas as pd

BLOCKS = 2  # with more, Spark adds the parts of Y'Y in the order in which they arrive, and the last bits differ


def _frame(pairs: pd.DataFrame, weights: Floats) -> tuple[NDArray[Any], Any]:
    """The items (items,), and a frame of Spark with user, item (its place among the items) and rating."""
    import pandas as pd

    from tasks.io.spark import get_spark

    _, users = number_texts(pairs[c.USER_ID])
    names, items = number_texts(pairs[c.ITEM_ID])
    if not len(names):
        raise NotEnoughData("als needs pairs with an order or a rating; got none")
    frame = pd.DataFrame({"user": users.astype("int32"), "item": items.astype("int32"), "rating": weights})
    return names, get_spark().createDataFrame(frame).repartition(1).sortWithinPartitions("user", "item")


@dataclass(frozen=True)
class Penalties:
    """The settings of the spec that folding in needs."""

    regularization: float
    alpha: float
    item_damping: float
    user_damping: float
    popular_half_life_days: float
    is_per_pair: bool = True  # whether the penalty grows with the number of pairs of a vector
    half_life_days: float | None = None  # the days after which an order counts half; None: never

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Self:
        """The inverse of `vars`; reads exports that name the two half-lives `half_life_days` and `fade_days`, too."""
        stored = dict(settings)
        if "popular_half_life_days" not in stored:
            stored["popular_half_life_days"] = stored.pop("half_life_days")
            stored["half_life_days"] = stored.pop("fade_days", None)
        return cls(**stored)

    def ridge(self, pairs: int, factors: int) -> Floats:
        return np.asarray(self.regularization * (pairs if self.is_per_pair else 1.0) * np.eye(factors))


@dataclass(frozen=True)
class Ready:
    """What is computed once for a set of features."""

    factors: Floats  # (items, factors) in the order of item_ids, zeros for an item unknown to the model
    is_known: NDArray[np.bool_]
    place: NDArray[np.int64]  # of the items of sorted_pairs
    weights: Floats  # of sorted_pairs
    is_used: NDArray[np.bool_]  # whether the pair counts
    popular: Floats
    effects: Effects | None

    @cached_property
    def unknown(self) -> NDArray[np.int64]:
        """Places of the items that the model does not know."""
        return np.flatnonzero(~self.is_known)

    @cached_property
    def singles(self) -> NDArray[np.float32]:
        """`factors` in single precision."""
        return self.factors.astype(np.float32)

    @cached_property
    def longest(self) -> float:
        """The Euclidean length of the longest of `factors`."""
        return float(np.linalg.norm(self.factors, axis=1).max(initial=0.0))


class AlsModel(ServedModel):
    """Item factors. A user's vector is solved in closed form from the user's pairs, as in Spark's last step.

    items : (items,), ids. factors : (items, factors). typical_best : see `typical_best`.
    """

    kind = "als"

    def __init__(
        self, items: NDArray[Any], factors: Floats, penalties: Penalties, scale: Scale | None, typical_best: float
    ) -> None:
        self.items, self.factors, self.penalties, self.scale = items, factors, penalties, scale
        self.best_score = typical_best
        self._gram = factors.T @ factors
        self._ready = PerFeatures(self._prepare)

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        scale = vars(self.scale) if self.scale else None
        settings = {"penalties": vars(self.penalties), "scale": scale, "typical_best": self.best_score}
        return settings, {"items": self.items.astype(object), "factors": self.factors}

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        scale = Scale(**settings["scale"]) if settings["scale"] else None
        penalties = Penalties.from_json(settings["penalties"])
        return cls(arrays["items"].astype(object), arrays["factors"], penalties, scale, settings["typical_best"])

    def score_items(self, user_id: str, features: FeatureTables) -> tuple[Floats, AnswerPath]:
        ready = self._ready(features)
        vector = self.fold_in(user_id, features)
        if ready.effects is not None and self.scale is not None:
            base = self.scale.mean + ready.effects.item + ready.effects.user.get(user_id, 0.0)
            return (base, AnswerPath.POPULAR) if vector is None else (base + ready.factors @ vector, AnswerPath.MODEL)
        if vector is None:
            return ready.popular, AnswerPath.POPULAR
        scores = ready.factors @ vector
        scores[ready.unknown] = -np.inf
        return scores, AnswerPath.MODEL

    def predict_ratings(self, pairs: pd.DataFrame, features: FeatureTables) -> Floats:
        ready = self._ready(features)
        if ready.effects is None or self.scale is None:
            return super().predict_ratings(pairs, features)
        user = np.nan_to_num(pairs[c.USER_ID].map(ready.effects.user).to_numpy(dtype=np.float64, na_value=np.nan))
        rating = self.scale.mean + user + item_effects(pairs, features, ready.effects.item)
        places = pairs[c.ITEM_ID].map(features.item_position).to_numpy(dtype=np.float64, na_value=np.nan)
        for user_id, rows in pairs.reset_index(drop=True).groupby(c.USER_ID).indices.items():
            vector = self.fold_in(str(user_id), features)
            if vector is not None:
                known = rows[np.isfinite(places[rows])]
                rating[known] += ready.factors[places[known].astype(np.intp)] @ vector
        return np.clip(rating, self.scale.low, self.scale.high)

    def score_users(self, user_ids: list[str], features: FeatureTables) -> tuple[Floats, list[AnswerPath]]:
        """As `ServedModel.score_users`: one call of LAPACK for all vectors, one product for all scores."""
        if self.scale is not None:
            return super().score_users(user_ids, features)
        ready, (vectors, is_folded) = self._ready(features), self.user_vectors(user_ids, features)
        scores = vectors @ ready.factors.T
        scores[:, ready.unknown] = -np.inf
        scores[~is_folded] = ready.popular
        return scores, _paths(is_folded)

    def search(self, user_ids: list[str], features: FeatureTables, k: int, exclude_seen: bool) -> tuple[Best, list[AnswerPath]]:
        """Search in single precision, which takes half of the time, and multiply the best again in double precision."""
        if self.scale is not None:
            return super().search(user_ids, features, k, exclude_seen)
        ready, (vectors, is_folded) = self._ready(features), self.user_vectors(user_ids, features)
        scores = vectors.astype(np.float32) @ ready.singles.T
        scores[:, ready.unknown] = -np.inf
        scores[~is_folded] = ready.popular
        if exclude_seen:
            forbid_seen(scores, user_ids, features)
        largest = np.where(is_folded, np.linalg.norm(vectors, axis=1) * ready.longest, ready.popular.max(initial=0.0))

        def exact(rows: NDArray[np.int64], places: NDArray[np.int64]) -> Floats:
            products = np.einsum("ij,ij->i", vectors[rows], ready.factors[places])
            return np.where(is_folded[rows], products, ready.popular[places])

        # A product of n numbers, rounded to single precision first, is off by (n + 2) roundings of the two lengths at most.
        margin = 2.0 * (vectors.shape[1] + 2) * float(np.finfo(np.float32).eps) * largest
        return find_best(scores, k, margin, exact), _paths(is_folded)

    def user_vectors(self, user_ids: list[str], features: FeatureTables) -> tuple[Floats, NDArray[np.bool_]]:
        """The vectors of users (users, factors), zeros without a known item, and whether each has one (users,)."""
        systems = [self._system(user_id, features) for user_id in user_ids]
        is_folded = np.array([system is not None for system in systems], dtype=np.bool_)
        vectors = np.zeros((len(user_ids), self.factors.shape[1]))
        if found := [system for system in systems if system is not None]:
            left, right = np.stack([system[0] for system in found]), np.stack([system[1] for system in found])
            vectors[is_folded] = np.linalg.solve(left, right[:, :, None])[:, :, 0]
        return vectors, is_folded

    def item_vectors(self, features: FeatureTables) -> tuple[Floats, NDArray[np.bool_]]:
        """Vectors of all `item_ids` (items, factors), to be multiplied by a `user_vector`, and which items have a score."""
        ready = self._ready(features)
        if ready.effects is None:
            return ready.factors, ready.is_known
        return np.column_stack([ready.factors, ready.effects.item]), np.ones(len(ready.factors), dtype=np.bool_)

    def user_vector(
        self, user_id: str, features: FeatureTables, recent: Mapping[int, float] | None = None
    ) -> tuple[Floats, float] | None:
        """A user's vector (factors,) for `item_vectors`, and the constant of each product; None without a known item."""
        ready = self._ready(features)
        vector = self.fold_in(user_id, features, recent)
        if vector is None or ready.effects is None or self.scale is None:
            return None if vector is None else (vector, 0.0)
        return np.r_[vector, 1.0], self.scale.mean + ready.effects.user.get(user_id, 0.0)

    def fold_in(self, user_id: str, features: FeatureTables, recent: Mapping[int, float] | None = None) -> Floats | None:
        """The vector of a user (factors,) from their current pairs; None if the model knows none of their items.

        Purchases: (Y'Y + Y'(C - I)Y + ridge)^-1 Y'C p; ratings: (Y'Y + ridge)^-1 Y'r with Y the factors of the rated items.

        Parameters
        ----------
        recent : place of an item -> its orders, or its rating, since the features were built. Orders add to those of the
            features; a rating replaces an older one.
        """
        system = self._system(user_id, features, recent)
        return None if system is None else np.asarray(np.linalg.solve(*system))

    def _system(
        self, user_id: str, features: FeatureTables, recent: Mapping[int, float] | None = None
    ) -> tuple[Floats, Floats] | None:
        """The equations of a user's vector: left side (factors, factors) and right side (factors,)."""
        ready = self._ready(features)
        rows = features.pairs_of(user_id)
        place, weights, taught = ready.place[rows], ready.weights[rows], ready.is_used[rows]
        if recent:
            place, weights = self._add_recent(user_id, place, weights, recent, ready)
            taught = ready.is_known[place] & np.isfinite(weights)
            if self.scale is None:
                taught &= weights > 0
        if not taught.any():
            return None
        mine, weights = ready.factors[place[taught]], weights[taught]
        ridge = self.penalties.ridge(len(weights), mine.shape[1])
        if self.scale is None:
            confidence = self.penalties.alpha * weights
            return self._gram + (mine.T * confidence) @ mine + ridge, mine.T @ (1.0 + confidence)
        return mine.T @ mine + ridge, mine.T @ weights

    def _add_recent(
        self, user_id: str, place: NDArray[np.int64], weights: Floats, recent: Mapping[int, float], ready: Ready
    ) -> tuple[NDArray[np.int64], Floats]:
        new = np.fromiter(recent.keys(), np.int64, len(recent))
        value = np.fromiter(recent.values(), np.float64, len(recent))
        if self.scale is not None and ready.effects is not None:
            value = value - self.scale.mean - ready.effects.item[new] - ready.effects.user.get(user_id, 0.0)
        else:
            before = dict(zip(place.tolist(), np.nan_to_num(weights).tolist(), strict=True))
            value = value + [before.get(one, 0.0) for one in new.tolist()]
        kept = ~np.isin(place, new)
        return np.r_[place[kept], new], np.r_[weights[kept], value]

    def weights(self, features: FeatureTables) -> Floats:
        """The weight of each of `sorted_pairs` (pairs,): its orders, or the residual of its rating."""
        if self.scale is None:
            return Weighing(count_orders=True, half_life_days=self.penalties.half_life_days).of(features)
        residual: Floats = self._measure(features).residual
        return residual

    def typical_best(self, features: FeatureTables) -> float:
        """The best score of the average user, to which the most popular item's score is scaled.

        Without it, calibration would read counts of buyers as preferences, and all would seem certain.
        """
        vectors = [self.fold_in(user, features) for user in sorted(features.user_row)]
        found = [vector for vector in vectors if vector is not None]
        return float((self.factors @ np.mean(found, axis=0)).max()) if found else 0.0

    def _measure(self, features: FeatureTables) -> Effects:
        mean = self.scale.mean if self.scale else 0.0
        return measure_effects(features, mean, self.penalties.item_damping, self.penalties.user_damping)

    def _prepare(self, features: FeatureTables) -> Ready:
        place = np.array([features.item_position.get(str(item), -1) for item in self.items], dtype=np.intp)
        known = place >= 0
        if np.array_equal(place, np.arange(len(features.item_ids))):
            factors = self.factors  # already in this order: arrays that are mapped from a file stay there
        else:
            factors = np.zeros((len(features.item_ids), self.factors.shape[1]))
            factors[place[known]] = self.factors[known]
        is_known = np.zeros(len(factors), dtype=np.bool_)
        is_known[place[known]] = True
        pairs = features.sorted_pairs["item_position"].to_numpy()
        if self.scale is not None:
            effects = self._measure(features)
            is_used = is_known[pairs] & np.isfinite(effects.residual)
            return Ready(factors, is_known, pairs, effects.residual, is_used, effects.item, effects)
        popular = recent_buyers(features.sorted_items, self.penalties.popular_half_life_days)
        peak, weights = popular.max(initial=0.0), self.weights(features)
        scaled = popular * (self.best_score / peak if peak else 1.0)
        return Ready(factors, is_known, pairs, weights, is_known[pairs] & (weights > 0), scaled, None)


class Als(SparkTuned, ModelSpec):
    """Alternating least squares by Spark MLlib; folds users in.

    Purchases: preference 1 with confidence 1 + alpha * orders (Hu, Koren, Volinsky 2008). Ratings: the residuals of the user
    and item effects of `bias` (Zhou et al. 2008). In both, the penalty of a user is regularization * the number of their
    pairs.

    No warm start: Spark's ALS accepts no initial factors.
    """

    tasks = frozenset({TaskKind.RECOMMENDATION, TaskKind.PROPENSITY, TaskKind.RATING})
    kind: Literal["als"] = "als"
    served = AlsModel
    renamed: ClassVar[Mapping[str, str]] = {"half_life_days": "popular_half_life_days"}
    spark_tasks: ClassVar[frozenset[TaskKind]] = frozenset({TaskKind.RATING})
    spark_params: ClassVar[Mapping[str, str]] = {"factors": "rank", "iterations": "maxIter", "regularization": "regParam"}
    factors: int = Field(32, ge=1, le=512)
    iterations: int = Field(10, ge=1, le=100)
    regularization: float = Field(0.1, gt=0.0, le=1e3)
    alpha: float = Field(20.0, gt=0.0, le=1e4, description="confidence of one order; ratings do without")
    item_damping: float = Field(10.0, ge=0.0, le=1e6, description="ratings only, as in bias")
    user_damping: float = Field(10.0, ge=0.0, le=1e6, description="ratings only, as in bias")
    popular_half_life_days: float = Field(28.0, gt=0.0, le=3650.0, description="of the popular list, for users without pairs")

    def fit(self, train: Examples, history: Examples, seed: int) -> ServedModel:
        draft, pairs, weights = self._prepare(history)
        implicit = draft.scale is None
        items, factors = self.factorise(pairs, weights, implicit=implicit, seed=seed)
        model = AlsModel(items, factors, draft.penalties, draft.scale, 0.0)
        if not implicit or history.features is None:
            return model
        return AlsModel(items, factors, draft.penalties, None, model.typical_best(history.features))

    def spark_problem(self, history: Examples, seed: int) -> SparkProblem:
        """For ratings: Spark's tuners hold out and predict the residuals of the effects."""
        draft, pairs, weights = self._prepare(history)
        als = self._estimator(implicit=draft.scale is None, seed=seed).setColdStartStrategy("drop")
        return SparkProblem(als, _frame(pairs, weights)[1], als.getRatingCol())

    def _prepare(self, history: Examples) -> tuple[AlsModel, pd.DataFrame, Floats]:
        """A model without factors, the pairs to learn from, and the weight of each (pairs,)."""
        features = history.features
        if features is None or features.pairs.empty:
            raise NotEnoughData("als needs pairs of a user and an item; got none")
        explicit = bool(features.pairs["pair_rating"].notna().any())
        dampings = self.item_damping, self.user_damping
        penalties = Penalties(self.regularization, self.alpha, *dampings, self.popular_half_life_days)
        scale = measure_scale(history) if explicit else None
        draft = AlsModel(np.empty(0, object), np.empty((0, self.factors)), penalties, scale, 0.0)
        weights = draft.weights(features)
        kept = np.isfinite(weights) if explicit else weights > 0
        return draft, features.sorted_pairs[kept], weights[kept]

    def factorise(self, pairs: pd.DataFrame, weights: Floats, *, implicit: bool, seed: int) -> tuple[NDArray[Any], Floats]:
        names, ratings = _frame(pairs, weights)
        learned = self._estimator(implicit=implicit, seed=seed).fit(ratings).itemFactors.toPandas().sort_values("id")
        factors = np.array(learned["features"].tolist(), dtype=np.float64).reshape(len(learned), self.factors)
        return names[learned["id"].to_numpy()], factors

    def _estimator(self, *, implicit: bool, seed: int) -> Any:
        from pyspark.ml.recommendation import ALS

        from tasks.io.spark import make_estimator

        return make_estimator(
            ALS,
            rank=self.factors,
            maxIter=self.iterations,
            regParam=self.regularization,
            alpha=self.alpha,
            implicitPrefs=implicit,
            numUserBlocks=BLOCKS,
            numItemBlocks=BLOCKS,
            seed=seed,
            userCol="user",
            itemCol="item",
            ratingCol="rating",
        )


def _paths(is_folded: NDArray[np.bool_]) -> list[AnswerPath]:
    return [AnswerPath.MODEL if folded else AnswerPath.POPULAR for folded in is_folded.tolist()]

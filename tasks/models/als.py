"""ALS: matrix factorisation by Spark; the served form keeps the items' factors and folds every user in as they are now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks import columns as c
from tasks.contracts import TaskKind
from tasks.errors import NotEnoughData
from tasks.models.base import Examples, FeatureTables, Floats, ModelSpec, ServedModel
from tasks.models.bias import Effects, Scale, item_effects, measure_effects, measure_scale
from tasks.models.popularity import POPULAR, recent_buyers
from tasks.models.prepared import PerFeatures

if TYPE_CHECKING:
    import pandas as pd

BLOCKS = 2  # of more than two, Spark adds the parts of Y'Y in the order in which they arrive, and the last bits differ


class Als(ModelSpec):
    """Alternating least squares (Spark MLlib).

    Purchases: preference 1 with confidence 1 + alpha * orders (Hu, Koren, Volinsky 2008). Ratings: what the user and item
    effects of `bias` leave over (Zhou et al. 2008). In both, a user's penalty is regularization * the number of their pairs.
    """

    tasks = frozenset({TaskKind.RECOMMENDATION, TaskKind.PROPENSITY, TaskKind.RATING})
    kind: Literal["als"] = "als"
    factors: int = Field(32, ge=1, le=512)
    iterations: int = Field(10, ge=1, le=100)
    regularization: float = Field(0.1, gt=0.0, le=1e3)
    alpha: float = Field(20.0, gt=0.0, le=1e4, description="confidence of one order; ratings do without")
    item_damping: float = Field(10.0, ge=0.0, le=1e6, description="ratings only, as in bias")
    user_damping: float = Field(10.0, ge=0.0, le=1e6, description="ratings only, as in bias")
    half_life_days: float = Field(28.0, gt=0.0, le=3650.0, description="of the popularity that users without pairs get")

    def fit(self, train: Examples, history: Examples, seed: int) -> ServedModel:
        features = history.features
        if features is None or features.pairs.empty:
            raise NotEnoughData("als needs pairs of a user and an item; got none")
        explicit = bool(features.pairs["pair_rating"].notna().any())
        penalties = Penalties(self.regularization, self.alpha, self.item_damping, self.user_damping, self.half_life_days)
        scale = measure_scale(history) if explicit else None
        draft = AlsModel(np.empty(0, object), np.empty((0, self.factors)), penalties, scale, 0.0)
        pairs = features.sorted_pairs
        weights = draft.weights(features)
        kept = np.isfinite(weights) if explicit else weights > 0
        items, factors = self._factorise(pairs[kept], weights[kept], implicit=not explicit, seed=seed)
        model = AlsModel(items, factors, penalties, scale, 0.0)
        return model if explicit else AlsModel(items, factors, penalties, scale, model.typical_best(features))

    def _factorise(self, pairs: pd.DataFrame, weights: Floats, *, implicit: bool, seed: int) -> tuple[NDArray[Any], Floats]:
        import pandas as pd
        from pyspark.ml.recommendation import ALS

        from tasks.spark import get_spark

        users = np.unique(pairs[c.USER_ID].to_numpy(dtype=object).astype(str), return_inverse=True)[1]
        names, items = np.unique(pairs[c.ITEM_ID].to_numpy(dtype=object).astype(str), return_inverse=True)
        if not len(names):
            raise NotEnoughData("als needs pairs with an order or a rating; got none")
        frame = pd.DataFrame({"user": users.astype("int32"), "item": items.astype("int32"), "rating": weights})
        ratings = get_spark().createDataFrame(frame).repartition(1).sortWithinPartitions("user", "item")
        als = ALS(
            rank=self.factors, maxIter=self.iterations, regParam=self.regularization, alpha=self.alpha, implicitPrefs=implicit,
            numUserBlocks=BLOCKS, numItemBlocks=BLOCKS, seed=seed, userCol="user", itemCol="item", ratingCol="rating",
        )  # fmt: skip
        learned = als.fit(ratings).itemFactors.toPandas().sort_values("id")
        factors = np.array(learned["features"].tolist(), dtype=np.float64).reshape(len(learned), self.factors)
        return names[learned["id"].to_numpy()], factors


@dataclass(frozen=True)
class Penalties:
    """The settings of the spec that folding in needs again."""

    regularization: float
    alpha: float
    item_damping: float
    user_damping: float
    half_life_days: float


@dataclass(frozen=True)
class _Ready:
    """What one set of features gives, once."""

    factors: Floats  # (item_ids, factors), zeros where the model does not know the item
    is_known: NDArray[np.bool_]
    weights: Floats  # of sorted_pairs; NaN where the pair teaches nothing
    popular: Floats
    effects: Effects | None


class AlsModel(ServedModel):
    """Item factors. A user's vector is solved from their pairs in the features, in closed form, as Spark's last step does."""

    kind = "als"

    def __init__(
        self, items: NDArray[Any], factors: Floats, penalties: Penalties, scale: Scale | None, typical_best: float
    ) -> None:
        self.items, self.factors, self.penalties, self.scale = items, factors, penalties, scale
        self._typical_best = typical_best
        self._gram = factors.T @ factors
        self._ready = PerFeatures(self._prepare)

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        scale = vars(self.scale) if self.scale else None
        settings = {"penalties": vars(self.penalties), "scale": scale, "typical_best": self._typical_best}
        return settings, {"items": self.items.astype(np.str_), "factors": self.factors}

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        scale = Scale(**settings["scale"]) if settings["scale"] else None
        penalties = Penalties(**settings["penalties"])
        return cls(arrays["items"].astype(object), arrays["factors"], penalties, scale, settings["typical_best"])

    def score_items(self, user_id: str, features: FeatureTables) -> tuple[Floats, str]:
        ready = self._ready(features)
        vector = self.fold_in(user_id, features)
        if ready.effects is not None and self.scale is not None:
            base = self.scale.mean + ready.effects.item + ready.effects.user.get(user_id, 0.0)
            return (base, POPULAR) if vector is None else (base + ready.factors @ vector, "model")
        if vector is None:
            return ready.popular, POPULAR
        return np.where(ready.is_known, ready.factors @ vector, -np.inf), "model"

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

    def item_vectors(self, features: FeatureTables) -> tuple[Floats, NDArray[np.bool_]]:
        """Vectors of all `item_ids`, whose products with a `user_vector` are the scores, and which of them have a score."""
        ready = self._ready(features)
        if ready.effects is None:
            return ready.factors, ready.is_known
        return np.column_stack([ready.factors, ready.effects.item]), np.ones(len(ready.factors), dtype=np.bool_)

    def user_vector(
        self, user_id: str, features: FeatureTables, recent: Mapping[int, float] | None = None
    ) -> tuple[Floats, float] | None:
        """A user's vector for `item_vectors`, and what is added to each product; None where there is nothing to fold in."""
        ready = self._ready(features)
        vector = self.fold_in(user_id, features, recent)
        if vector is None or ready.effects is None or self.scale is None:
            return None if vector is None else (vector, 0.0)
        return np.r_[vector, 1.0], self.scale.mean + ready.effects.user.get(user_id, 0.0)

    def fold_in(self, user_id: str, features: FeatureTables, recent: Mapping[int, float] | None = None) -> Floats | None:
        """The vector of a user from their pairs as they are now; None if the model knows none of their items.

        Purchases: (Y'Y + Y'(C - I)Y + n * regularization * I)^-1 Y'C p; ratings: (Y'Y + n * regularization * I)^-1 Y'r with
        Y the factors of the rated items.

        Parameters
        ----------
        recent : place of an item -> its orders, or its rating, since the features were made. Orders add to those of the
            features; a rating takes the place of an older one.
        """
        ready = self._ready(features)
        rows = features.pairs_of(user_id)
        place = features.sorted_pairs["item_position"].to_numpy()[rows]
        weights = ready.weights[rows]
        if recent:
            place, weights = self._add_recent(user_id, place, weights, recent, ready)
        taught = ready.is_known[place] & np.isfinite(weights)
        if self.scale is None:
            taught &= weights > 0
        if not taught.any():
            return None
        mine, weights = ready.factors[place[taught]], weights[taught]
        ridge = self.penalties.regularization * len(weights) * np.eye(mine.shape[1])
        if self.scale is None:
            confidence = self.penalties.alpha * weights
            gram = self._gram + (mine.T * confidence) @ mine
            return np.asarray(np.linalg.solve(gram + ridge, mine.T @ (1.0 + confidence)))
        return np.asarray(np.linalg.solve(mine.T @ mine + ridge, mine.T @ weights))

    def _add_recent(
        self, user_id: str, place: NDArray[np.int64], weights: Floats, recent: Mapping[int, float], ready: _Ready
    ) -> tuple[NDArray[np.int64], Floats]:
        new = np.fromiter(recent.keys(), np.int64, len(recent))
        said = np.fromiter(recent.values(), np.float64, len(recent))
        if self.scale is not None and ready.effects is not None:
            said = said - self.scale.mean - ready.effects.item[new] - ready.effects.user.get(user_id, 0.0)
        else:
            before = dict(zip(place.tolist(), np.nan_to_num(weights).tolist(), strict=True))
            said = said + [before.get(one, 0.0) for one in new.tolist()]
        kept = ~np.isin(place, new)
        return np.r_[place[kept], new], np.r_[weights[kept], said]

    def weights(self, features: FeatureTables) -> Floats:
        """What each of `sorted_pairs` teaches: its orders, or what the effects leave of its rating."""
        if self.scale is None:
            orders = features.sorted_pairs["pair_orders"].to_numpy(dtype=np.float64, na_value=0.0)
            return np.asarray(np.nan_to_num(orders))
        residual: Floats = self._measure(features).residual
        return residual

    def typical_best(self, features: FeatureTables) -> float:
        """The best score that the average user gives: what the most popular item's score is scaled to.

        Without it, the counts of popularity would go through the calibration of preferences, and all seem certain.
        """
        vectors = [self.fold_in(user, features) for user in sorted(features.user_row)]
        found = [vector for vector in vectors if vector is not None]
        return float((self.factors @ np.mean(found, axis=0)).max()) if found else 0.0

    def _measure(self, features: FeatureTables) -> Effects:
        mean = self.scale.mean if self.scale else 0.0
        return measure_effects(features, mean, self.penalties.item_damping, self.penalties.user_damping)

    def _prepare(self, features: FeatureTables) -> _Ready:
        place = np.array([features.item_position.get(str(item), -1) for item in self.items], dtype=np.intp)
        known = place >= 0
        factors = np.zeros((len(features.item_ids), self.factors.shape[1]))
        factors[place[known]] = self.factors[known]
        is_known = np.zeros(len(factors), dtype=np.bool_)
        is_known[place[known]] = True
        if self.scale is not None:
            effects = self._measure(features)
            return _Ready(factors, is_known, effects.residual, effects.item, effects)
        popular = recent_buyers(features.sorted_items, self.penalties.half_life_days)
        peak = popular.max(initial=0.0)
        return _Ready(factors, is_known, self.weights(features), popular * (self._typical_best / peak if peak else 1.0), None)

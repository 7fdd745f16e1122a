"""Bias: the mean rating plus effects of user and item. The baseline of ratings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.contracts.base import TaskKind
from tasks.contracts.predictions import AnswerPath
from tasks.errors import NotEnoughData
from tasks.models.arrays import number_texts
from tasks.models.base import Examples, FeatureTables, ModelSpec, ServedModel
from tasks.models.prepared import PerFeatures

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Scale:
    """The mean, lowest and highest training rating. Predictions stay within."""

    mean: float
    low: float
    high: float


def measure_scale(history: Examples) -> Scale:
    """The scale of the ratings in the pairs.

    Raises
    ------
    NotEnoughData : no pair has a rating.
    """
    pairs = history.features.pairs if history.features else None
    ratings = np.sort(pairs["pair_rating"].dropna().to_numpy(dtype=np.float64)) if pairs is not None else np.empty(0)
    if not len(ratings):
        raise NotEnoughData("a model of ratings needs pairs with a pair_rating; got none")
    return Scale(float(ratings.mean()), float(ratings[0]), float(ratings[-1]))


@dataclass(frozen=True)
class Effects:
    """How each item and user differs from the mean. `residual`: the rest of each pair's rating, NaN without a rating."""

    item: Floats  # in the order of features.item_ids
    user: dict[str, float]
    residual: Floats  # in the order of features.sorted_pairs


def measure_effects(features: FeatureTables, mean: float, item_damping: float, user_damping: float) -> Effects:
    """Damped effects of all items, and of all users given those."""
    pairs = features.sorted_pairs
    place = pairs["item_position"].to_numpy()
    residual = pairs["pair_rating"].to_numpy(dtype=np.float64, na_value=np.nan) - mean
    item = _damped(residual, place, len(features.item_ids), item_damping)
    residual = residual - item[place]
    names, user_place = number_texts(pairs[c.USER_ID])
    user = _damped(residual, user_place, len(names), user_damping)
    return Effects(item, dict(zip(names.tolist(), user.tolist(), strict=True)), residual - user[user_place])


def _damped(residual: Floats, place: NDArray[np.int64], size: int, damping: float) -> Floats:
    known = np.isfinite(residual)
    total = np.bincount(place[known], residual[known], size)
    weight = np.bincount(place[known], minlength=size) + damping
    return np.asarray(np.divide(total, weight, out=np.zeros(size), where=weight > 0))


class BiasModel(ServedModel):
    """Measures the effects in the current features, so that new ratings count immediately."""

    kind = "bias"

    def __init__(self, scale: Scale, item_damping: float, user_damping: float) -> None:
        self.scale, self.item_damping, self.user_damping = scale, item_damping, user_damping
        self.effects = PerFeatures(lambda features: measure_effects(features, scale.mean, item_damping, user_damping))

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        settings = {**vars(self.scale), "item_damping": self.item_damping, "user_damping": self.user_damping}
        return settings, {}

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        scale = Scale(settings["mean"], settings["low"], settings["high"])
        return cls(scale, settings["item_damping"], settings["user_damping"])

    def score_items(self, user_id: str, features: FeatureTables) -> tuple[Floats, AnswerPath]:
        """Not clipped to the scale, because the best items would tie."""
        effects = self.effects(features)
        known = user_id in effects.user
        path = AnswerPath.MODEL if known else AnswerPath.POPULAR
        return self.scale.mean + effects.item + effects.user.get(user_id, 0.0), path

    def predict_ratings(self, pairs: pd.DataFrame, features: FeatureTables) -> Floats:
        effects = self.effects(features)
        user = pairs[c.USER_ID].map(effects.user).to_numpy(dtype=np.float64, na_value=0.0)
        rating = self.scale.mean + np.nan_to_num(user) + item_effects(pairs, features, effects.item)
        return np.clip(rating, self.scale.low, self.scale.high)


class Bias(ModelSpec):
    """Mean rating plus item effect plus user effect, in closed form.

    Each effect is shrunk to zero as if it had `damping` more ratings without an effect. Koren, Bell, Volinsky (2009), Matrix
    factorization techniques for recommender systems, section "Adding biases".
    """

    tasks = frozenset({TaskKind.RATING})
    kind: Literal["bias"] = "bias"
    served = BiasModel
    item_damping: float = Field(10.0, ge=0.0, le=1e6)
    user_damping: float = Field(10.0, ge=0.0, le=1e6)

    def fit(self, train: Examples, history: Examples, seed: int) -> ServedModel:
        return BiasModel(measure_scale(history), self.item_damping, self.user_damping)


def item_effects(pairs: pd.DataFrame, features: FeatureTables, effects: Floats) -> Floats:
    """The effect of each pair's item; 0 for an item without features."""
    place = pairs[c.ITEM_ID].map(features.item_position).to_numpy(dtype=np.float64, na_value=np.nan)
    known = np.isfinite(place)
    found = np.zeros(len(pairs))
    found[known] = effects[place[known].astype(np.intp)]
    return found

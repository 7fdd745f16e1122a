"""Rating regression: ridge regression on the means and counts of the user and of the item."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.contracts.base import TaskKind
from tasks.contracts.predictions import AnswerPath
from tasks.errors import NotEnoughData
from tasks.models.base import Examples, FeatureTables, ModelSpec, ServedModel
from tasks.models.bias import Scale, measure_scale
from tasks.models.prepared import PerFeatures, read_numbers

if TYPE_CHECKING:
    import pandas as pd


class RatingRegressionModel(ServedModel):
    """Linear in the user's and the item's terms, so that each is one number, made once for each set of features."""

    kind = "rating_regression"

    def __init__(self, scale: Scale, damping: float, weights: Floats, intercept: float) -> None:
        self.scale, self.damping, self.weights, self.intercept = scale, damping, weights, intercept
        self._terms = PerFeatures(self._measure)

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        settings = {"scale": vars(self.scale), "damping": self.damping, "intercept": self.intercept}
        return settings, {"weights": self.weights}

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        return cls(Scale(**settings["scale"]), settings["damping"], arrays["weights"], settings["intercept"])

    def score_items(self, user_id: str, features: FeatureTables) -> tuple[Floats, AnswerPath]:
        """Not clipped to the scale, because the best items would tie."""
        users, items, unknown = self._terms(features)
        row = features.user_row.get(user_id)
        user = unknown[0] if row is None else users[row]
        return np.asarray(self.intercept + user + items), AnswerPath.POPULAR if row is None else AnswerPath.MODEL

    def predict_ratings(self, pairs: pd.DataFrame, features: FeatureTables) -> Floats:
        users, items, unknown = self._terms(features)
        user = np.r_[users, unknown[0]][_places(pairs[c.USER_ID], features.user_row)]
        item = np.r_[items, unknown[1]][_places(pairs[c.ITEM_ID], features.item_position)]
        return np.asarray(np.clip(self.intercept + user + item, self.scale.low, self.scale.high))

    def stack(self, pairs: pd.DataFrame, features: FeatureTables) -> Floats:
        """The values of pairs (rows, 8), unknown users and items at the global mean."""
        user = self._side(features.users, "user")[_places(pairs[c.USER_ID], features.user_row)]
        item = self._side(features.sorted_items, "item")[_places(pairs[c.ITEM_ID], features.item_position)]
        return np.hstack([user, item])

    def _side(self, table: pd.DataFrame, side: str) -> Floats:
        """The four values of each row of a table, and last those of one that is not in it."""
        names = (f"{side}_mean_rating", f"{side}_rating_count")
        mean, count = read_numbers(table, names, "rating_regression").T
        count = np.r_[np.nan_to_num(count), 0.0]
        total = np.r_[np.nan_to_num(mean), 0.0] * count
        weight = count + self.damping
        departure = np.divide(total - count * self.scale.mean, weight, out=np.zeros(len(count)), where=weight > 0)
        return np.column_stack([departure, np.log1p(count), departure * np.log1p(count), count > 0])

    def _measure(self, features: FeatureTables) -> tuple[Floats, Floats, Floats]:
        users = self._side(features.users, "user") @ self.weights[:4]
        items = self._side(features.sorted_items, "item") @ self.weights[4:]
        return users[:-1], items[:-1], np.array([users[-1], items[-1]])


class RatingRegression(ModelSpec):
    """Ridge regression on means and counts of user and item, by scikit-learn.

    Learns from the label window of `train` how reliable the means of user and item are. Features of each of the two: its mean
    shrunk to the global one as by `damping` ratings, log(1 + count), the product of both, and whether it is known.
    """

    tasks = frozenset({TaskKind.RATING})
    kind: Literal["rating_regression"] = "rating_regression"
    served = RatingRegressionModel
    regularization: float = Field(1.0, gt=0.0, le=1e6)
    damping: float = Field(5.0, ge=0.0, le=1e6)

    def fit(self, train: Examples, history: Examples, seed: int) -> ServedModel:
        from sklearn.linear_model import Ridge
        from threadpoolctl import threadpool_limits

        if train.features is None or train.labels is None or train.labels.empty:
            raise NotEnoughData("rating_regression needs features, and labels that followed; got none")
        labels = train.labels.sort_values([c.USER_ID, c.ITEM_ID], ignore_index=True)
        ratings = labels[c.LABEL].to_numpy(dtype=np.float64)
        scale = measure_scale(train)
        draft = RatingRegressionModel(scale, self.damping, np.zeros(8), 0.0)
        values = draft.stack(labels, train.features)
        mean, spread = values.mean(axis=0), values.std(axis=0)
        spread[spread < 1e-12] = 1.0
        with threadpool_limits(1):  # sums in one order, for the same bits
            regression = Ridge(alpha=self.regularization).fit((values - mean) / spread, ratings)
        weights = regression.coef_ / spread
        low, high = min(scale.low, float(ratings.min())), max(scale.high, float(ratings.max()))
        intercept = float(regression.intercept_ - weights @ mean)
        return RatingRegressionModel(Scale(scale.mean, low, high), self.damping, weights, intercept)


def _places(keys: pd.Series, place: dict[str, int]) -> NDArray[np.intp]:
    """The place of each key, -1 (the last row) for one that is unknown."""
    return np.fromiter((place.get(key, -1) for key in keys), np.intp, len(keys))

"""Propensity regression: logistic regression on features of user, item and pair."""

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
from tasks.models.base import Examples, FeatureTables, ModelSpec, ServedModel, WarmStart
from tasks.models.popularity import recent_buyers
from tasks.models.prepared import PerFeatures, read_numbers

if TYPE_CHECKING:
    import pandas as pd

FADE_DAYS = 30.0  # days ago -> 1 / (1 + days / 30): yesterday 0.97, a month 0.5, never 0
HALF_LIFE_DAYS = 28.0  # of the popularity that picks the candidates


@dataclass(frozen=True)
class Design:
    """The feature columns, in the order of the weights: items', then users', then pairs', then whether the two ever met."""

    items: tuple[str, ...]
    users: tuple[str, ...]
    pairs: tuple[str, ...]

    @classmethod
    def of(cls, features: FeatureTables) -> Design:
        keys = (c.USER_ID, c.ITEM_ID, c.SEGMENT, c.ITEM_TEXT)
        tables = (features.items, features.users, features.pairs)
        return cls(*(tuple(str(name) for name in table.columns if name not in keys) for table in tables))

    @property
    def bounds(self) -> tuple[int, int]:
        """Where the users' and the pairs' weights begin."""
        return len(self.items), len(self.items) + len(self.users)

    def item_values(self, features: FeatureTables) -> Floats:
        return _transform(read_numbers(features.sorted_items, self.items, "propensity_regression"), self.items)

    def user_values(self, features: FeatureTables) -> Floats:
        return _transform(read_numbers(features.users, self.users, "propensity_regression"), self.users)

    def pair_values(self, features: FeatureTables) -> Floats:
        values = _transform(read_numbers(features.sorted_pairs, self.pairs, "propensity_regression"), self.pairs)
        return np.column_stack([values, np.ones(len(values))])

    def stack(self, features: FeatureTables, users: NDArray[np.object_], items: NDArray[np.intp]) -> Floats:
        """The values of candidates (rows, weights); zeros where a user or a pair is unknown."""
        import pandas as pd

        user_rows = pd.Series(users).map(features.user_row).fillna(-1).to_numpy(np.intp)
        size = len(features.item_ids)
        order = pd.Series(features.user_row, dtype=np.int64)
        met = features.sorted_pairs[c.USER_ID].map(order).to_numpy(np.int64) * size
        met += features.sorted_pairs["item_position"].to_numpy()
        pair_rows = pd.Index(met).get_indexer(pd.Index(np.where(user_rows >= 0, user_rows * size + items, -1)))
        parts = [_rows(self.user_values(features), user_rows), _rows(self.pair_values(features), pair_rows)]
        return np.hstack([self.item_values(features)[items], *parts])


def _rows(values: Floats, places: NDArray[Any]) -> Floats:
    """Rows at places, zeros for -1."""
    padded: Floats = np.vstack([values, np.zeros((1, values.shape[1]))])
    return np.asarray(padded[places])


def _transform(values: Floats, names: tuple[str, ...]) -> Floats:
    """Counts and amounts -> log(1 + x), ages -> fading with the days; missing -> 0."""
    is_age = np.array([name.endswith(("_recency_days", "_age_days", "_tenure_days")) for name in names], dtype=np.bool_)
    positive = np.maximum(np.nan_to_num(values, posinf=0.0, neginf=0.0), 0.0)
    faded = np.where(np.isfinite(values), 1.0 / (1.0 + positive / FADE_DAYS), 0.0)
    return np.asarray(np.where(is_age, faded, np.log1p(positive)), dtype=np.float64)


class PropensityRegressionModel(ServedModel):
    """Scores of all items are one vector, computed once for a set of features; a user adds terms for the items they met.

    weights : (columns,), in the order of `Design`.
    """

    kind = "propensity_regression"

    def __init__(self, design: Design, weights: Floats, intercept: float) -> None:
        self.design, self.weights, self.intercept = design, weights, intercept
        self._terms = PerFeatures(self._measure)

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        settings = {name: list(names) for name, names in vars(self.design).items()}
        return {"design": settings, "intercept": self.intercept}, {"weights": self.weights}

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        design = Design(**{name: tuple(names) for name, names in settings["design"].items()})
        return cls(design, arrays["weights"], float(settings["intercept"]))

    def score_items(self, user_id: str, features: FeatureTables) -> tuple[Floats, AnswerPath]:
        items, users, pairs, places = self._terms(features)
        row = features.user_row.get(user_id)
        if row is None:
            return items, AnswerPath.POPULAR
        scores = items + users[row]
        mine = features.pairs_of(user_id)
        scores[places[mine]] += pairs[mine]
        return scores, AnswerPath.MODEL

    def _measure(self, features: FeatureTables) -> tuple[Floats, Floats, Floats, NDArray[np.int64]]:
        users, pairs = self.design.bounds
        item_scores = self.intercept + self.design.item_values(features) @ self.weights[:users]
        user_scores = self.design.user_values(features) @ self.weights[users:pairs]
        pair_scores = self.design.pair_values(features) @ self.weights[pairs:]
        return item_scores, user_scores, pair_scores, features.sorted_pairs["item_position"].to_numpy()


class PropensityRegression(WarmStart, ModelSpec):
    """Logistic regression on features of user, item and pair, by scikit-learn.

    Learns from the label window of `train` which candidates were bought. The candidates of a user are the items that they
    bought in it, all items that they ever met, the most popular items, and seeded random others. A random candidate weighs as
    much as the items that it represents. Without the weights, an item that is neither met nor popular would seem to be bought
    often, because bought items are always candidates. Counts and amounts enter as log(1 + x), ages as 1 / (1 + days / 30);
    all are standardised.
    """

    tasks = frozenset({TaskKind.RECOMMENDATION, TaskKind.PROPENSITY})
    kind: Literal["propensity_regression"] = "propensity_regression"
    served = PropensityRegressionModel
    regularization: float = Field(1.0, gt=0.0, le=1e6, description="the inverse of scikit-learn's C")
    popular_items: int = Field(50, ge=0, le=10_000, description="candidates of every user")
    random_items: int = Field(20, ge=1, le=10_000, description="random candidates of every user")
    max_users: int = Field(4000, ge=10, le=1_000_000, description="learn from a seeded sample of no more users")

    def warm_start_problem(self, champion: ServedModel, train: Examples, history: Examples) -> str:
        if not isinstance(champion, PropensityRegressionModel) or train.features is None:
            return "the champion is not a propensity regression"
        return "" if champion.design == Design.of(train.features) else "the champion has other features"

    def fit_from(self, champion: ServedModel, train: Examples, history: Examples, seed: int) -> ServedModel:
        """To the same optimum in fewer iterations, within scikit-learn's tolerance."""
        return self._fit(train, seed, champion)

    def fit(self, train: Examples, history: Examples, seed: int) -> ServedModel:
        return self._fit(train, seed, None)

    def _fit(self, train: Examples, seed: int, champion: ServedModel | None) -> ServedModel:
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits

        features, labels = train.features, train.labels
        if features is None or labels is None or features.items.empty:
            raise NotEnoughData("propensity_regression needs features with items, and labels; got none")
        design = Design.of(features)
        users, items, target, weight = self._candidates(features, labels, seed)
        if not 0 < target.sum() < len(target):
            raise NotEnoughData(
                f"propensity_regression needs candidates that were bought and others that were not; of {len(target)} "
                f"candidates {int(target.sum())} were bought. Widen split.holdout_days."
            )
        values = design.stack(features, users, items)
        mean = np.average(values, axis=0, weights=weight)
        scale = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weight))
        scale[scale < 1e-12] = 1.0
        with threadpool_limits(1):  # sums in one order, for the same bits
            regression = LogisticRegression(C=1.0 / self.regularization, max_iter=1000, warm_start=champion is not None)
            if isinstance(champion, PropensityRegressionModel):
                regression.coef_ = (champion.weights * scale)[None, :]
                regression.intercept_ = np.array([champion.intercept + champion.weights @ mean])
            regression.fit((values - mean) / scale, target, sample_weight=weight)
        weights = regression.coef_[0] / scale
        return PropensityRegressionModel(design, weights, float(regression.intercept_[0] - weights @ mean))

    def _candidates(
        self, features: FeatureTables, labels: pd.DataFrame, seed: int
    ) -> tuple[NDArray[np.object_], NDArray[np.intp], NDArray[np.int64], Floats]:
        """User, place of the item, whether it was bought, and weight: one row a candidate."""
        known = labels[labels[c.ITEM_ID].isin(features.item_position)]
        bought = {str(user): set(group[c.ITEM_ID].map(features.item_position)) for user, group in known.groupby(c.USER_ID)}
        users = sorted(set(features.user_row) | set(bought))
        random = np.random.default_rng(seed)
        if len(users) > self.max_users:
            users = [users[place] for place in np.sort(random.choice(len(users), self.max_users, replace=False))]
        popular = np.argsort(-recent_buyers(features.sorted_items, HALF_LIFE_DAYS), kind="stable")[: self.popular_items]
        met = features.sorted_pairs["item_position"].to_numpy()
        names, places, targets, weights = [], [], [], []
        for user in users:
            positive = bought.get(user, set())
            certain = np.unique(np.r_[met[features.pairs_of(user)], popular, np.array(sorted(positive), dtype=np.int64)])
            drawn = random.integers(0, len(features.item_ids), self.random_items)
            others = np.setdiff1d(drawn, certain)
            mine = np.r_[certain, others]
            names.append(np.full(len(mine), user, dtype=object))
            places.append(mine)
            targets.append(np.isin(mine, list(positive)))
            stands_for = (len(features.item_ids) - len(certain)) / max(len(others), 1)
            weights.append(np.r_[np.ones(len(certain)), np.full(len(others), stands_for)])
        if not users:
            raise NotEnoughData("propensity_regression needs at least one user; got none")
        target = np.concatenate(targets).astype(np.int64)
        return np.concatenate(names), np.concatenate(places).astype(np.intp), target, np.concatenate(weights)

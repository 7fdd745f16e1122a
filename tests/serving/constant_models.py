"""Models whose scores identify them, so that a mixed answer is detected, and an app factory that serves them."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from fastapi import FastAPI
from numpy.typing import NDArray

from serving.app import create_app
from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.contracts.predictions import AnswerPath
from tasks.models.base import FeatureTables, ServedModel


class Marked(ServedModel):
    """A model with one number, its mark, which every score contains."""

    def __init__(self, mark: float) -> None:
        self.mark = mark

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return {}, {"mark": np.array([self.mark])}

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        return cls(float(arrays["mark"][0]))


class TinyRanker(Marked):
    """Scores are `1000 * mark + item position`, so that the last item is best. Unknown users get the path popular."""

    kind: ClassVar[str] = "tiny_ranker"

    def score_items(self, user_id: str, features: FeatureTables) -> tuple[Floats, AnswerPath]:
        path = AnswerPath.MODEL if user_id in features.user_row else AnswerPath.POPULAR
        return 1000.0 * self.mark + np.arange(len(features.item_ids), dtype=np.float64), path


class TinyRater(TinyRanker):
    """Predicts the mark as every rating."""

    kind: ClassVar[str] = "tiny_rater"

    def predict_ratings(self, pairs: pd.DataFrame, features: FeatureTables) -> Floats:
        return np.full(len(pairs), self.mark)


class TinyClassifier(Marked):
    """The logistic function of the sum of a row and the mark."""

    kind: ClassVar[str] = "tiny_classifier"

    def predict_rows(self, rows: pd.DataFrame) -> Floats:
        sums = rows.to_numpy(dtype=np.float64).sum(axis=1)
        return np.asarray(1.0 / (1.0 + np.exp(-(sums + self.mark))) + 0.0 * sums)  # NaN where the sum is infinite


class NonFiniteRanker(Marked):
    """Has no finite score. Must never be served."""

    kind: ClassVar[str] = "non_finite_ranker"

    def score_items(self, user_id: str, features: FeatureTables) -> tuple[Floats, AnswerPath]:
        return np.full(len(features.item_ids), np.nan), AnswerPath.MODEL


class NonFiniteForOneUser(TinyRanker):
    """Has finite scores for every user except u2. Must never be served."""

    kind: ClassVar[str] = "non_finite_for_one_user"

    def score_items(self, user_id: str, features: FeatureTables) -> tuple[Floats, AnswerPath]:
        scores, path = super().score_items(user_id, features)
        return (np.full(len(scores), np.nan) if user_id == "u2" else scores), path


class FailsAfterSmokeTest(TinyRanker):
    """Passes the smoke test, and then fails for user u1."""

    kind: ClassVar[str] = "fails_after_smoke_test"
    calls = 0

    def score_items(self, user_id: str, features: FeatureTables) -> tuple[Floats, AnswerPath]:
        if user_id == "u1":
            self.calls += 1
            if self.calls > 2:  # the smoke test scores each user twice: by the model and by the ranking
                raise ZeroDivisionError("fails after the smoke test")
        return super().score_items(user_id, features)


KINDS: dict[str, type[ServedModel]] = {
    kind.kind: kind
    for kind in (TinyRanker, TinyRater, TinyClassifier, NonFiniteRanker, NonFiniteForOneUser, FailsAfterSmokeTest)
}


def tables(users: int = 3, items: int = 5, prefix: str = "i") -> dict[str, pd.DataFrame]:
    """Features of `users` users u0, u1, ... and `items` items. The only pair is user u0 and item 0."""
    return {
        c.USERS: pd.DataFrame({c.USER_ID: [f"u{n}" for n in range(users)]}),
        c.ITEMS: pd.DataFrame(
            {c.ITEM_ID: [f"{prefix}{n}" for n in range(items)], "item_buyers_7d": [float(n) for n in range(items)]}
        ),
        c.PAIRS: pd.DataFrame({c.USER_ID: ["u0"], c.ITEM_ID: [f"{prefix}0"]}),
    }


def create_tiny_app() -> FastAPI:
    """The endpoint with the models of this module, for uvicorn --factory."""
    return create_app(kinds=KINDS)

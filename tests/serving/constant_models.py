"""Models whose answers tell who made them, so that a mixed answer cannot hide. Also the app factory of the real process."""

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
    """Holds one number, its mark, that shows in every answer."""

    def __init__(self, mark: float) -> None:
        self.mark = mark

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return {}, {"mark": np.array([self.mark])}

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        return cls(float(arrays["mark"][0]))


class TinyRanker(Marked):
    """Scores are `1000 * mark + place`, so that the last item is best; an unknown user gets the popular path."""

    kind: ClassVar[str] = "tiny_ranker"

    def score_items(self, user_id: str, features: FeatureTables) -> tuple[Floats, AnswerPath]:
        path = AnswerPath.MODEL if user_id in features.user_row else AnswerPath.POPULAR
        return 1000.0 * self.mark + np.arange(len(features.item_ids), dtype=np.float64), path


class TinyRater(TinyRanker):
    """Every rating is the mark."""

    kind: ClassVar[str] = "tiny_rater"

    def predict_ratings(self, pairs: pd.DataFrame, features: FeatureTables) -> Floats:
        return np.full(len(pairs), self.mark)


class TinyClassifier(Marked):
    """The logistic curve of the sum of a row and the mark."""

    kind: ClassVar[str] = "tiny_classifier"

    def predict_rows(self, rows: pd.DataFrame) -> Floats:
        sums = rows.to_numpy(dtype=np.float64).sum(axis=1)
        return np.asarray(1.0 / (1.0 + np.exp(-(sums + self.mark))) + 0.0 * sums)  # NaN where the sum is infinite


class Mute(Marked):
    """Gives no finite score: must never come into service."""

    kind: ClassVar[str] = "mute"

    def score_items(self, user_id: str, features: FeatureTables) -> tuple[Floats, AnswerPath]:
        return np.full(len(features.item_ids), np.nan), AnswerPath.MODEL


class Sulky(TinyRanker):
    """Gives a finite score to everybody but user u2: must never come into service."""

    kind: ClassVar[str] = "sulky"

    def score_items(self, user_id: str, features: FeatureTables) -> tuple[Floats, AnswerPath]:
        scores, path = super().score_items(user_id, features)
        return (np.full(len(scores), np.nan) if user_id == "u2" else scores), path


class Moody(TinyRanker):
    """Passes its first look at everybody, and then fails at user u1."""

    kind: ClassVar[str] = "moody"
    looks = 0

    def score_items(self, user_id: str, features: FeatureTables) -> tuple[Floats, AnswerPath]:
        if user_id == "u1":
            self.looks += 1
            if self.looks > 2:  # by the smoke set: the model itself, and as it will be asked
                raise ZeroDivisionError("not in the mood")
        return super().score_items(user_id, features)


KINDS: dict[str, type[ServedModel]] = {kind.kind: kind for kind in (TinyRanker, TinyRater, TinyClassifier, Mute, Sulky, Moody)}


def tables(users: int = 3, items: int = 5, prefix: str = "i") -> dict[str, pd.DataFrame]:
    """Features of `users` users named u0, u1, ...; user u0 met item 0."""
    return {
        c.USERS: pd.DataFrame({c.USER_ID: [f"u{n}" for n in range(users)]}),
        c.ITEMS: pd.DataFrame(
            {c.ITEM_ID: [f"{prefix}{n}" for n in range(items)], "item_buyers_7d": [float(n) for n in range(items)]}
        ),
        c.PAIRS: pd.DataFrame({c.USER_ID: ["u0"], c.ITEM_ID: [f"{prefix}0"]}),
    }


def create_tiny_app() -> FastAPI:
    """For uvicorn --factory."""
    return create_app(kinds=KINDS)

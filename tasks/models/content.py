"""Content: items similar to those that a user met, by text and attributes, including items without interactions."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.contracts.arrays import Floats
from tasks.contracts.predictions import AnswerPath
from tasks.models.base import Examples, FeatureTables, ServedModel
from tasks.models.histories import HistorySpec, Weighing, read_histories
from tasks.models.popularity import recent_buyers
from tasks.models.prepared import PerFeatures
from tasks.models.text import ItemVectors


class ContentModel(ServedModel):
    """Vectors are built from the current features. Cosines are at most 1, as is the popular list."""

    kind = "content"

    def __init__(self, vectors: ItemVectors, weighing: Weighing) -> None:
        self.vectors, self.weighing = vectors, weighing
        self._ready = PerFeatures(self._prepare)

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        settings, arrays = self.vectors.state()
        return {**settings, "weighing": vars(self.weighing)}, arrays

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        return cls(ItemVectors.from_state(settings, arrays), Weighing.from_json(settings["weighing"]))

    def score_items(self, user_id: str, features: FeatureTables) -> tuple[Floats, AnswerPath]:
        vectors, weights, popular = self._ready(features)
        rows = features.pairs_of(user_id)
        met = features.sorted_pairs["item_position"].to_numpy()[rows]
        profile = weights[rows] @ vectors[met] if met.size else np.zeros(vectors.shape[1])
        length = float(np.linalg.norm(profile))
        return (vectors @ (profile / length), AnswerPath.MODEL) if length > 0 else (popular, AnswerPath.POPULAR)

    def _prepare(self, features: FeatureTables) -> tuple[Floats, Floats, Floats]:
        popular = recent_buyers(features.sorted_items, self.weighing.popular_half_life_days)
        vectors = self.vectors.of(features.sorted_items)
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
        return cosines, self.weighing.of(features), popular / max(float(popular.max(initial=0.0)), 1e-9)


class Content(HistorySpec):
    """Cosine similarity of item text and attributes; scores new items.

    score = cosine of the item's vector and the weighted sum of the vectors that the user met. Text is TF-IDF, reduced to its
    singular vectors.
    """

    kind: Literal["content"] = "content"
    served = ContentModel
    limit = "max_items"
    dimensions: int = Field(100, ge=1, le=2000)
    max_words: int = Field(20_000, ge=1, le=1_000_000)
    max_items: int = Field(500_000, ge=1, description="limit of items; 500,000 with 100 dimensions need 1.5 GB")

    def fit(self, train: Examples, history: Examples, seed: int) -> ServedModel:
        known = read_histories(history, self.weighing, "content")
        return ContentModel(
            ItemVectors.learn(known.features, self.dimensions, self.max_words, self.max_items, seed), self.weighing
        )

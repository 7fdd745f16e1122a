"""Content: items similar to those that a user met, by text and attributes, including items without interactions."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True)
class _Ready:
    """What is computed once for a set of features.

    places : (vectors,), of the items that have a vector, in `item_ids`. row_of : (items,), their rows, -1 for the others.
    vectors : (vectors, dimensions), of length 1 or 0. weights : of sorted_pairs. popular : (items,).
    """

    places: NDArray[np.int64]
    row_of: NDArray[np.int64]
    vectors: Floats
    weights: Floats
    popular: Floats


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
        ready = self._ready(features)
        rows = features.pairs_of(user_id)
        met = ready.row_of[features.sorted_pairs["item_position"].to_numpy()[rows]]
        has_vector = met >= 0
        profile = ready.weights[rows][has_vector] @ ready.vectors[met[has_vector]]
        length = float(np.linalg.norm(profile))
        if length == 0:
            return ready.popular, AnswerPath.POPULAR
        scores = np.full(len(ready.row_of), -np.inf)
        scores[ready.places] = ready.vectors @ (profile / length)
        return scores, AnswerPath.MODEL

    def _prepare(self, features: FeatureTables) -> _Ready:
        popular = recent_buyers(features.sorted_items, self.weighing.popular_half_life_days)
        places = self.vectors.places(features)
        row_of = np.full(len(features.item_ids), -1)
        row_of[places] = np.arange(len(places))
        vectors = self.vectors.of(features.sorted_items.iloc[places])
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
        return _Ready(places, row_of, cosines, self.weighing.of(features), popular / max(float(popular.max(initial=0.0)), 1e-9))


class Content(HistorySpec):
    """Cosine similarity of item text and attributes; scores new items.

    score = cosine of the item's vector and the weighted sum of the vectors that the user met. Text is TF-IDF, reduced to its
    singular vectors. Where more than `max_items` were ever sold, the items on sale (sold in the longest lookback) have vectors,
    and others are not recommended.
    """

    kind: Literal["content"] = "content"
    served = ContentModel
    limit = "max_items"
    dimensions: int = Field(100, ge=1, le=2000)
    max_words: int = Field(20_000, ge=1, le=1_000_000)
    max_items: int = Field(500_000, ge=1, description="limit of items on sale; 500,000 with 100 dimensions need 1.5 GB")

    def fit(self, train: Examples, history: Examples, seed: int) -> ServedModel:
        known = read_histories(history, self.weighing, "content")
        return ContentModel(
            ItemVectors.learn(known.features, self.dimensions, self.max_words, self.max_items, seed), self.weighing
        )

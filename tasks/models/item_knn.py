"""Item-kNN: the most similar items by common users, by the implicit library."""

from __future__ import annotations

import warnings
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.contracts.arrays import Floats
from tasks.errors import NotEnoughData
from tasks.models.base import Examples, ServedModel
from tasks.models.histories import Histories, HistoryModel, HistorySpec, Weighing, read_histories


class ItemKnnModel(HistoryModel):
    """The neighbours of item i are `places[starts[i]:starts[i + 1]]`, with the similarities `nearness` of the same slice.

    starts : (items + 1,). places and nearness : (neighbours of all items,).
    """

    kind = "item_knn"

    def __init__(
        self, items: NDArray[Any], weighing: Weighing, starts: NDArray[np.int64], places: NDArray[np.int32], nearness: Floats
    ) -> None:
        super().__init__(items, weighing)
        self.starts, self.places, self.nearness = starts, places, nearness

    def score_history(self, user_id: str, places: NDArray[np.int64], weights: Floats) -> Floats:
        first, count = self.starts[places], self.starts[places + 1] - self.starts[places]
        entry = np.repeat(first - np.r_[0, np.cumsum(count)[:-1]], count) + np.arange(count.sum())
        scores = np.bincount(self.places[entry], self.nearness[entry] * np.repeat(weights, count), len(self.items))
        return np.asarray(scores, dtype=np.float64)

    def own_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return {}, {"starts": self.starts, "places": self.places, "nearness": self.nearness}

    @classmethod
    def from_own_state(
        cls, items: NDArray[Any], weighing: Weighing, settings: dict[str, Any], arrays: dict[str, NDArray[Any]]
    ) -> Self:
        return cls(items, weighing, arrays["starts"], arrays["places"], arrays["nearness"])


class ItemKnn(HistorySpec):
    """Nearest neighbours of items by common users, by the implicit library.

    score of an item = sum over the items that the user met of weight * similarity, each item keeping its `neighbours`
    nearest. Similarity: the cosine of the items' columns of users, unweighted, or weighted by TF-IDF or BM25, in which users
    who met many items count less. Sarwar and others (2001), Item-based collaborative filtering. An item is its own neighbour.

    Each user's items are compared with each other: the cost grows with the square of a user's items, and `max_products`
    limits it. Where the whole history exceeds it, only items on sale (sold in the longest lookback) count.
    """

    kind: Literal["item_knn"] = "item_knn"
    served = ItemKnnModel
    limit = "max_products"
    similarity: Literal["cosine", "tfidf", "bm25"] = "cosine"
    neighbours: int = Field(100, ge=1, le=10_000)
    max_products: int = Field(20_000_000_000, ge=1, description="limit of products; the default takes a few minutes")

    def fit(self, train: Examples, history: Examples, seed: int) -> ServedModel:
        from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender

        known = read_histories(history, self.weighing, "item_knn")
        products = _count_products(known)
        if products > self.max_products:
            known = read_histories(history, self.weighing, "item_knn", only_on_sale=True)
            products = _count_products(known)
        if products > self.max_products:
            raise NotEnoughData(
                f"item_knn compares the items of each user with each other: {len(known.items)} items on sale of "
                f"{len(known.users)} users have {products:.3g} products, and max_products allows {self.max_products:.3g}. "
                "Raise max_products to allow more time, or use ials or bpr."
            )
        make = {"cosine": CosineRecommender, "tfidf": TFIDFRecommender, "bm25": BM25Recommender}[self.similarity]
        learner = make(K=self.neighbours)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the library warns of a matrix format that it passes to itself
            learner.fit(known.matrix, show_progress=False)
        found = learner.similarity.tocsr()
        found.sort_indices()
        nearness = np.nan_to_num(found.data)  # an item whose users have no weight has no cosine
        starts, places = found.indptr.astype(np.int64), found.indices.astype(np.int32)
        return ItemKnnModel(known.items, self.weighing, starts, places, nearness).measure_scale(known)


def _count_products(known: Histories) -> int:
    return int((np.diff(known.starts) ** 2).sum())

"""Top k of the product of a user's vector with all item vectors: exact for small catalogues, 4-bit codes for large ones."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.models.base import FeatureTables, ServedModel, top_places

log = logging.getLogger("uvicorn.error.titleholder")

EXACT_UP_TO = 5_000  # items: above, the exact product takes longer than the index with its overhead
MIN_RECALL = 0.99
PROBE_USERS = 64
CACHED_USERS = 10_000
TRAINING_ITEMS = 20_000  # items from which the codes are learned
WIDENINGS = (8, 20, 80)  # candidates per item of the answer, tried in this order

UserVector = tuple[Floats, float]  # shape (factors,), and the constant that is added to each product


class VectorIndex:
    """The item vectors of one bundle, ready to be searched.

    Large catalogues are scanned as 4-bit codes (faiss), which find candidates; the candidates get their exact products. How
    many candidates are needed is measured when the index is built, on users of the features. If no number reaches
    `MIN_RECALL`, every search computes the exact product.

    Parameters
    ----------
    model : has the vectors of users.
    vectors : float64 of shape (items, factors) in the order of `features.item_ids`.
    has_score : bool of shape (items,); an item without a score is never found.
    k : length of the answers for which recall is measured.
    exact_up_to : number of items up to which no index is built.
    """

    def __init__(
        self,
        model: ServedModel,
        features: FeatureTables,
        vectors: Floats,
        has_score: NDArray[np.bool_],
        *,
        k: int,
        exact_up_to: int = EXACT_UP_TO,
    ) -> None:
        self._model, self._features, self._vectors = model, features, vectors
        self._scored = np.flatnonzero(has_score)
        self._unscored = np.flatnonzero(~has_score)
        self._cache: dict[str, UserVector | None] = {}
        self._index: Any = None
        self._widening, self.recall = 1, 1.0
        if len(self._scored) > exact_up_to:
            self._build(k)

    @classmethod
    def of_model(
        cls, model: ServedModel, features: FeatureTables, *, k: int, exact_up_to: int = EXACT_UP_TO
    ) -> VectorIndex | None:
        """The index of a model's item vectors. None if its scores are not products of vectors."""
        found = model.item_vectors(features)
        return None if found is None else cls(model, features, *found, k=k, exact_up_to=exact_up_to)

    def user_vector(self, user_id: str, recent: Mapping[int, float] | None) -> UserVector | None:
        """The vector of a user. None if the model knows none of the user's items. Cached without recent events.

        Parameters
        ----------
        recent : item position -> orders or rating since the features were built.
        """
        if recent:
            return self._model.user_vector(user_id, self._features, recent)
        if user_id in self._cache:
            return self._cache[user_id]
        found = self._model.user_vector(user_id, self._features)
        if len(self._cache) < CACHED_USERS:
            self._cache[user_id] = found
        return found

    def search(self, vector: Floats, k: int, excluded: NDArray[np.int64]) -> tuple[NDArray[np.intp], Floats]:
        """The `k` items with the largest products, best first. Ties are broken by position.

        Parameters
        ----------
        vector : float64 of shape (factors,).
        excluded : int64 of shape (e,), positions of items that must not be found.

        Returns
        -------
        positions : intp of shape (m,), m <= k, in `features.item_ids`.
        products : float64 of shape (m,).
        """
        if self._index is None:
            return self._search_exactly(vector, k, excluded)
        count = min(self._widening * k + 40 + len(excluded), len(self._scored))
        _, found = self._index.search(vector[None].astype(np.float32), count)
        candidates = np.sort(self._scored[found[0][found[0] >= 0]])
        if len(excluded):
            candidates = candidates[~np.isin(candidates, excluded)]
        scores = self._vectors[candidates] @ vector
        best = top_places(scores, k)
        return candidates[best], scores[best]

    def _search_exactly(self, vector: Floats, k: int, excluded: NDArray[np.int64]) -> tuple[NDArray[np.intp], Floats]:
        scores = self._vectors @ vector
        scores[self._unscored] = -np.inf
        scores[excluded] = -np.inf
        best = top_places(scores, k)
        return best, scores[best]

    def _build(self, k: int) -> None:
        import faiss

        faiss.omp_set_num_threads(1)  # one thread per query, so that queries run side by side
        vectors = np.ascontiguousarray(self._vectors[self._scored], dtype=np.float32)
        size = vectors.shape[1]
        index = faiss.IndexPQFastScan(size, size, 4, faiss.METRIC_INNER_PRODUCT)  # a code per factor, 32 items at a time
        index.train(np.ascontiguousarray(vectors[:: max(1, len(vectors) // TRAINING_ITEMS)]))
        index.add(vectors)
        users = self._features.users[c.USER_ID]
        step = max(1, len(users) // PROBE_USERS)
        queries = [self._model.user_vector(str(user), self._features) for user in users.iloc[::step]]
        probes = [query[0] for query in queries if query is not None][:PROBE_USERS]
        nothing = np.empty(0, np.int64)
        exact = [set(self._search_exactly(probe, k, nothing)[0].tolist()) for probe in probes]
        self._index = index
        for self._widening in WIDENINGS:
            hits = sum(
                len(best & set(self.search(probe, k, nothing)[0].tolist())) for best, probe in zip(exact, probes, strict=True)
            )
            self.recall = hits / max(sum(map(len, exact)), 1)
            if self.recall >= MIN_RECALL:
                log.info("index of %d items: recall %.4f of the exact top %d", len(self._scored), self.recall, k)
                return
        log.warning(
            "index of %d items: recall %.4f is below %.2f, using the exact product", len(self._scored), self.recall, MIN_RECALL
        )
        self._index, self.recall = None, 1.0

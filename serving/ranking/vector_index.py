"""Top k of a product with all items' vectors: exact by BLAS for small catalogues, through 4-bit codes for large ones."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.arrays import Floats
from tasks.models.base import FeatureTables, top_places

log = logging.getLogger("uvicorn.error.titleholder")

EXACT_UP_TO = 5_000  # items: beyond, the exact product costs more than the index with all that it needs beside it
LEAST_RECALL = 0.99
PROBES = 64
KEPT_VECTORS = 10_000
TAUGHT = 20_000  # items from which the codes are learned


@runtime_checkable
class HasVectors(Protocol):
    """A model whose scores are products of item vectors with a user's vector."""

    def item_vectors(self, features: FeatureTables) -> tuple[Floats, NDArray[np.bool_]]: ...

    def user_vector(
        self, user_id: str, features: FeatureTables, recent: Mapping[int, float] | None = None
    ) -> tuple[Floats, float] | None: ...


class Factors:
    """The vectors of one bundle's items, ready to be searched.

    Large catalogues are scanned as 4-bit codes (faiss), which finds candidates; these get their exact scores. How many
    candidates are needed is measured at load, on users of the features: where no number reaches `LEAST_RECALL`, the exact
    product answers.
    """

    def __init__(self, model: HasVectors, features: FeatureTables, k: int, exact_up_to: int = EXACT_UP_TO) -> None:
        self._model, self._features = model, features
        self._vectors, has_score = model.item_vectors(features)
        self._places = np.flatnonzero(has_score)
        self._unscored = np.flatnonzero(~has_score)
        self._kept: dict[str, tuple[Floats, float] | None] = {}
        self._index: Any = None
        self._widening, self.recall = 1, 1.0
        if len(self._places) > exact_up_to:
            self._build(k)

    def query(self, user_id: str, recent: Mapping[int, float] | None) -> tuple[Floats, float] | None:
        """The vector of a user; remembered, unless something happened since the features were made."""
        if recent:
            return self._model.user_vector(user_id, self._features, recent)
        if user_id in self._kept:
            return self._kept[user_id]
        found = self._model.user_vector(user_id, self._features)
        if len(self._kept) < KEPT_VECTORS:
            self._kept[user_id] = found
        return found

    def top(self, vector: Floats, k: int, without: NDArray[np.int64]) -> tuple[NDArray[np.intp], Floats]:
        """Places and products of the k best items but those `without`; ties by place."""
        if self._index is None:
            return self._exact(vector, k, without)
        wanted = min(self._widening * k + 40 + len(without), len(self._places))
        _, found = self._index.search(vector[None].astype(np.float32), wanted)
        candidates = np.sort(self._places[found[0][found[0] >= 0]])
        if len(without):
            candidates = candidates[~np.isin(candidates, without)]
        scores = self._vectors[candidates] @ vector
        best = top_places(scores, k)
        return candidates[best], scores[best]

    def _exact(self, vector: Floats, k: int, without: NDArray[np.int64]) -> tuple[NDArray[np.intp], Floats]:
        scores = self._vectors @ vector
        scores[self._unscored] = -np.inf
        scores[without] = -np.inf
        best = top_places(scores, k)
        return best, scores[best]

    def _build(self, k: int) -> None:
        import faiss

        faiss.omp_set_num_threads(1)  # one query is one thread's work; the others answer other requests
        vectors = np.ascontiguousarray(self._vectors[self._places], dtype=np.float32)
        size = vectors.shape[1]
        index = faiss.IndexPQFastScan(size, size, 4, faiss.METRIC_INNER_PRODUCT)  # a code for each factor, 32 items at a time
        index.train(np.ascontiguousarray(vectors[:: max(1, len(vectors) // TAUGHT)]))
        index.add(vectors)
        users = self._features.users["user_id"]
        asked = [self._model.user_vector(str(user), self._features) for user in users.iloc[:: max(1, len(users) // PROBES)]]
        probes = [found[0] for found in asked if found is not None][:PROBES]
        nothing = np.empty(0, np.int64)
        exact = [set(self._exact(probe, k, nothing)[0].tolist()) for probe in probes]
        self._index = index
        for self._widening in (8, 20, 80):
            hits = sum(
                len(best & set(self.top(probe, k, nothing)[0].tolist())) for best, probe in zip(exact, probes, strict=True)
            )
            self.recall = hits / max(sum(map(len, exact)), 1)
            if self.recall >= LEAST_RECALL:
                log.info("index of %d items: recall %.4f of the exact answer", len(self._places), self.recall)
                return
        log.warning("index of %d items: recall %.4f is too low; the exact product answers", len(self._places), self.recall)
        self._index, self.recall = None, 1.0

"""Hybrid: iALS that predicts the vectors of new items from their text and attributes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.contracts.arrays import Floats
from tasks.models.als import Penalties, Ready
from tasks.models.base import Examples, FeatureTables, ServedModel
from tasks.models.ials import IalsModel, IalsSpec
from tasks.models.text import ItemVectors


class HybridModel(IalsModel):
    """As `ials`; an unknown item has the vector that its content maps to."""

    kind = "hybrid"

    def __init__(
        self,
        items: NDArray[Any],
        factors: Floats,
        penalties: Penalties,
        best_score: float,
        content: ItemVectors,
        mapping: Floats,
    ) -> None:
        super().__init__(items, factors, penalties, None, best_score)
        self.content, self.mapping = content, mapping

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        settings, arrays = super().state()
        own_settings, own_arrays = self.content.state()
        return {**settings, "content": own_settings}, {**arrays, **own_arrays, "mapping": self.mapping}

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        content = ItemVectors.from_state(settings["content"], arrays)
        penalties = Penalties.from_json(settings["penalties"])
        items = arrays["items"].astype(object)
        return cls(items, arrays["factors"], penalties, settings["typical_best"], content, arrays["mapping"])

    def _prepare(self, features: FeatureTables) -> Ready:
        ready = super()._prepare(features)
        described = np.intersect1d(ready.unknown, self.content.places(features))
        factors, is_known = ready.factors, ready.is_known.copy()
        if described.size:  # otherwise they are the model's own array
            factors = factors.copy()
            factors[described] = _with_constant(self.content.of(features.sorted_items.iloc[described])) @ self.mapping
        is_known[described] = True
        # Pairs with new items count as well, by the same vectors.
        return replace(ready, factors=factors, is_known=is_known, is_used=is_known[ready.place] & (ready.weights > 0))


class Hybrid(IalsSpec):
    """iALS with vectors of new items predicted from their text and attributes.

    A ridge regression maps the content of the known items to their vectors. Gantner and others (2010), Learning
    attribute-to-feature mappings for cold-start recommendations. Users without a history get the popular list, as in `ials`.
    Where more than `max_items` were ever sold, the content of those on sale (sold in the longest lookback) is read.
    """

    kind: Literal["hybrid"] = "hybrid"
    served = HybridModel
    limit = "max_items"
    dimensions: int = Field(100, ge=1, le=2000)
    max_words: int = Field(20_000, ge=1, le=1_000_000)
    max_items: int = Field(500_000, ge=1, description="limit of items on sale; 500,000 with 100 dimensions need 1.5 GB")
    content_regularization: float = Field(1.0, gt=0.0, le=1e6)

    def fit(self, train: Examples, history: Examples, seed: int) -> ServedModel:
        return self._with_content(super().fit(train, history, seed), history, seed)

    def fit_from(self, champion: ServedModel, train: Examples, history: Examples, seed: int) -> ServedModel:
        """As `ials`; the mapping from content to vectors is trained again in closed form."""
        return self._with_content(super().fit_from(champion, train, history, seed), history, seed)

    def _with_content(self, learned: ServedModel, history: Examples, seed: int) -> ServedModel:
        features = history.features
        if not isinstance(learned, IalsModel) or features is None:
            raise TypeError("ials learns an IalsModel from features")
        content = ItemVectors.learn(features, self.dimensions, self.max_words, self.max_items, seed)
        place = np.array([features.item_position[str(item)] for item in learned.items], dtype=np.int64)
        has_content = np.isin(place, content.places(features))
        known = _with_constant(content.of(features.sorted_items.iloc[place[has_content]]))
        gram = known.T @ known + self.content_regularization * np.eye(known.shape[1])
        mapping = np.asarray(np.linalg.solve(gram, known.T @ learned.factors[has_content]), dtype=np.float64)
        return HybridModel(learned.items, learned.factors, learned.penalties, learned.best_score, content, mapping)


def _with_constant(vectors: Floats) -> Floats:
    return np.column_stack([vectors, np.ones(len(vectors))])

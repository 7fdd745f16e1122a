"""EASE: a linear model of the items that a user met, in closed form (Steck 2019)."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.contracts.arrays import Floats
from tasks.errors import NotEnoughData
from tasks.models.base import Examples, ServedModel
from tasks.models.histories import HistoryModel, HistorySpec, Weighing, read_histories


class EaseModel(HistoryModel):
    """The sum of the rows of B of the items that the user met. weights : B, (items, items)."""

    kind = "ease"

    def __init__(self, items: NDArray[Any], weighing: Weighing, weights: NDArray[np.float32]) -> None:
        super().__init__(items, weighing)
        self.weights = weights

    def score_history(self, user_id: str, places: NDArray[np.int64], weights: Floats) -> Floats:
        return np.asarray(weights.astype(np.float32) @ self.weights[places], dtype=np.float64)

    def own_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return {}, {"weights": self.weights}

    @classmethod
    def from_own_state(
        cls, items: NDArray[Any], weighing: Weighing, settings: dict[str, Any], arrays: dict[str, NDArray[Any]]
    ) -> Self:
        return cls(items, weighing, arrays["weights"])


class Ease(HistorySpec):
    """Linear autoencoder of items in closed form (EASE).

    scores = x B with B = I - P diag(1 / diag(P)), P = (X'X + regularization * I)^-1: the least squares of X B = X with zeros
    in the diagonal of B. Steck (2019), Embarrassingly shallow autoencoders for sparse data.

    Needs items^2 * 12 bytes and items^3 steps; `max_items` limits them. Where more items were ever sold, it learns from those
    on sale (sold in the longest lookback), so that it does not come to its limit because a shop grows old.
    """

    kind: Literal["ease"] = "ease"
    served = EaseModel
    limit = "max_items"
    regularization: float = Field(300.0, gt=0.0, le=1e7)
    max_items: int = Field(20_000, ge=1, le=100_000, description="limit of items on sale; 20,000 need 5 GB")

    def fit(self, train: Examples, history: Examples, seed: int) -> ServedModel:
        from scipy.linalg import lapack

        known = read_histories(history, self.weighing, "ease")
        if len(known.items) > self.max_items:
            known = read_histories(history, self.weighing, "ease", only_on_sale=True)
        size = len(known.items)
        if size > self.max_items:
            raise NotEnoughData(
                f"ease stores a number for each two items: {size} items on sale need {size**2 * 12 / 2**30:.0f} GB, and "
                f"max_items allows {self.max_items}. Raise max_items if there is memory, or use ials or item_knn."
            )
        matrix = known.matrix
        gram = (matrix.T @ matrix).toarray(order="F")
        gram[np.diag_indices(size)] += self.regularization
        factor, failed = lapack.dpotrf(gram, lower=1, overwrite_a=1)
        inverse, wrong = lapack.dpotri(factor, lower=1, overwrite_c=1)  # half the steps of a general inverse
        if failed or wrong:
            raise NotEnoughData(f"ease: the items' products cannot be inverted ({failed}, {wrong}); raise regularization")
        weights = inverse.astype(np.float32)
        del gram, factor
        diagonal = inverse.diagonal().copy()
        for start in range(0, size, 512):  # mirror the lower half, in blocks that stay in the cache
            end = start + 512
            lower = np.tril(weights[start:end, start:end])
            weights[start:end, start:end] = lower + np.tril(lower, -1).T
            weights[start:end, end:] = weights[end:, start:end].T
        weights /= -diagonal.astype(np.float32)[None, :]
        weights[np.diag_indices(size)] = 0.0
        return EaseModel(known.items, self.weighing, np.ascontiguousarray(weights)).measure_scale(known)

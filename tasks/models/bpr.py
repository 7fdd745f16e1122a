"""BPR: matrix factorisation that ranks the items that a user met above the others, by the implicit library."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.contracts.arrays import Floats
from tasks.models.base import Examples, ServedModel
from tasks.models.histories import HistoryModel, HistorySpec, Weighing, read_histories


class BprModel(HistoryModel):
    """The product of a user's and an item's vector."""

    kind = "bpr"

    def __init__(
        self,
        items: NDArray[Any],
        weighing: Weighing,
        users: NDArray[Any],
        factors: NDArray[np.float32],
        user_factors: NDArray[np.float32],
    ) -> None:
        super().__init__(items, weighing)
        self.users, self.factors, self.user_factors = users, factors, user_factors
        self._row = {str(user): row for row, user in enumerate(users)}
        self._middle = factors[:, :-1].mean(axis=0)
        self._length = float(np.linalg.norm(user_factors[:, :-1], axis=1).mean())

    def score_history(self, user_id: str, places: NDArray[np.int64], weights: Floats) -> Floats:
        row = self._row.get(user_id)
        vector = self._fold_in(places, weights) if row is None else self.user_factors[row]
        return np.asarray(self.factors @ vector, dtype=np.float64)

    def _fold_in(self, places: NDArray[np.int64], weights: Floats) -> NDArray[np.float32]:
        """The direction of the first training step: the mean of the met items minus that of all items, in a usual length."""
        step = np.average(self.factors[places, :-1], axis=0, weights=weights) - self._middle
        length = float(np.linalg.norm(step))
        return np.append(step * (self._length / length if length > 0 else 0.0), 1.0).astype(np.float32)

    def own_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return {}, {"users": self.users.astype(object), "factors": self.factors, "user_factors": self.user_factors}

    @classmethod
    def from_own_state(
        cls, items: NDArray[Any], weighing: Weighing, settings: dict[str, Any], arrays: dict[str, NDArray[Any]]
    ) -> Self:
        return cls(items, weighing, arrays["users"].astype(object), arrays["factors"], arrays["user_factors"])


class Bpr(HistorySpec):
    """Bayesian personalised ranking by the implicit library.

    Rendle and others (2009). Stochastic gradients in one thread, so that training can be repeated. Unlike in least squares, a
    vector cannot be solved from a history: users of the training keep theirs, others get the direction of the first step
    that training would take.

    No warm start: its gradient steps have one size, so that an older model's steps on other pairs would not fade.
    """

    kind: Literal["bpr"] = "bpr"
    served = BprModel
    factors: int = Field(64, ge=1, le=512)
    iterations: int = Field(100, ge=1, le=10_000)
    learning_rate: float = Field(0.05, gt=0.0, le=1.0)
    regularization: float = Field(0.01, ge=0.0, le=10.0)

    def fit(self, train: Examples, history: Examples, seed: int) -> ServedModel:
        from implicit.cpu.bpr import BayesianPersonalizedRanking

        known = read_histories(history, self.weighing, "bpr")
        learner = BayesianPersonalizedRanking(
            factors=self.factors,
            iterations=self.iterations,
            learning_rate=self.learning_rate,
            regularization=self.regularization,
            num_threads=1,
            random_state=seed,
        )
        learner.fit(known.matrix, show_progress=False)
        factors = learner.item_factors  # the last column: the item's bias; that of users: one
        factors[:, -1] += np.log(np.bincount(known.places, minlength=len(factors))).astype(np.float32)
        return BprModel(known.items, self.weighing, known.users, factors, learner.user_factors).measure_scale(known)

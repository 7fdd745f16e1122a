"""iALS: matrix factorisation of purchases, by the implicit library on one machine or by Spark on a cluster."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.contracts.arrays import Floats
from tasks.contracts.base import TaskKind
from tasks.models.als import Als, AlsModel, Penalties
from tasks.models.base import Examples, ModelSpec, ServedModel, WarmStart
from tasks.models.histories import Histories, Weighing, read_histories
from tasks.models.prepared import half_of_memory_mb

log = logging.getLogger(__name__)


class IalsModel(AlsModel):
    """As `als`: a user's vector is solved from their pairs."""

    kind = "ials"


class IalsSpec(WarmStart, ModelSpec):
    """The settings and the training that `ials` and `hybrid` share."""

    tasks = frozenset({TaskKind.RECOMMENDATION, TaskKind.PROPENSITY})
    renamed: ClassVar[Mapping[str, str]] = {"fade_days": "half_life_days"}
    factors: int = Field(64, ge=1, le=1024)
    iterations: int = Field(15, ge=1, le=200)
    regularization: float = Field(1.0, gt=0.0, le=1e5)
    alpha: float = Field(10.0, gt=0.0, le=1e4, description="confidence of one order")
    half_life_days: float | None = Field(
        None, gt=0.0, le=3650.0, description="the days after which an order counts half; null: never"
    )
    popular_half_life_days: float = Field(28.0, gt=0.0, le=3650.0, description="of the popular list, for users without pairs")
    warm_iterations: int = Field(3, ge=1, le=200, description="of a warm start")
    engine: Literal["auto", "implicit", "spark"] = "auto"
    local_memory_mb: int | None = Field(None, ge=1, description="limit of training on this machine; null: half of its memory")

    def fit(self, train: Examples, history: Examples, seed: int) -> ServedModel:
        known = self._read(history)
        if self.choose_engine(known) == "spark":
            items, vectors, penalties = self._fit_on_spark(known, seed)
            draft = IalsModel(items, vectors, penalties, None, 0.0)
            return IalsModel(items, vectors, penalties, None, draft.typical_best(known.features))
        return self._fit_here(known, seed, None)

    def warm_start_problem(self, champion: ServedModel, train: Examples, history: Examples) -> str:
        if not isinstance(champion, AlsModel) or champion.factors.shape[1] != self.factors:
            return f"the champion's vectors are not {self.factors} long"
        return "Spark's ALS accepts no initial factors" if self.choose_engine(self._read(history)) == "spark" else ""

    def fit_from(self, champion: ServedModel, train: Examples, history: Examples, seed: int) -> ServedModel:
        """A few iterations from the champion's items. New items start from the vectors of their buyers, which are solved from
        the known items."""
        if not isinstance(champion, AlsModel):
            raise TypeError(f"ials begins from an AlsModel; got {type(champion).__name__}")
        return self._fit_here(self._read(history), seed, champion)

    def _read(self, history: Examples) -> Histories:
        return read_histories(history, Weighing(count_orders=True, half_life_days=self.half_life_days), "ials")

    def choose_engine(self, known: Histories) -> Literal["implicit", "spark"]:
        """The engine for data of this size."""
        needed, allowed = self.needed_mb(known), self.local_memory_mb or half_of_memory_mb()
        chosen: Literal["implicit", "spark"] = "implicit" if needed <= allowed else "spark"
        if self.engine != "auto":
            chosen = self.engine
        log.info(
            "ials trains by %s (engine: %s): %d pairs of %d users and %d items need %.0f MB here, and %.0f MB are allowed",
            chosen,
            self.engine,
            len(known.places),
            len(known.users),
            len(known.items),
            needed,
            allowed,
        )
        return chosen

    def needed_mb(self, known: Histories) -> float:
        """Confidences by user and by item (12 bytes a pair each, twice that while they are built), and vectors twice."""
        vectors = (len(known.users) + len(known.items)) * self.factors * 4
        return (len(known.places) * 48 + vectors * 2) / 2**20

    def _fit_here(self, known: Histories, seed: int, champion: AlsModel | None) -> IalsModel:
        from implicit.cpu.als import AlternatingLeastSquares
        from threadpoolctl import threadpool_limits

        matrix = known.matrix.astype(np.float32)
        matrix.data = 1.0 + np.float32(self.alpha) * matrix.data
        iterations = self.iterations if champion is None else self.warm_iterations
        with threadpool_limits(1, "blas"):  # the library has its own threads, and one thread solves a row
            learner = AlternatingLeastSquares(
                factors=self.factors, regularization=self.regularization, iterations=iterations, random_state=seed
            )
            if champion is not None:
                place = {str(item): number for number, item in enumerate(champion.items)}
                old = np.array([place.get(str(item), -1) for item in known.items], dtype=np.intp)
                learner.item_factors = np.where((old >= 0)[:, None], champion.factors[old], 0.0).astype(np.float32)
                learner.user_factors = learner.recalculate_user(np.arange(len(known.users)), matrix)
                if (new := np.flatnonzero(old < 0)).size:
                    learner.item_factors[new] = learner.recalculate_item(new, matrix.T.tocsr()[new])
            learner.fit(matrix, show_progress=False)
        best = float((learner.item_factors @ learner.user_factors.mean(axis=0)).max())
        factors = learner.item_factors.astype(np.float64)
        return IalsModel(known.items, factors, self._penalties(self.regularization, False), None, best)

    def _fit_on_spark(self, known: Histories, seed: int) -> tuple[NDArray[Any], Floats, Penalties]:
        pairs_each = len(known.places) / np.sqrt(len(known.users) * len(known.items))
        penalties = self._penalties(self.regularization / pairs_each, True)
        als = Als(factors=self.factors, iterations=self.iterations, regularization=penalties.regularization, alpha=self.alpha)
        features = known.features
        weights = Weighing(count_orders=True, half_life_days=self.half_life_days).of(features)
        items, factors = als.factorise(features.sorted_pairs[weights > 0], weights[weights > 0], implicit=True, seed=seed)
        return items, factors, penalties

    def _penalties(self, regularization: float, is_per_pair: bool) -> Penalties:
        return Penalties(regularization, self.alpha, 0.0, 0.0, self.popular_half_life_days, is_per_pair, self.half_life_days)


class Ials(IalsSpec):
    """Implicit ALS by the implicit library, or by Spark for large data; folds users in.

    Preference 1 with confidence 1 + alpha * orders, penalty `regularization` on each vector (Hu, Koren, Volinsky 2008).

    `engine: auto` uses the implicit library while training needs at most `local_memory_mb` (by default half of this machine's
    memory), else Spark; the log states both figures. Spark's penalty grows with the number of pairs of each user and item:
    there `regularization` is divided by the geometric mean of their mean numbers, which is the same penalty if all have
    equally many.
    """

    kind: Literal["ials"] = "ials"
    served = IalsModel

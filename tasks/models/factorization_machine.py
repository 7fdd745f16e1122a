"""Factorization machines of ratings, with side information and time: Bayesian by myFM, or by Spark's gradients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.contracts.base import TaskKind
from tasks.errors import NotEnoughData
from tasks.models.arrays import number_texts
from tasks.models.base import Examples, ModelSpec, ServedModel, SparkProblem, SparkTuned
from tasks.models.bias import Scale, measure_scale
from tasks.models.factorization_machine_served import FactorizationMachineModel, Layout, SparkFmModel
from tasks.models.prepared import half_of_memory_mb, read_numbers

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class _FmSpec(ModelSpec):
    """The explanatory columns of a rating: user and item, and by settings histories, attributes and the day."""

    tasks = frozenset({TaskKind.RATING})
    use_histories: bool = Field(
        True, description="which items the user rated and which users rated the item (SVD++ for both sides)"
    )
    use_attributes: bool = Field(True, description="the columns user_attribute_* and item_attribute_* of the features")
    use_days: bool = Field(False, description="the day of the rating; a prediction without a day is for the newest one")


class FactorizationMachine(_FmSpec):
    """Bayesian factorization machine by the myFM library.

    Gibbs sampling (Rendle 2012; Rendle, Zhang, Koren 2019). The mean of the samples' predictions is the prediction of one
    machine whose vectors are those of all samples side by side. The model serves `served_samples` of them, evenly chosen, in
    single precision, because neighbours in a chain are similar.

    No warm start: a chain of myFM starts with its own draw, and older samples describe older data.
    """

    kind: Literal["factorization_machine"] = "factorization_machine"
    served = FactorizationMachineModel
    limit = "local_memory_mb"
    factors: int = Field(10, ge=1, le=128)
    iterations: int = Field(300, ge=2, le=5000, description="of each chain")
    chains: int = Field(
        1, ge=1, le=64, description="independent chains, whose samples differ more than those of one longer chain"
    )
    warm_up: int = Field(20, ge=1, description="the first samples of a chain, which are discarded")
    served_samples: int = Field(100, ge=1, le=5000)
    local_memory_mb: int | None = Field(None, ge=1, description="limit of training on this machine; null: half of its memory")

    def fit(self, train: Examples, history: Examples, seed: int) -> ServedModel:
        design = _Design.of(history, self)
        self._refuse_what_does_not_fit(design.layout)
        samples = [sample for chain in range(self.chains) for sample in self._sample(design, seed + chain)]
        chosen = np.unique(np.linspace(0, len(samples) - 1, min(self.served_samples, len(samples))).round().astype(np.intp))
        kept = [samples[place] for place in chosen]
        vectors = np.hstack([sample.V for sample in kept]) / np.sqrt(len(kept))
        linear = np.mean([sample.w for sample in kept], axis=0)
        intercept = float(np.mean([s.w0 for s in kept]))
        return FactorizationMachineModel(*design.known, intercept=intercept, linear=linear, vectors=vectors.astype(np.float32))

    def _sample(self, design: _Design, seed: int) -> list[Any]:
        """The samples of one chain after its warm-up."""
        from myfm import MyFMRegressor, RelationBlock

        learner = MyFMRegressor(rank=self.factors, random_seed=seed)
        blocks = [RelationBlock(design.user.tolist(), design.users), RelationBlock(design.item.tolist(), design.items)]
        learner.fit(
            design.days,
            design.ratings,
            X_rel=blocks,
            n_iter=self.iterations,
            n_kept_samples=self.iterations - min(self.warm_up, self.iterations - 1),
            group_shapes=[size for size in design.layout.groups if size],
            callback=lambda *_: (False, None),
        )
        return list(learner.predictor_.samples)

    def _refuse_what_does_not_fit(self, layout: Layout) -> None:
        """All samples are kept until the served ones are selected, and users and items are served in double precision."""
        columns, entities = sum(layout.groups), layout.users + layout.items
        samples = max(self.iterations - self.warm_up, 1) * self.chains
        numbers = columns * (samples + self.served_samples) + entities * self.served_samples
        needed, allowed = numbers * self.factors * 8 / 2**20, self.local_memory_mb or half_of_memory_mb()
        if needed > allowed:
            raise NotEnoughData(
                f"factorization_machine keeps {samples} samples of {self.factors} factors for {layout.users} users and "
                f"{layout.items} items: that needs {needed:.0f} MB, and local_memory_mb allows {allowed:.0f}. Use fewer "
                "iterations, served_samples or factors, or use als."
            )


class SparkFm(SparkTuned, _FmSpec):
    """Factorization machine by Spark MLlib, with gradients over all data.

    The optimiser is AdamW, and each step uses all rows. No warm start: Spark's FMRegressor accepts no initial weights.
    """

    kind: Literal["spark_fm"] = "spark_fm"
    served = SparkFmModel
    limit = "max_cells"
    spark_tasks: ClassVar[frozenset[TaskKind]] = frozenset({TaskKind.RATING})
    spark_params: ClassVar[Mapping[str, str]] = {
        "factors": "factorSize",
        "iterations": "maxIter",
        "regularization": "regParam",
        "step_size": "stepSize",
    }
    factors: int = Field(8, ge=1, le=128)
    iterations: int = Field(100, ge=1, le=10_000)
    regularization: float = Field(0.01, ge=0.0, le=1e3)
    step_size: float = Field(0.05, gt=0.0, le=10.0)
    use_histories: bool = Field(
        False, description="as in factorization_machine; Spark needs the whole history of user and item with each rating"
    )
    max_cells: int = Field(20_000_000, ge=1, description="limit of numbers that are not 0; the default needs about 3 GB")

    def fit(self, train: Examples, history: Examples, seed: int) -> ServedModel:
        design = _Design.of(history, self)
        mean, table = self._frame(design)
        learned = self._estimator(seed).fit(table)
        linear, vectors = learned.linear.toArray(), learned.factors.toArray().astype(np.float32)
        return SparkFmModel(*design.known, intercept=mean + float(learned.intercept), linear=linear, vectors=vectors)

    def spark_problem(self, history: Examples, seed: int) -> SparkProblem:
        return SparkProblem(self._estimator(seed), self._frame(_Design.of(history, self))[1], "label")

    def _estimator(self, seed: int) -> Any:
        from pyspark.ml.regression import FMRegressor

        from tasks.io.spark import make_estimator

        return make_estimator(
            FMRegressor,
            factorSize=self.factors,
            maxIter=self.iterations,
            regParam=self.regularization,
            stepSize=self.step_size,
            seed=seed,
            initStd=0.05,
        )

    def _frame(self, design: _Design) -> tuple[float, Any]:
        """The mean rating, and the frame of label (less the mean) and features."""
        from pyspark.ml.linalg import Vectors
        from scipy.sparse import hstack

        from tasks.io.spark import get_spark

        cells = int(sum(np.diff(block.indptr)[place].sum() for block, place in design.sides)) + len(design.ratings)
        if cells > self.max_cells:
            raise NotEnoughData(
                f"spark_fm writes each rating with all columns of its user and item: {len(design.ratings)} ratings of "
                f"{design.layout.users} users and {design.layout.items} items make {cells} numbers, and max_cells allows "
                f"{self.max_cells}. Set use_histories: false, or use factorization_machine or als."
            )
        rows = hstack([design.days, design.users[design.user], design.items[design.item]], format="csr")
        rows.sort_indices()
        mean = float(design.ratings.mean())
        examples = [
            (float(rating - mean), Vectors.sparse(rows.shape[1], rows.indices[a:b].tolist(), rows.data[a:b].tolist()))
            for rating, a, b in zip(design.ratings, rows.indptr[:-1], rows.indptr[1:], strict=True)
        ]
        return mean, get_spark().createDataFrame(examples, ["label", "features"]).repartition(1)


@dataclass(frozen=True)
class _Design:
    """Rated pairs as sparse matrices: `days` has a row for each; row `user[p]` of `users` is pair p's, and so for items."""

    scale: Scale
    layout: Layout
    names: tuple[NDArray[Any], NDArray[Any]]
    ratings: Floats
    user: NDArray[np.int64]
    item: NDArray[np.int64]
    days: csr_matrix
    users: csr_matrix
    items: csr_matrix

    @property
    def sides(self) -> tuple[tuple[csr_matrix, NDArray[np.int64]], tuple[csr_matrix, NDArray[np.int64]]]:
        """Each block, and which of its rows belongs to each pair."""
        return (self.users, self.user), (self.items, self.item)

    @property
    def known(self) -> tuple[Scale, Layout, NDArray[Any], NDArray[Any]]:
        return self.scale, self.layout, *self.names

    @classmethod
    def of(cls, history: Examples, spec: _FmSpec) -> _Design:
        from scipy.sparse import csr_matrix

        scale, features = measure_scale(history), history.features
        if features is None:
            raise NotEnoughData("a factorization machine needs features; got none")
        pairs = features.sorted_pairs
        pairs = pairs[pairs["pair_rating"].notna().to_numpy()]
        names, codes = zip(*(number_texts(pairs[key]) for key in (c.USER_ID, c.ITEM_ID)), strict=True)
        user, item = codes
        is_used = spec.use_attributes
        of_users = _attributes(features.users, c.USER_ATTRIBUTE) if is_used else ()
        of_items = _attributes(features.items, c.ITEM_ATTRIBUTE) if is_used else ()
        recency = pairs["pair_recency_days"].to_numpy(np.float64, na_value=0.0)
        newest, days = int(recency.min()), int(recency.max() - recency.min()) + 1 if spec.use_days else 0
        layout = Layout(len(names[0]), len(names[1]), of_users, of_items, spec.use_histories, newest, days)
        rows = np.arange(len(pairs))
        ones = np.ones(len(pairs))
        day = csr_matrix((ones, (rows, layout.day_of(recency))) if days else (len(pairs), 0), shape=(len(pairs), days))
        met = csr_matrix((ones, (user, item)), shape=(len(names[0]), len(names[1])))
        users = _block(met, features.users, c.USER_ID, names[0], layout.user_attributes, spec.use_histories)
        items = _block(met.T.tocsr(), features.items, c.ITEM_ID, names[1], layout.item_attributes, spec.use_histories)
        ratings = pairs["pair_rating"].to_numpy(np.float64)
        return cls(scale, layout, (names[0], names[1]), ratings, user, item, day, users, items)


def _attributes(table: Any, prefix: str) -> tuple[str, ...]:
    return tuple(str(name) for name in table.columns if str(name).startswith(prefix))


def _block(
    met: csr_matrix, table: Any, key: str, names: NDArray[Any], attributes: tuple[str, ...], has_histories: bool
) -> csr_matrix:
    """One row for each name: its id, its history (each entry / the root of their number), its attributes."""
    from scipy.sparse import csr_matrix, diags, hstack, identity

    parts = [identity(len(names), format="csr")]
    if has_histories:
        parts.append(diags(1.0 / np.sqrt(np.maximum(np.diff(met.indptr), 1))) @ met)
    if attributes:
        known = table.set_index(key)[list(attributes)].reindex(names)
        parts.append(csr_matrix(np.nan_to_num(read_numbers(known, attributes, "a factorization machine"))))
    return hstack(parts, format="csr")

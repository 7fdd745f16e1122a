"""Fitting and predicting beside the same libraries called directly, in turn, in the same run; and the memory of training."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from benchmarks.models.data import Size
from benchmarks.runner import Figures
from tasks import columns as c
from tasks.models.als import Penalties
from tasks.models.base import Examples, FeatureTables
from tasks.models.ease import Ease
from tasks.models.ials import Ials, IalsModel
from tasks.settings import ROOT

FACTORS = 64


def shop(users: int, items: int, pairs: int, seed: int = 7) -> FeatureTables:
    """Purchases whose items follow Zipf's law, as the features stage writes them: sorted by key."""
    random = np.random.default_rng(seed)
    by_rank = 1.0 / np.arange(1, items + 1) ** 0.7
    user = random.integers(0, users, int(pairs * 1.3))
    item = random.choice(items, len(user), p=by_rank / by_rank.sum())
    key = np.unique(user.astype(np.int64) * items + item)
    key = np.sort(random.choice(key, min(pairs, len(key)), replace=False))
    user_names = np.array([f"u{number:07d}" for number in range(users)], dtype=object)
    item_names = np.array([f"i{number:07d}" for number in range(items)], dtype=object)
    table = pd.DataFrame({c.USER_ID: user_names[key // items], c.ITEM_ID: item_names[key % items], "pair_orders": 1.0})
    counts = np.bincount(key % items, minlength=items).astype(float)
    return FeatureTables(
        pd.DataFrame({c.USER_ID: user_names}), pd.DataFrame({c.ITEM_ID: item_names, "item_buyers_28d": counts}), table
    )


def time_both(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> dict[str, float]:
    """Median seconds of ours and of theirs, and their ratio, in turn. The first round is not counted."""
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for call, found in zip((ours, theirs), taken, strict=True):
            began = time.perf_counter()
            call()
            if number:
                found.append(time.perf_counter() - began)
    one, other = (median(found) for found in taken)
    return {"ours": one, "theirs": other, "ratio": one / other}


def as_matrix(features: FeatureTables) -> csr_matrix:
    """The pairs as a sparse matrix (users, items), as a caller of the libraries writes it."""
    users, items = (pd.Categorical(features.pairs[key]) for key in (c.USER_ID, c.ITEM_ID))
    entries = (features.pairs["pair_orders"].to_numpy(np.float32), (users.codes, items.codes))
    return csr_matrix(entries, shape=(len(users.categories), len(items.categories)))


def measure_speed(size: Size) -> Figures:
    """Each library starts from the same pairs as our model."""
    from implicit.cpu.als import AlternatingLeastSquares
    from implicit.cpu.topk import topk
    from threadpoolctl import threadpool_limits

    given = shop(*size.speed_shape)

    def fresh() -> Examples:
        return Examples(FeatureTables(given.users, given.items, given.pairs))  # without the caches of the round before

    def implicit_directly() -> None:
        with threadpool_limits(1, "blas"):
            matrix = as_matrix(given)
            matrix.data = 1.0 + 10.0 * matrix.data
            AlternatingLeastSquares(FACTORS, 1.0, iterations=10, random_state=7).fit(matrix, show_progress=False)

    def ease_directly() -> None:
        matrix = as_matrix(given).astype(np.float64)
        gram = (matrix.T @ matrix).toarray()
        gram[np.diag_indices(len(gram))] += 300.0
        inverse = np.linalg.inv(gram)
        weights = inverse / -np.diag(inverse)
        weights[np.diag_indices(len(weights))] = 0.0

    spec = Ials(factors=FACTORS, iterations=10, engine="implicit")
    model = spec.fit(Examples(), fresh(), 7)
    names = list(given.user_row)
    vectors = np.random.default_rng(7).normal(size=(len(names), FACTORS)).astype(np.float32)
    assert isinstance(model, IalsModel)  # noqa: S101  for the type checker
    known = FixedVectors(model.items, model.factors, model.penalties, vectors)
    known.recommend(names[:1], given, 10)
    model.recommend(names[:1], given, 10)
    factors = model.factors.astype(np.float32)
    calls: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "ials": (lambda: spec.fit(Examples(), fresh(), 7), implicit_directly),
        "ease": (lambda: Ease(regularization=300.0).fit(Examples(), fresh(), 7), ease_directly),
        "topk": (lambda: known.recommend(names, given, 10), lambda: topk(factors, vectors, 10, num_threads=0)),
        "batch": (lambda: known.recommend(names, given, 10), spark_batch(given)),
    }
    table = {name: time_both(*pair, size.rounds) for name, pair in calls.items()}
    folded = time_both(lambda: model.recommend(names, given, 10), lambda: None, size.rounds)["ours"]
    table["batch, every user folded in again"] = {
        "ours": folded,
        "theirs": table["batch"]["theirs"],
        "ratio": folded / table["batch"]["theirs"],
    }
    figures = {f"{name}_ratio": table[name]["ratio"] for name in ("ials", "ease", "topk")}
    return figures | {"batch_ratio": 1.0 / table["batch"]["ratio"], "speed_table": table}


def spark_batch(features: FeatureTables) -> Callable[[], object]:
    """The top 10 of all users by a trained model of Spark's ALS."""
    from pyspark.ml.recommendation import ALS

    from tasks.io.spark import get_spark

    codes = {key: pd.Categorical(features.pairs[key]).codes.astype("int32") for key in (c.USER_ID, c.ITEM_ID)}
    pairs = get_spark().createDataFrame(pd.DataFrame({**codes, "rating": features.pairs["pair_orders"]}))
    learner = ALS(rank=FACTORS, maxIter=1, implicitPrefs=True, userCol=c.USER_ID, itemCol=c.ITEM_ID, ratingCol="rating", seed=7)
    learned = learner.fit(pairs)
    learned.userFactors.cache().count()
    learned.itemFactors.cache().count()
    return lambda: learned.recommendForAllUsers(10).write.format("noop").mode("overwrite").save()


class FixedVectors(IalsModel):
    """Has the users' vectors, so that only the search for the best items is timed."""

    def __init__(self, items: Any, factors: Any, penalties: Penalties, vectors: Any) -> None:
        super().__init__(items, factors, penalties, None, 1.0)
        self.vectors = vectors.astype(np.float64)

    def user_vectors(self, user_ids: list[str], features: FeatureTables) -> tuple[Any, Any]:
        return self.vectors[[features.user_row[user] for user in user_ids]], np.ones(len(user_ids), dtype=np.bool_)


def measure_memory(size: Size) -> Figures:
    """Peak memory of a process of its own that makes pairs and trains on them."""
    script = (
        "from benchmarks.models.lists import memory_mb; from benchmarks.models.speed import shop;"
        "from tasks.models.base import Examples;"
        f"from tasks.models.ials import Ials; given = shop{size.memory_shape};"
        "Ials(factors=64, iterations=2, engine='implicit').fit(Examples(), Examples(given), 7);"
        "print(memory_mb('VmHWM'))"  # getrusage reports the peak of the parent process if that was higher
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return {"memory_mb": float(done.stdout.strip().splitlines()[-1])}

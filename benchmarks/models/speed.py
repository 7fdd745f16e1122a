"""Fitting and answering beside the libraries called directly, in turn, in the same run; and the memory that training takes."""

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

from tasks import columns as c
from tasks.models.als import Penalties
from tasks.models.base import Examples, FeatureTables
from tasks.models.ease import Ease
from tasks.models.ials import Ials, IalsModel

USERS, ITEMS, PAIRS, FACTORS, ROUNDS = 6_040, 3_706, 1_000_000, 64, 5  # the size of MovieLens 1M
Outcome = tuple[dict[str, float], dict[str, dict[str, dict[str, Any]]]]


def shop(users: int, items: int, pairs: int, seed: int = 7) -> FeatureTables:
    """Who met what, users and items by Zipf's law, as the features room writes it: sorted by key."""
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


def ratio(ours: Callable[[], object], theirs: Callable[[], object], rounds: int = ROUNDS) -> tuple[float, float, float]:
    """Median seconds of ours and of theirs, and the one over the other; in turn, after one of each that does not count."""
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for call, found in zip((ours, theirs), taken, strict=True):
            began = time.perf_counter()
            call()
            if number:
                found.append(time.perf_counter() - began)
    one, other = (median(found) for found in taken)
    return one, other, one / other


def directly(features: FeatureTables) -> csr_matrix:
    """The same pairs as whoever calls a library writes it."""
    users, items = (pd.Categorical(features.pairs[key]) for key in (c.USER_ID, c.ITEM_ID))
    entries = (features.pairs["pair_orders"].to_numpy(np.float32), (users.codes, items.codes))
    return csr_matrix(entries, shape=(len(users.categories), len(items.categories)))


def speed() -> Outcome:
    """One million pairs; each library starts from the same pairs as our model does."""
    from implicit.cpu.als import AlternatingLeastSquares
    from implicit.cpu.topk import topk
    from threadpoolctl import threadpool_limits

    given = shop(USERS, ITEMS, PAIRS)

    def fresh() -> Examples:
        return Examples(FeatureTables(given.users, given.items, given.pairs))  # nothing cached from the round before

    def implicit_directly() -> None:
        with threadpool_limits(1, "blas"):
            matrix = directly(given)
            matrix.data = 1.0 + 10.0 * matrix.data
            AlternatingLeastSquares(FACTORS, 1.0, iterations=10, random_state=7).fit(matrix, show_progress=False)

    def ease_directly() -> None:
        matrix = directly(given).astype(np.float64)
        gram = (matrix.T @ matrix).toarray()
        gram[np.diag_indices(len(gram))] += 300.0
        inverse = np.linalg.inv(gram)
        weights = inverse / -np.diag(inverse)
        weights[np.diag_indices(len(weights))] = 0.0

    spec = Ials(factors=FACTORS, iterations=10, engine="implicit")
    model = spec.fit(Examples(), fresh(), 7)
    names = list(given.user_row)
    vectors = np.random.default_rng(7).normal(size=(USERS, FACTORS)).astype(np.float32)
    known = Known(model.items, model.factors, model.penalties, vectors)  # type: ignore[attr-defined]
    known.recommend(names[:1], given, 10)
    model.recommend(names[:1], given, 10)
    factors = model.factors.astype(np.float32)  # type: ignore[attr-defined]
    calls: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "ials": (lambda: spec.fit(Examples(), fresh(), 7), implicit_directly),
        "ease": (lambda: Ease(regularization=300.0).fit(Examples(), fresh(), 7), ease_directly),
        "topk": (lambda: known.recommend(names, given, 10), lambda: topk(factors, vectors, 10, num_threads=0)),
        "batch": (lambda: known.recommend(names, given, 10), spark_batch(given)),
    }
    table = {name: dict(zip(("ours", "theirs", "ratio"), ratio(*pair), strict=True)) for name, pair in calls.items()}
    folded = ratio(lambda: model.recommend(names, given, 10), lambda: None)[0]
    table["batch with every user folded in anew"] = {
        "ours": folded,
        "theirs": table["batch"]["theirs"],
        "ratio": folded / table["batch"]["theirs"],
    }
    figures = {f"{name}_ratio": table[name]["ratio"] for name in ("ials", "ease", "topk")}
    return figures | {"batch_ratio": 1.0 / table["batch"]["ratio"]}, {"speed_table": table}


def spark_batch(features: FeatureTables) -> Callable[[], object]:
    """The top 10 of all users by Spark's ALS as it comes, of a model that is trained already."""
    from pyspark.ml.recommendation import ALS

    from tasks.io.spark import get_spark

    codes = {key: pd.Categorical(features.pairs[key]).codes.astype("int32") for key in (c.USER_ID, c.ITEM_ID)}
    pairs = get_spark().createDataFrame(pd.DataFrame({**codes, "rating": features.pairs["pair_orders"]}))
    learner = ALS(rank=FACTORS, maxIter=1, implicitPrefs=True, userCol=c.USER_ID, itemCol=c.ITEM_ID, ratingCol="rating", seed=7)
    learned = learner.fit(pairs)
    learned.userFactors.cache().count()
    learned.itemFactors.cache().count()
    return lambda: learned.recommendForAllUsers(10).write.format("noop").mode("overwrite").save()


class Known(IalsModel):
    """With vectors that are given, so that the search for the best alone is timed."""

    def __init__(self, items: Any, factors: Any, penalties: Penalties, vectors: Any) -> None:
        super().__init__(items, factors, penalties, None, 1.0)
        self.vectors = vectors.astype(np.float64)

    def user_vectors(self, user_ids: list[str], features: FeatureTables) -> tuple[Any, Any]:
        return self.vectors[[features.user_row[user] for user in user_ids]], np.ones(len(user_ids), dtype=np.bool_)


def memory() -> Outcome:
    """In a process of its own: ten million pairs of 200,000 users and 20,000 items."""
    script = (
        "from benchmarks.models.lists import memory_mb; from benchmarks.models.speed import shop;"
        "from tasks.models.base import Examples;"
        "from tasks.models.ials import Ials; given = shop(200_000, 20_000, 10_000_000);"
        "Ials(factors=64, iterations=2, engine='implicit').fit(Examples(), Examples(given), 7);"
        "print(memory_mb('VmHWM'))"  # getrusage would tell the peak of whoever started it, if that was higher
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {"memory_mb": float(told.stdout.strip().splitlines()[-1])}, {}

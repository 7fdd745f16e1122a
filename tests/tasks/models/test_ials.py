"""iALS: folding in, the choice of the engine, and the agreement of both engines."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from tasks.models.base import Examples
from tasks.models.histories import Weighing, read_histories
from tasks.models.ials import Ials, IalsModel

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
from tests.contracts.cases import Case
from tests.tasks.models.checkerboard import tastes

CASES = {"ials": Case(quick={"factors": 4, "iterations": 2})}


def test_folding_in_agrees_with_the_library() -> None:
    from implicit.cpu.als import AlternatingLeastSquares

    features = tastes(60, 40)
    spec = Ials(factors=6, iterations=5, regularization=2.0, alpha=3.0)
    model = spec.fit(Examples(features), Examples(features), 7)
    assert isinstance(model, IalsModel)
    histories = read_histories(Examples(features), Weighing(count_orders=True), "ials")
    library = AlternatingLeastSquares(factors=6, regularization=2.0)
    library.item_factors, library.user_factors = model.factors.astype(np.float32), np.zeros((60, 6), np.float32)
    confidences = histories.matrix
    confidences.data = 1.0 + 3.0 * confidences.data
    theirs = library.recalculate_user(np.arange(len(histories.users)), csr_matrix(confidences, dtype=np.float32))
    ours = [model.fold_in(str(name), features) for name in histories.users]
    np.testing.assert_allclose(np.array(ours), theirs, atol=2e-4)


def test_many_users_are_scored_as_one() -> None:
    features = tastes(60, 40)
    model = Ials(factors=6, iterations=3).fit(Examples(features), Examples(features), 7)
    names = [*features.user_row, "nobody"]
    together, paths = model.score_users(names, features)
    alone = [model.score_items(name, features) for name in names]
    np.testing.assert_allclose(together, np.stack([scores for scores, _ in alone]), atol=1e-9)
    assert paths == [path for _, path in alone]


def test_the_engine_follows_the_size_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    histories = read_histories(Examples(tastes(60, 40)), Weighing(), "ials")
    with caplog.at_level(logging.INFO, logger="tasks.models.ials"):
        assert Ials().choose_engine(histories) == "implicit"
    assert (
        f"{len(histories.places)} pairs of {len(histories.users)} users and {len(histories.items)} items need 0 MB here"
        in caplog.text
    )
    large = {"factors": 1024, "local_memory_mb": 1}
    by_hand = (len(histories.places) * 48 + (len(histories.users) + len(histories.items)) * 1024 * 8) / 2**20
    assert Ials(**large).needed_mb(histories) == pytest.approx(by_hand)
    larger = read_histories(Examples(tastes(300, 200)), Weighing(), "ials")
    assert Ials(**large).choose_engine(larger) == "spark"
    assert Ials(**large, engine="implicit").choose_engine(larger) == "implicit"
    assert Ials(engine="spark").choose_engine(histories) == "spark"


def test_the_two_engines_of_ials_agree(spark: SparkSession) -> None:
    features = tastes(120, 60)
    lists = []
    for engine in ("implicit", "spark"):
        spec = Ials(factors=6, iterations=15, regularization=2.0, alpha=5.0, engine=engine)
        model = spec.fit(Examples(features), Examples(features), 7)
        lists.append([set(answer.items) for answer in model.recommend(list(features.user_row), features, 10, True)])
    shared = [len(one & other) / 10 for one, other in zip(*lists, strict=True)]
    assert np.mean(shared) > 0.8, "of ten items, by two penalties that are equal on average"

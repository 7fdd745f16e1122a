"""ALS: the missing item is found, users fold in as Spark's last step, ratings improve on bias."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.training import ScoringTerms
from tasks.models.als import Als, AlsModel
from tasks.models.base import Examples, FeatureTables
from tasks.models.bias import Bias
from tasks.models.popularity import Popularity
from tasks.problems import score_model
from tests.tasks.models.checkerboard import USERS, checkerboard, missing_item, user

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
from tests.contracts.cases import Case
from tests.tasks.models.checkerboard import features_of

CASES = {"als": Case(small={"factors": 4, "iterations": 8}, quick={"factors": 2, "iterations": 1})}


SMALL_ALS = Als(factors=4, iterations=10, regularization=0.05)


def test_als_finds_the_missing_item(spark: SparkSession) -> None:
    examples = checkerboard(TaskKind.PROPENSITY)
    known = features_of(examples)
    names = [user(number) for number in range(USERS)]
    found = SMALL_ALS.fit(examples, examples, 7).recommend(names, known, k=1, exclude_seen=True)
    assert [answer.items for answer in found] == [(missing_item(number),) for number in range(USERS)]
    assert {answer.path for answer in found} == {"model"}
    popular = Popularity().fit(examples, examples, 7)
    metrics = [
        score_model(
            model,
            examples,
            ScoringTerms(use_case="test", task=TaskKind.PROPENSITY, metrics=("ndcg_at_3",), k=3, exclude_seen=True),
        ).metrics["ndcg_at_3"]
        for model in (SMALL_ALS.fit(examples, examples, 7), popular)
    ]
    assert metrics[0] > metrics[1] + 0.2


def test_folding_in_equals_sparks_last_step(spark: SparkSession) -> None:
    """Solved from their pairs, the users get the factors that Spark itself learned for them."""
    from pyspark.ml.recommendation import ALS

    for task in (TaskKind.PROPENSITY, TaskKind.RATING):
        known = features_of(checkerboard(task))
        model = SMALL_ALS.fit(Examples(known), Examples(known), 7)
        assert isinstance(model, AlsModel)
        pairs = known.sorted_pairs
        codes = [np.unique(pairs[key].to_numpy(str), return_inverse=True) for key in (c.USER_ID, c.ITEM_ID)]
        frame = pd.DataFrame(
            {"user": codes[0][1].astype("int32"), "item": codes[1][1].astype("int32"), "rating": model.weights(known)}
        )
        als = ALS(
            rank=4,
            maxIter=10,
            regParam=0.05,
            alpha=20.0,
            implicitPrefs=task is TaskKind.PROPENSITY,
            numUserBlocks=2,
            numItemBlocks=2,
            seed=7,
            userCol="user",
            itemCol="item",
            ratingCol="rating",
        )
        table = spark.createDataFrame(frame).repartition(1).sortWithinPartitions("user", "item")
        theirs = als.fit(table).userFactors.toPandas().set_index("id")["features"]
        for place, name in enumerate(codes[0][0]):
            folded_in = model.fold_in(str(name), known)
            assert folded_in is not None
            np.testing.assert_allclose(folded_in, theirs[place], atol=1e-4)


def test_a_user_who_came_after_training_is_folded_in(spark: SparkSession) -> None:
    examples = checkerboard(TaskKind.PROPENSITY)
    model = SMALL_ALS.fit(examples, examples, 7)
    known = features_of(examples)
    met = known.pairs[known.pairs[c.USER_ID] == user(1)].iloc[:4].assign(user_id="newcomer")
    grown = FeatureTables(known.users, known.items, pd.concat([known.pairs, met]))
    (answer,) = model.recommend(["newcomer"], grown, k=4, exclude_seen=True)
    assert answer.path == "model"
    assert {int(name[1:]) % 2 for name in answer.items} == {1}, "who bought odd items gets odd items"
    (cold,) = model.recommend(["nobody"], grown, k=4)
    assert cold.path == "popular"
    best = model.recommend([user(0)], grown, k=1)[0].raw_scores[0]
    assert 0.0 < cold.raw_scores[0] <= 1.5 * best, "popular scores are on the scale of the model's, for calibration"


def test_als_of_ratings_beats_bias(spark: SparkSession) -> None:
    examples = checkerboard(TaskKind.RATING)
    errors = [
        score_model(
            spec.fit(examples, examples, 7),
            examples,
            ScoringTerms(use_case="test", task=TaskKind.RATING, metrics=("rmse",), k=5),
        ).metrics["rmse"]
        for spec in (SMALL_ALS, Bias())
    ]
    assert errors[0] < 0.7
    assert errors[0] < 0.5 * errors[1]

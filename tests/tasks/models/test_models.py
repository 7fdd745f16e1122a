"""What each kind must find, on data where the answer is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.errors import ModelError
from tasks.metrics import score_model
from tasks.models.als import Als, AlsModel
from tasks.models.base import Examples, FeatureTables
from tasks.models.bias import Bias
from tasks.models.logistic_regression import LogisticRegressionSpec
from tasks.models.popularity import Popularity, PopularityModel
from tasks.models.prior import Prior
from tasks.models.propensity_regression import PropensityRegression, PropensityRegressionModel
from tasks.models.rating_regression import RatingRegression
from tests.tasks.models.checkerboard import ITEMS, USERS, checkerboard, missing_item, tables, user

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SMALL_ALS = Als(factors=4, iterations=10, regularization=0.05)


def features_of(examples: Examples) -> FeatureTables:
    assert examples.features is not None
    return examples.features


# popularity


def test_popularity_by_hand() -> None:
    items = pd.DataFrame({c.ITEM_ID: ["new", "old"], "item_buyers_7d": [7.0, 0.0], "item_buyers_28d": [7.0, 28.0]})
    nobody = pd.DataFrame({c.USER_ID: [], c.ITEM_ID: []}, dtype=object)
    features = FeatureTables(nobody[[c.USER_ID]], items, nobody)
    scores, path = PopularityModel(half_life_days=7.0).score_items("ann", features)
    assert path == "popular"
    assert scores.tolist() == pytest.approx([0.5 * 1.0 + 0.0625 * 0.25, 0.0625 * 1.0])
    assert PopularityModel(half_life_days=3000.0).score_items("ann", features)[0][1] == pytest.approx(1.0, rel=0.01)


def test_popularity_of_one_window() -> None:
    items = pd.DataFrame({c.ITEM_ID: ["mug", "tea"], "item_buyers_7d": [9.0, 1.0], "item_buyers_28d": [10.0, 20.0]})
    features = FeatureTables(pd.DataFrame({c.USER_ID: []}), items, pd.DataFrame({c.USER_ID: [], c.ITEM_ID: []}))
    best = {
        days: Popularity(recent_days=days).fit(Examples(), Examples(features), 7).recommend(["ann"], features, k=1)[0].items[0]
        for days in (7, 28)
    }
    assert best == {7: "mug", 28: "tea"}
    with pytest.raises(ModelError, match=r"item_buyers_14d; the features have windows of 7, 28 days: .*lookback_days"):
        Popularity(recent_days=14).fit(Examples(), Examples(features), 7)


def test_features_of_another_shape_are_told() -> None:
    nobody = pd.DataFrame({c.USER_ID: [], c.ITEM_ID: []}, dtype=object)
    features = FeatureTables(nobody, pd.DataFrame({c.ITEM_ID: ["a"], "price": [1.0]}), nobody)
    with pytest.raises(ModelError, match="item_buyers_<days>d; the items have: item_id, price"):
        PopularityModel(7.0).score_items("ann", features)


# als


def test_als_finds_the_missing_item_and_popularity_does_not(spark: SparkSession) -> None:
    examples = checkerboard(TaskKind.PROPENSITY)
    known = features_of(examples)
    names = [user(number) for number in range(USERS)]
    found = SMALL_ALS.fit(examples, examples, 7).recommend(names, known, k=1, exclude_seen=True)
    assert [answer.items for answer in found] == [(missing_item(number),) for number in range(USERS)]
    assert {answer.path for answer in found} == {"model"}
    popular = Popularity().fit(examples, examples, 7)
    metrics = [
        score_model(model, examples, TaskKind.PROPENSITY, ("ndcg_at_3",), 3, True).metrics["ndcg_at_3"]
        for model in (SMALL_ALS.fit(examples, examples, 7), popular)
    ]
    assert metrics[0] > metrics[1] + 0.2


def test_folding_in_is_sparks_own_last_step(spark: SparkSession) -> None:
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
        score_model(spec.fit(examples, examples, 7), examples, TaskKind.RATING, ("rmse",), 5, False).metrics["rmse"]
        for spec in (SMALL_ALS, Bias())
    ]
    assert errors[0] < 0.7
    assert errors[0] < 0.5 * errors[1]


# ratings


def test_bias_by_hand() -> None:
    met = pd.DataFrame(
        [("ann", "heat", 5.0), ("bob", "heat", 4.0), ("bob", "up", 2.0)], columns=[c.USER_ID, c.ITEM_ID, c.LABEL]
    )
    examples = Examples(tables(met, TaskKind.RATING))
    model = Bias(item_damping=0.0, user_damping=1.0).fit(examples, examples, 7)
    mean = 11 / 3
    asked = pd.DataFrame({c.USER_ID: ["ann", "bob", "eve", "ann"], c.ITEM_ID: ["heat", "up", "heat", "new"]})
    ann, bob = 0.5 / 2, (-0.5 + 0.0) / 3  # what the item effects 4.5 and 2 leave over, pulled by one more rating
    assert model.predict_ratings(asked, features_of(examples)).tolist() == pytest.approx([4.5 + ann, 2.0, 4.5, mean + ann])
    scores, path = model.score_items("bob", features_of(examples))
    assert (path, scores.tolist()) == ("model", pytest.approx([4.5 + bob, 2.0 + bob]))


def test_rating_regression_learns_to_trust_counts() -> None:
    """Users rate at their own level: the mean of a user is the answer, whatever the item."""
    random = np.random.default_rng(1)
    level = {f"u{n:02d}": float(n % 5 + 1) for n in range(40)}
    rows = [(name, f"i{random.integers(30):02d}", value) for name, value in level.items() for _ in range(20)]
    met = pd.DataFrame(rows, columns=[c.USER_ID, c.ITEM_ID, c.LABEL]).drop_duplicates([c.USER_ID, c.ITEM_ID])
    labels = pd.DataFrame([(name, "i00", value) for name, value in level.items()], columns=met.columns)
    examples = Examples(tables(met, TaskKind.RATING), labels)
    model = RatingRegression().fit(examples, examples, 7)
    error = score_model(model, examples, TaskKind.RATING, ("rmse",), 5, False).metrics["rmse"]
    assert error < 0.3
    cold = model.predict_ratings(pd.DataFrame({c.USER_ID: ["new"], c.ITEM_ID: ["new"]}), features_of(examples))
    assert 1.0 <= cold[0] <= 5.0


# propensity


def test_propensity_regression_learns_that_customers_come_back() -> None:
    """Each buys again what they bought; the rest of the shelf is equally popular."""
    known = features_of(checkerboard(TaskKind.PROPENSITY))
    labels = known.pairs[[c.USER_ID, c.ITEM_ID]].assign(label=1.0)
    examples = Examples(known, labels)
    model = PropensityRegression().fit(examples, examples, 7)
    for number, answer in enumerate(model.recommend([user(0), user(1)], known, k=ITEMS // 2 - 1)):
        assert {int(item[1:]) % 2 for item in answer.items} == {number}
        assert missing_item(number) not in answer.items
    (cold,) = model.recommend(["nobody"], known, k=3)
    assert (cold.path, len(cold.items)) == ("popular", 3)


def test_served_scores_are_the_regressions_own() -> None:
    """The three vectors of the served form add up to the stacked features of training."""
    examples = checkerboard(TaskKind.PROPENSITY)
    known = features_of(examples)
    model = PropensityRegression().fit(examples, examples, 7)
    assert isinstance(model, PropensityRegressionModel)
    names = np.repeat(np.array([user(3), "nobody"], dtype=object), len(known.item_ids))
    places = np.tile(np.arange(len(known.item_ids)), 2)
    expected = model.design.stack(known, names, places) @ model.weights + model.intercept
    users = model.design.bounds[0]
    assert users == len(model.design.items)
    scores = np.concatenate([model.score_items(user(3), known)[0], model.score_items("nobody", known)[0]])
    np.testing.assert_allclose(scores, expected, atol=1e-9)


# rows


def test_logistic_regression_is_scikit_learns() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    examples = checkerboard(TaskKind.CLASSIFICATION)
    assert examples.rows is not None
    names = ["mean radius", "mean texture", "worst area"]
    values = examples.rows[names].fillna(examples.rows[names].mean())
    theirs = make_pipeline(StandardScaler(), LogisticRegression(C=0.5, max_iter=2000)).fit(values, examples.rows[c.TARGET])
    ours = LogisticRegressionSpec(regularization=2.0).fit(examples, examples, 7)
    np.testing.assert_allclose(ours.predict_rows(examples.rows), theirs.predict_proba(values)[:, 1], atol=1e-6)


def test_prior_is_the_share_of_the_class() -> None:
    examples = checkerboard(TaskKind.CLASSIFICATION)
    assert examples.rows is not None
    found = Prior().fit(examples, examples, 7).predict_rows(examples.rows[:3])
    assert found.tolist() == [examples.rows[c.TARGET].mean()] * 3


def test_a_missing_column_is_named() -> None:
    examples = checkerboard(TaskKind.CLASSIFICATION)
    assert examples.rows is not None
    model = LogisticRegressionSpec().fit(examples, examples, 7)
    with pytest.raises(ModelError, match="needs the columns worst area, which the features lack"):
        model.predict_rows(examples.rows.drop(columns="worst area"))


def test_random_candidates_stand_for_the_whole_shelf() -> None:
    """Each customer buys one unmet item from a long shelf, and one again: what they know is the better answer.

    Without weights the unmet items among the candidates are mostly those that were bought, and they would win.
    """
    size, shelf = 60, 600
    met = [(f"u{n:02d}", f"i{item:03d}", 5.0) for n in range(size) for item in range(n % 5, 50, 5)]
    met += [("collector", f"i{item:03d}", 5.0) for item in range(shelf)]
    labels = [(f"u{n:02d}", f"i{item:03d}", 1.0) for n in range(size) for item in (n % 5, n % 5 + 5, 50 + n * 9)]
    columns = [c.USER_ID, c.ITEM_ID, c.LABEL]
    known = tables(pd.DataFrame(met, columns=columns), TaskKind.PROPENSITY)
    examples = Examples(known, pd.DataFrame(labels, columns=columns))
    model = PropensityRegression(popular_items=0, random_items=2).fit(examples, examples, 7)
    (answer,) = model.recommend(["u03"], known, k=10)
    assert set(answer.items) == {f"i{item:03d}" for item in range(3, 50, 5)}

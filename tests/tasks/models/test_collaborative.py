"""The models of histories: what their formulas and their libraries say, they say."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.errors import NotEnoughData
from tasks.models.base import Examples, FeatureTables
from tasks.models.bpr import Bpr
from tasks.models.content import Content
from tasks.models.ease import Ease, EaseModel
from tasks.models.histories import Weighing, read_histories
from tasks.models.hybrid import Hybrid
from tasks.models.ials import Ials, IalsModel
from tasks.models.item_knn import ItemKnn
from tests.tasks.models.checkerboard import ITEMS, USERS, checkerboard, item, missing_item, tables, user

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

EVERYBODY = [user(number) for number in range(USERS)]


def known() -> tuple[Examples, FeatureTables]:
    examples = checkerboard(TaskKind.PROPENSITY)
    assert examples.features is not None
    return examples, examples.features


def tastes(users: int, items: int, seed: int = 3) -> FeatureTables:
    """Users who meet items by a taste in three dimensions."""
    random = np.random.default_rng(seed)
    affinity = random.normal(size=(users, 3)) @ random.normal(size=(3, items)) + random.normal(0, 0.5, (users, items))
    met = np.argwhere(affinity > np.quantile(affinity, 0.85))
    names = [(f"u{u:03d}", f"i{i:03d}", 1.0) for u, i in met]
    return tables(pd.DataFrame(names, columns=[c.USER_ID, c.ITEM_ID, c.LABEL]), TaskKind.PROPENSITY)


@pytest.mark.parametrize(
    "spec", [Ials(factors=4, iterations=10), Bpr(factors=8, iterations=300), ItemKnn(), Ease(regularization=5.0)]
)
def test_the_missing_item_is_found(spec: Ials | Bpr | ItemKnn | Ease) -> None:
    examples, features = known()
    found = spec.fit(examples, examples, 7).recommend(EVERYBODY, features, k=1, exclude_seen=True)
    assert [answer.items for answer in found] == [(missing_item(number),) for number in range(USERS)]
    assert {answer.path for answer in found} == {"model"}


@pytest.mark.parametrize(
    "spec", [Ials(factors=4), Bpr(factors=8, iterations=300), ItemKnn(), Ease(regularization=5.0), Content()]
)
def test_who_came_after_training_is_answered_from_what_they_met(spec: Ials | Bpr | ItemKnn | Ease | Content) -> None:
    examples, features = known()
    model = spec.fit(examples, examples, 7)
    met = features.pairs[features.pairs[c.USER_ID] == user(1)].iloc[:4].assign(user_id="newcomer")
    grown = FeatureTables(features.users, features.items, pd.concat([features.pairs, met]))
    (answer,) = model.recommend(["newcomer"], grown, k=4, exclude_seen=True)
    assert answer.path == "model"
    assert {int(name[1:]) % 2 for name in answer.items} == {1}
    (cold,) = model.recommend(["nobody"], grown, k=4)
    best = max(model.recommend([user(0)], grown, k=1)[0].raw_scores)
    assert cold.path == "popular"
    assert 0.0 < cold.raw_scores[0] <= 1.5 * best, "on the scale of the model's scores, for calibration"


def test_weights_count_and_fade() -> None:
    _, features = known()
    pairs = features.pairs.assign(pair_orders=3.0, pair_recency_days=20.0)
    moved = FeatureTables(features.users, features.items, pairs)
    assert set(Weighing().of(moved)) == {1.0}
    assert set(Weighing(count_orders=True).of(moved)) == {3.0}
    assert Weighing(count_orders=True, half_life_days=10.0).of(moved) == pytest.approx(0.75)
    unordered = FeatureTables(features.users, features.items, pairs.assign(pair_orders=0.0))
    with pytest.raises(NotEnoughData, match="not one has any"):
        read_histories(Examples(unordered), Weighing(), "ease")


# ials


def test_ials_folds_a_user_in_as_the_library_does() -> None:
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


def test_ials_answers_many_as_it_answers_one() -> None:
    features = tastes(60, 40)
    model = Ials(factors=6, iterations=3).fit(Examples(features), Examples(features), 7)
    names = [*features.user_row, "nobody"]
    together, paths = model.score_users(names, features)
    alone = [model.score_items(name, features) for name in names]
    np.testing.assert_allclose(together, np.stack([scores for scores, _ in alone]), atol=1e-9)
    assert paths == [path for _, path in alone]


def test_ials_chooses_its_engine_by_size_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
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


# ease


def test_ease_is_its_closed_form() -> None:
    features = tastes(80, 30)
    model = Ease(regularization=10.0).fit(Examples(features), Examples(features), 7)
    assert isinstance(model, EaseModel)
    histories = read_histories(Examples(features), Weighing(), "ease")
    matrix = histories.matrix.toarray()
    inverse = np.linalg.inv(matrix.T @ matrix + 10.0 * np.eye(len(histories.items)))
    expected = np.eye(len(inverse)) - inverse / np.diag(inverse)[None, :]
    np.testing.assert_allclose(model.weights, expected, atol=1e-5)
    scores, _ = model.score_items("u003", features)
    np.testing.assert_allclose(scores, matrix[histories.users.tolist().index("u003")] @ expected, atol=1e-4)


def test_ease_refuses_what_would_not_fit() -> None:
    features = tastes(80, 30)
    with pytest.raises(NotEnoughData, match=r"items need .* max_items allows 20\. .* take ials"):
        Ease(max_items=20).fit(Examples(features), Examples(features), 7)


# item_knn


def test_item_knn_scores_as_the_library_does() -> None:
    from implicit.nearest_neighbours import CosineRecommender

    features = tastes(80, 30)
    model = ItemKnn(neighbours=10).fit(Examples(features), Examples(features), 7)
    histories = read_histories(Examples(features), Weighing(), "item_knn")
    library = CosineRecommender(K=10)
    library.fit(histories.matrix, show_progress=False)
    for row in (0, 17):
        places, scores = library.recommend(row, histories.matrix[row], N=5, filter_already_liked_items=False)
        ours, _ = model.score_items(str(histories.users[row]), features)
        np.testing.assert_allclose(ours[places], scores, rtol=1e-9)
        assert ours.max() == pytest.approx(scores[0])


# content and hybrid


def test_new_items_find_those_who_like_their_kind() -> None:
    """Items of which nothing is known but their words: plain ials has no score for them."""
    examples, features = known()
    fresh = [features.items.iloc[[number]].assign(item_id=f"n{number}", item_buyers_28d=0.0) for number in (0, 1)]
    grown = FeatureTables(features.users, pd.concat([features.items, *fresh]), features.pairs)
    place = grown.item_position
    for spec in (Content(), Hybrid(factors=4)):
        model = spec.fit(examples, examples, 7)
        for number in (0, 1, 2, 3):
            scores, path = model.score_items(user(number), grown)
            mine, other = scores[place[f"n{number % 2}"]], scores[place[f"n{1 - number % 2}"]]
            assert path == "model"
            assert mine > other + 0.1
    plain, _ = Ials(factors=4).fit(examples, examples, 7).score_items(user(0), grown)
    assert plain[place["n0"]] == -np.inf


def test_hybrid_scores_known_items_as_ials_does() -> None:
    examples, features = known()
    settings = {"factors": 4, "iterations": 5}
    one, other = (kind(**settings).fit(examples, examples, 7) for kind in (Ials, Hybrid))
    np.testing.assert_allclose(one.score_items(user(3), features)[0], other.score_items(user(3), features)[0], atol=1e-9)


def test_content_reads_words_as_scikit_learn_does() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    from tasks.models.text import ItemVectors

    _, features = known()
    texts = ["Black IRON piece", "white, porcelain-piece; a piece", "", "café crème"] * 4
    items = features.sorted_items.assign(item_text=texts)
    vectors = ItemVectors.learn(FeatureTables(features.users, items, features.pairs), 1000, 1000, 1000, 7)
    expected = TfidfVectorizer().fit([text for text in texts if text]).transform(texts).toarray()
    np.testing.assert_allclose(vectors.of(items), expected, atol=1e-6)


def test_content_without_words_is_refused() -> None:
    examples, features = known()
    mute = FeatureTables(features.users, features.items.drop(columns=c.ITEM_TEXT), features.pairs)
    with pytest.raises(NotEnoughData, match="need items with the column item_text or columns item_attribute_"):
        Content().fit(examples, Examples(mute), 7)
    numbers = mute.items.assign(item_attribute_colour=[float(int(name[1:]) % 2) for name in mute.items[c.ITEM_ID]])
    told = FeatureTables(mute.users, numbers, mute.pairs)
    (answer,) = Content().fit(examples, Examples(told), 7).recommend([user(0)], told, k=ITEMS // 2)
    assert set(answer.items) == {item(number) for number in range(0, ITEMS, 2)}

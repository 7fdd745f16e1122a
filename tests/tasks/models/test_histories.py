"""What models of histories share: the missing item, users after training, weights of pairs."""

from __future__ import annotations

import pandas as pd
import pytest

from tasks import columns as c
from tasks.errors import NotEnoughData
from tasks.models.base import Examples, FeatureTables
from tasks.models.bpr import Bpr
from tasks.models.content import Content
from tasks.models.ease import Ease
from tasks.models.histories import Weighing, read_histories
from tasks.models.ials import Ials
from tasks.models.item_knn import ItemKnn
from tests.tasks.models.checkerboard import USERS, known, missing_item, user

ALL_USERS = [user(number) for number in range(USERS)]


@pytest.mark.parametrize(
    "spec", [Ials(factors=4, iterations=10), Bpr(factors=8, iterations=300), ItemKnn(), Ease(regularization=5.0)]
)
def test_the_missing_item_is_found(spec: Ials | Bpr | ItemKnn | Ease) -> None:
    examples, features = known()
    found = spec.fit(examples, examples, 7).recommend(ALL_USERS, features, k=1, exclude_seen=True)
    assert [answer.items for answer in found] == [(missing_item(number),) for number in range(USERS)]
    assert {answer.path for answer in found} == {"model"}


@pytest.mark.parametrize(
    "spec", [Ials(factors=4), Bpr(factors=8, iterations=300), ItemKnn(), Ease(regularization=5.0), Content()]
)
def test_users_after_training_are_scored_by_their_items(spec: Ials | Bpr | ItemKnn | Ease | Content) -> None:
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


def test_weights_count_orders_and_halve() -> None:
    _, features = known()
    pairs = features.pairs.assign(pair_orders=3.0, pair_recency_days=20.0)
    moved = FeatureTables(features.users, features.items, pairs)
    assert set(Weighing().of(moved)) == {1.0}
    assert set(Weighing(count_orders=True).of(moved)) == {3.0}
    assert Weighing(count_orders=True, half_life_days=10.0).of(moved) == pytest.approx(0.75)
    unordered = FeatureTables(features.users, features.items, pairs.assign(pair_orders=0.0))
    with pytest.raises(NotEnoughData, match=r"none of \d+ pairs has one"):
        read_histories(Examples(unordered), Weighing(), "ease")

"""Item-kNN: agreement with the library."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.errors import NotEnoughData
from tasks.models.base import Examples
from tasks.models.histories import Weighing, read_histories
from tasks.models.item_knn import ItemKnn, ItemKnnModel
from tests.contracts.cases import Case
from tests.tasks.models.checkerboard import aged, tastes

CASES = {"item_knn": Case(quick={"max_products": 10**9})}


def test_scores_agree_with_the_library() -> None:
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


def test_an_old_shop_does_not_come_to_the_limit() -> None:
    young = tastes(80, 30)
    old = aged(young, 400, each=20)
    histories = [read_histories(Examples(features), Weighing(), "item_knn") for features in (young, old)]
    few, many = (int((np.diff(one.starts) ** 2).sum()) for one in histories)
    assert many > 2 * few
    limited = ItemKnn(max_products=2 * few).fit(Examples(old), Examples(old), 7)
    assert isinstance(limited, ItemKnnModel) and limited.items.tolist() == histories[0].items.tolist()
    with pytest.raises(NotEnoughData, match="items on sale of"):
        ItemKnn(max_products=few - 1).fit(Examples(old), Examples(old), 7)

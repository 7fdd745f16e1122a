"""Hybrid: new items are scored by their text, known ones as in iALS."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tasks.models.base import Examples, FeatureTables
from tasks.models.content import Content
from tasks.models.hybrid import Hybrid, HybridModel
from tasks.models.ials import Ials
from tests.contracts.cases import Case
from tests.tasks.models.checkerboard import ITEMS, aged, known, user

CASES = {
    "hybrid": Case(
        small={"dimensions": 8}, quick={"factors": 4, "iterations": 2, "dimensions": 4, "max_items": 200_000, "max_words": 1000}
    )
}


def test_new_items_are_scored_by_their_text() -> None:
    """Items of which only the words are known: plain ials has no score for them."""
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


def test_known_items_are_scored_as_by_ials() -> None:
    examples, features = known()
    settings = {"factors": 4, "iterations": 5}
    one, other = (kind(**settings).fit(examples, examples, 7) for kind in (Ials, Hybrid))
    np.testing.assert_allclose(one.score_items(user(3), features)[0], other.score_items(user(3), features)[0], atol=1e-9)


def test_beyond_the_limit_only_new_items_on_sale_have_vectors_of_content() -> None:
    examples, features = known()
    fresh = features.items.iloc[[0]].assign(item_id="n0", item_buyers_28d=0.0)
    grown = FeatureTables(features.users, pd.concat([features.items, fresh]), features.pairs)
    old = FeatureTables(grown.users, aged(grown, 50).items, grown.pairs)
    limited = Hybrid(factors=4, max_items=ITEMS + 1).fit(examples, Examples(old), 7)
    assert isinstance(limited, HybridModel)
    scores, _ = HybridModel.from_state(*limited.state()).score_items(user(0), old)
    assert np.isfinite(scores[old.on_sale]).all() and not np.isfinite(scores[~old.on_sale]).any()
    young = Hybrid(factors=4).fit(examples, Examples(grown), 7).score_items(user(0), grown)[0]
    np.testing.assert_allclose(scores[old.on_sale], young, atol=1e-9)

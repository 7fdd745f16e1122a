"""The popularity model: its formula by hand, and the columns that it needs."""

from __future__ import annotations

import pandas as pd
import pytest

from tasks import columns as c
from tasks.errors import ModelError
from tasks.models.base import Examples, FeatureTables
from tasks.models.popularity import Popularity, PopularityModel


def test_popularity_by_hand() -> None:
    items = pd.DataFrame({c.ITEM_ID: ["new", "old"], "item_buyers_7d": [7.0, 0.0], "item_buyers_28d": [7.0, 28.0]})
    no_rows = pd.DataFrame({c.USER_ID: [], c.ITEM_ID: []}, dtype=object)
    features = FeatureTables(no_rows[[c.USER_ID]], items, no_rows)
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


def test_missing_columns_are_named() -> None:
    no_rows = pd.DataFrame({c.USER_ID: [], c.ITEM_ID: []}, dtype=object)
    features = FeatureTables(no_rows, pd.DataFrame({c.ITEM_ID: ["a"], "price": [1.0]}), no_rows)
    with pytest.raises(ModelError, match="item_buyers_<days>d; the items have: item_id, price"):
        PopularityModel(7.0).score_items("ann", features)

"""Factorization machines: agreement with the library, and the effect of days and attributes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.contracts.base import TaskKind
from tasks.models.base import Examples, FeatureTables
from tasks.models.factorization_machine import FactorizationMachine
from tasks.models.factorization_machine_served import FactorizationMachineModel
from tests.contracts.cases import Case
from tests.tasks.models.checkerboard import tables

CASES = {
    "factorization_machine": Case(
        small={"iterations": 60}, quick={"factors": 2, "iterations": 4, "served_samples": 2, "local_memory_mb": 200}
    ),
    "spark_fm": Case(
        small={"factors": 2, "iterations": 5, "use_histories": True},
        quick={"factors": 2, "iterations": 1, "max_cells": 500_000},
    ),
}


def films(users: int = 30, items: int = 20) -> FeatureTables:
    """Young users like even films, others odd ones; ratings rise by the day."""
    random = np.random.default_rng(1)
    pairs = [(u, i) for u in range(users) for i in range(items) if random.random() < 0.6]
    met = pd.DataFrame(
        [(f"u{u:02d}", f"i{i:02d}", 4.0 if u % 2 == i % 2 else 2.0) for u, i in pairs], columns=[c.USER_ID, c.ITEM_ID, c.LABEL]
    )
    known = tables(met, TaskKind.RATING)
    recency = random.integers(1, 11, len(met)).astype(float)
    rated = known.pairs.assign(pair_recency_days=recency, pair_rating=met[c.LABEL] + (recency < 6))
    young = [float(int(name[1:]) % 2) for name in known.users[c.USER_ID]]
    even = [float(int(name[1:]) % 2) for name in known.items[c.ITEM_ID]]
    return FeatureTables(known.users.assign(user_attribute_odd=young), known.items.assign(item_attribute_odd=even), rated)


def fit(features: FeatureTables, **settings: object) -> FactorizationMachineModel:
    spec = FactorizationMachine.model_validate({"iterations": 80, "factors": 4, **settings})
    model = spec.fit(Examples(features), Examples(features), 7)
    assert isinstance(model, FactorizationMachineModel)
    return model


def by_hand(model: FactorizationMachineModel, row: Floats) -> float:
    """The definition: a sum over each two columns of a row."""
    vectors = model.vectors.astype(np.float64)
    total = model.intercept + float(model.linear @ row)
    filled = np.flatnonzero(row)
    for place, a in enumerate(filled):
        for b in filled[place + 1 :]:
            total += float(vectors[a] @ vectors[b]) * row[a] * row[b]
    return total


@pytest.mark.parametrize("use_days", [False, True])
def test_served_ratings_follow_the_definition(use_days: bool) -> None:
    features = films()
    model = fit(features, use_days=use_days, served_samples=5)
    pairs = features.sorted_pairs
    asked = pairs.iloc[[0, 57, 200]]
    days, users, own_items, _, items, own_users, _ = model.layout.groups
    starts = np.r_[0, np.cumsum(model.layout.groups)]
    expected = []
    for _, pair in asked.iterrows():
        row = np.zeros(starts[-1])
        user, item = list(model.users).index(pair[c.USER_ID]), list(model.items).index(pair[c.ITEM_ID])
        if days:
            row[int(pair["pair_recency_days"]) - model.layout.newest_day] = 1.0
        row[starts[1] + user] = row[starts[4] + item] = 1.0
        met = [list(model.items).index(name) for name in pairs.loc[pairs[c.USER_ID] == pair[c.USER_ID], c.ITEM_ID]]
        raters = [list(model.users).index(name) for name in pairs.loc[pairs[c.ITEM_ID] == pair[c.ITEM_ID], c.USER_ID]]
        row[starts[2] + np.array(met)] = 1 / np.sqrt(len(met))
        row[starts[5] + np.array(raters)] = 1 / np.sqrt(len(raters))
        row[starts[3]], row[starts[6]] = float(user % 2), float(item % 2)
        expected.append(by_hand(model, row))
    assert (users, own_items, items, own_users) == (30, 20, 20, 30)
    found = model.predict_ratings(asked[[c.USER_ID, c.ITEM_ID, "pair_recency_days"]], features)
    np.testing.assert_allclose(found, np.clip(expected, model.scale.low, model.scale.high), atol=1e-6)
    scores, path = model.score_items("u03", features)
    today = pd.DataFrame({c.USER_ID: "u03", c.ITEM_ID: features.item_ids})
    assert path == "model"
    clipped = np.clip(scores, model.scale.low, model.scale.high)
    np.testing.assert_allclose(clipped, model.predict_ratings(today, features), atol=1e-9)


def test_ratings_agree_with_the_library() -> None:
    from myfm import MyFMRegressor, RelationBlock
    from scipy.sparse import identity

    features = films()
    model = fit(features, use_histories=False, use_attributes=False, served_samples=5000, warm_up=20)
    pairs = features.sorted_pairs
    user, item = (np.unique(pairs[key].to_numpy(str), return_inverse=True)[1].tolist() for key in (c.USER_ID, c.ITEM_ID))
    blocks = [RelationBlock(user, identity(30, format="csr")), RelationBlock(item, identity(20, format="csr"))]
    library = MyFMRegressor(rank=4, random_seed=7)
    ratings = pairs["pair_rating"].to_numpy()
    library.fit(
        None, ratings, X_rel=blocks, n_iter=80, n_kept_samples=60, group_shapes=[30, 20], callback=lambda *_: (False, None)
    )
    found = model.predict_ratings(pairs[[c.USER_ID, c.ITEM_ID]], features)
    np.testing.assert_allclose(found, np.clip(library.predict(None, blocks), 2.0, 5.0), atol=1e-5)


def test_attributes_and_days_change_ratings() -> None:
    features = films()
    model = fit(features, use_days=True)
    fresh = pd.concat([features.items.iloc[[number]].assign(item_id=f"n{number}") for number in (0, 1)])
    grown = FeatureTables(features.users, pd.concat([features.items, fresh]), features.pairs)
    asked = pd.DataFrame({c.USER_ID: ["u01", "u01"], c.ITEM_ID: ["n1", "n0"]})
    alike, other = model.predict_ratings(asked, grown)
    assert alike > other + 0.5
    when = pd.DataFrame({c.USER_ID: "u01", c.ITEM_ID: "i01", "pair_recency_days": [1.0, 10.0, 500.0]})
    late, early, long_ago = model.predict_ratings(when, features)
    assert late > early + 0.3
    assert long_ago == early, "days before the training have its oldest day"
    assert model.predict_ratings(when[[c.USER_ID, c.ITEM_ID]], features)[0] == late, "without a day, the rating is for today"


def test_chains_are_averaged_and_differ() -> None:
    features = films()
    asked = features.sorted_pairs[[c.USER_ID, c.ITEM_ID, "pair_recency_days"]]

    def answers(seed: int, chains: int) -> Floats:
        spec = FactorizationMachine(iterations=40, factors=4, served_samples=40 * chains, chains=chains)
        model = spec.fit(Examples(features), Examples(features), seed)
        assert isinstance(model, FactorizationMachineModel)
        model.scale = replace(model.scale, low=-100.0, high=100.0)  # clipped answers have another mean
        return model.predict_ratings(asked, features)

    one, other = answers(7, 1), answers(8, 1)
    assert np.abs(one - other).max() > 0.01
    np.testing.assert_allclose(answers(7, 2), (one + other) / 2, atol=1e-5)

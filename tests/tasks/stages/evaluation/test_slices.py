"""The members of each slice, and the metrics of slices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.judging import Role
from tasks.errors import ConfigurationError, NotEnoughData
from tasks.metrics import UNIT, WEIGHT, get_metric
from tasks.models.base import Examples, FeatureTables
from tasks.stages.evaluation.gates import GATES
from tasks.stages.evaluation.paired import Answers
from tasks.stages.evaluation.slices import (
    HEAVY_USERS,
    LIGHT_USERS,
    NEW_ITEMS,
    NEW_USERS,
    SliceAnswers,
    SliceTerms,
    make_slices,
)
from tests.tasks.stages.evaluation.contexts import (
    BETTER,
    CHAMPION,
    COUNTRIES,
    NEW,
    REF,
    UNITS,
    USERS,
    answers,
    context,
    holdout,
    lists,
    rows,
    shifted,
)

RECALL = get_metric("recall_at_2", TaskKind.PROPENSITY)


def both(challenger: Answers, champion: Answers) -> dict[Role, Answers]:
    return {Role.CHALLENGER: challenger, Role.CHAMPION: champion}


def cut(*names: str, examples: Examples | None = None, side: Answers = BETTER) -> dict[str, SliceAnswers]:
    metrics = [RECALL] if c.RANK in side.predictions and "recall_at_2" in side.units else []
    return {one.name: one for name in names for one in make_slices(name, examples or holdout(), both(side, side), metrics, 28)}


def test_every_user_is_new_light_or_heavy() -> None:
    """Of 140 users with a past, with 1 to 140 orders, half are light."""
    found = cut(NEW_USERS, LIGHT_USERS, HEAVY_USERS)
    assert found[NEW_USERS].places.tolist() == list(range(140, 200))
    assert found[LIGHT_USERS].places.tolist() == list(range(70))
    assert found[HEAVY_USERS].places.tolist() == list(range(70, 140))
    light = found[LIGHT_USERS].challenger
    assert light.units[UNIT].tolist() == USERS[:70] == light.predictions[c.USER_ID].tolist()


def test_without_orders_the_pairs_are_counted() -> None:
    examples = holdout()
    assert examples.features is not None
    pairs = examples.features.pairs.drop(columns="pair_orders")
    pairs = pd.concat([pairs, pairs.iloc[:50].assign(item_id="i20")])
    bare = replace(examples, features=FeatureTables(examples.features.users, examples.features.items, pairs))
    assert cut(HEAVY_USERS, examples=bare)[HEAVY_USERS].places.tolist() == list(range(50))


def test_values_of_a_column_and_who_has_none() -> None:
    found = cut("segment")
    assert {name: len(one.places) for name, one in found.items()} == {
        "segment=France": 70,
        "segment=Norway": 70,
        "segment=missing": 60,
    }
    assert found["segment=France"].places.tolist() == np.flatnonzero((COUNTRIES == "France") & ~NEW).tolist()


def test_many_values_share_a_slice_and_many_numbers_are_quartered() -> None:
    generator = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            c.ROW_ID: [f"r{row:04d}" for row in range(400)],
            c.TARGET: 1,
            "age": generator.normal(50, 10, 400),
            "code": [f"k{min(row % 40, 25)}" for row in range(400)],
            "ward": np.arange(400) % 3 + 0.0,
        }
    )
    side = rows("m", np.full(400, 0.5), np.ones(400))
    found = cut("age", "code", "ward", examples=Examples(rows=table), side=side)
    ages = {name: len(one.places) for name, one in found.items() if name.startswith("age")}
    assert list(ages.values()) == [100, 100, 100, 100]
    assert next(iter(ages)).startswith("age up to ")
    assert len(found["code=others"].places) == 60
    assert sum(name.startswith("code=k") for name in found) == 20
    assert {name for name in found if name.startswith("ward")} == {"ward=0", "ward=1", "ward=2"}
    all_places = np.concatenate([one.places for name, one in found.items() if name.startswith("age")])
    assert sorted(all_places.tolist()) == list(range(400))


def test_new_items_are_measured_by_themselves() -> None:
    """Each user has one relevant new item; the one model recommends it at rank 2, the other never."""
    knowing, ignorant = lists("a", True), lists("b", False)
    (found,) = make_slices(NEW_ITEMS, holdout(), both(knowing, ignorant), [RECALL], 28)
    assert len(found.places) == UNITS
    assert found.challenger.units["recall_at_2"].tolist() == [1.0] * UNITS
    assert found.champion.units["recall_at_2"].tolist() == [0.0] * UNITS
    assert found.champion.units["recall_at_2" + WEIGHT].tolist() == [1.0] * UNITS
    (none,) = make_slices(NEW_ITEMS, holdout(), both(knowing, ignorant), [RECALL], 1)
    assert len(none.places) == 0, "none is younger than a day"


def test_ratings_of_new_items_are_measured_pair_by_pair() -> None:
    predictions = pd.DataFrame(
        {c.USER_ID: ["u0", "u0", "u1"], c.ITEM_ID: ["i28", "i01", "i02"], c.PREDICTION: [3.0, 3, 3], c.LABEL: [5.0, 3, 3]}
    )
    units = pd.DataFrame({UNIT: ["u0", "u1"], "rmse": [4.0, 0.0], "rmse__weight": [2.0, 1.0]})
    side = Answers(BETTER.evaluation, units, predictions)
    (found,) = make_slices(NEW_ITEMS, holdout(), both(side, side), [get_metric("rmse", TaskKind.RATING)], 28)
    assert found.places.tolist() == [0]
    assert (found.challenger.units["rmse"].tolist(), found.challenger.units["rmse__weight"].tolist()) == ([4.0], [1.0])


def test_impossible_slices_are_refused() -> None:
    with pytest.raises(NotEnoughData, match="users have: segment; items have: item_age_days"):
        cut("country")
    with pytest.raises(NotEnoughData, match="rows have no column 'site'"):
        cut("site", examples=Examples(rows=pd.DataFrame({c.ROW_ID: USERS, "ward": 1.0})))
    deep = get_metric("recall_at_5", TaskKind.PROPENSITY)
    with pytest.raises(NotEnoughData, match="at most 2 ranks"):
        make_slices(NEW_ITEMS, holdout(), both(lists("a", True), lists("b", True)), [deep], 28)


def test_small_slices_are_reported_and_not_judged() -> None:
    """France is worse, and too small to be judged where `min_units` is 80."""
    challenger = shifted(0.50, (COUNTRIES == "France") & ~NEW, -0.25)
    entry = {"kind": "no_slice_regression", "metrics": {"ndcg_at_10": 0.01}, "slices": ["segment"]}
    small = GATES.parse({**entry, "min_units": 80}, "gates").check(context(challenger, CHAMPION, read_holdout=holdout))
    assert small.passed
    assert "too small to judge, fewer than 80 units: segment=missing (60), segment=France (70)" in small.reason
    judged = GATES.parse(entry, "gates").check(context(challenger, CHAMPION, read_holdout=holdout))
    assert "ndcg_at_10 for segment=France" in judged.reason
    assert [one.slice for one in judged.comparisons] == ["segment=missing", "segment=France", "segment=Norway"]
    assert judged.figures["worse"] == 1


def test_roc_auc_of_one_class_and_of_a_nan_challenger() -> None:
    generator = np.random.default_rng(2)
    label = np.r_[np.ones(100), (generator.random(200) < 0.5)].astype(float)
    table = pd.DataFrame({c.ROW_ID: [f"r{row:04d}" for row in range(300)], c.TARGET: 1, "site": [1.0] * 100 + [2.0] * 200})
    good = rows("m", np.clip(label * 0.5 + generator.random(300) * 0.5, 0, 1), label)
    broken = rows("m", np.where(np.arange(300) == 250, np.nan, good.predictions[c.PREDICTION]), label)
    gate = GATES.parse({"kind": "no_slice_regression", "metrics": {"roc_auc": 0.1}, "slices": ["site"]}, "gates")
    results = [
        gate.check(context(side, good, task=TaskKind.CLASSIFICATION, read_holdout=lambda: Examples(rows=table)))
        for side in (good, broken)
    ]
    assert results[0].passed
    assert "no number for either model: roc_auc for site=1" in results[0].reason
    assert not results[1].passed
    assert "roc_auc is not a number on this holdout of site=2" in results[1].reason


@pytest.mark.parametrize(
    ("settings", "task", "message"),
    [
        ({"metrics": {"ndcg_at_10": 0.1}}, TaskKind.CLASSIFICATION, "no metric 'ndcg_at_10'"),
        ({"metrics": {"log_loss": 0.1}}, TaskKind.CLASSIFICATION, "name columns of its rows"),
        ({"metrics": {"rmse": 0.1, "ndcg_at_10": 0.1}}, TaskKind.RATING, "keeps ratings, not lists"),
        ({"metrics": {"recall_at_10": 0.1}}, TaskKind.PROPENSITY, "'recall_at_10' is not evaluated"),
        ({"metrics": {"catalog_coverage_at_10": 0.1}}, TaskKind.PROPENSITY, "cannot be compared"),
    ],
)
def test_slices_that_could_never_work_are_refused_with_the_use_case(
    settings: dict[str, object], task: TaskKind, message: str
) -> None:
    gate = GATES.parse({"kind": "no_slice_regression", **settings}, "gates")
    with pytest.raises(ConfigurationError, match=message):
        gate.check_fits(task, ("ndcg_at_10", "rmse", "log_loss", "catalog_coverage_at_10"), ("als",))


def test_slices_of_the_same_users_are_cut_once() -> None:
    seen = context(BETTER, CHAMPION, read_holdout=holdout)
    first, second = (seen.slices(SliceTerms((NEW_USERS,), ("ndcg_at_10",))) for _ in (1, 2))
    assert first[0] is second[0]
    assert answers("challenger", "a", 0.4).evaluation.holdout == REF

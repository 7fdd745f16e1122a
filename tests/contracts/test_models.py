"""The contract of all models. A new kind is found automatically, for each task of its class."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from serving.ranking.ranking import Ranking, RecentEvent
from serving.ranking.vector_index import VectorIndex
from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.training import ScoringTerms
from tasks.errors import ModelError, NotEnoughData
from tasks.models import MODELS, SERVED
from tasks.models.base import Examples, FeatureTables, ModelSpec, ServedModel, SparkTuned, load_model, save_model
from tests.contracts.cases import case_of
from tests.tasks.models.checkerboard import checkerboard, missing_item, tables, user

ALL = [(kind, task) for kind, spec in MODELS.kinds.items() for task in sorted(spec.tasks)]
RECOMMENDERS = [(kind, task) for kind, task in ALL if not task.answers_rows]
RATERS = [(kind, task) for kind, task in ALL if task is TaskKind.RATING]
CLASSIFIERS = [(kind, task) for kind, task in ALL if task.answers_rows]
UNKNOWN_USER = "nobody"

LARGE = [(kind, task) for large in (TaskKind.PROPENSITY, TaskKind.RATING) for kind, task in RECOMMENDERS if task is large]

ON_SPARK = {kind for kind, spec in MODELS.kinds.items() if issubclass(spec, SparkTuned)}


@pytest.fixture(autouse=True)
def spark_where_it_is_needed(request: pytest.FixtureRequest) -> None:
    """Start a Spark session only for kinds that need one."""
    if request.node.get_closest_marker("jvm"):
        request.getfixturevalue("spark")


def cases(pairs: Sequence[tuple[str, TaskKind]]) -> list[Any]:
    """The pairs as parameters, those that Spark fits with the mark `jvm`."""
    return [pytest.param(*pair, marks=pytest.mark.jvm if pair[0] in ON_SPARK else ()) for pair in pairs]


def make_spec(kind: str) -> ModelSpec:
    return MODELS.parse({"kind": kind, **case_of(kind, MODELS.kinds[kind]).small}, "test")


@lru_cache
def examples(task: TaskKind) -> Examples:
    return checkerboard(task)


@lru_cache
def features(task: TaskKind) -> FeatureTables:
    found = examples(task).features
    assert found is not None
    return found


@lru_cache
def fitted(kind: str, task: TaskKind) -> ServedModel:
    return make_spec(kind).fit(examples(task), examples(task), seed=7)


def answers(model: ServedModel, task: TaskKind) -> np.ndarray:
    """All predictions of a model for the checkerboard, as one vector."""
    if task.answers_rows:
        found = examples(task).rows
        assert found is not None
        return model.predict_rows(found)
    scores = [model.score_items(name, features(task))[0] for name in (user(0), user(1), UNKNOWN_USER)]
    labels = examples(task).labels
    if task is TaskKind.RATING and labels is not None:
        scores.append(model.predict_ratings(labels, features(task)))
    return np.concatenate(scores)


def terms(task: TaskKind) -> ScoringTerms:
    return ScoringTerms(use_case="checkerboard", task=task)


def test_every_spec_has_a_served_model() -> None:
    assert {kind: spec.served.kind for kind, spec in MODELS.kinds.items()} == {kind: kind for kind in SERVED}
    assert {task for _, task in ALL} == set(TaskKind), "every task has at least one model"


@pytest.mark.parametrize(("kind", "task"), cases(ALL))
def test_the_same_seed_gives_the_same_bits(kind: str, task: TaskKind, tmp_path: Path) -> None:
    same = checkerboard(task) if task.answers_rows else _shuffled(checkerboard(task))  # the order of pairs must not matter
    again = make_spec(kind).fit(same, same, seed=7)
    digests = [save_model(m, tmp_path / str(i), terms(task)) for i, m in enumerate((fitted(kind, task), again))]
    assert digests[0] == digests[1]


@pytest.mark.parametrize(("kind", "task"), cases(ALL))
def test_a_loaded_model_predicts_the_same(kind: str, task: TaskKind, tmp_path: Path) -> None:
    model = fitted(kind, task)
    digest = save_model(model, tmp_path / "model", terms(task))
    loaded, loaded_terms = load_model(tmp_path / "model", digest, SERVED)
    assert (type(loaded), loaded_terms) == (type(model), terms(task))
    np.testing.assert_allclose(answers(loaded, task), answers(model, task), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kind", "task"), cases(ALL))
def test_empty_data_are_refused(kind: str, task: TaskKind) -> None:
    with pytest.raises(NotEnoughData):
        make_spec(kind).fit(Examples(), Examples(), seed=7)
    nothing = _emptied(examples(task))
    with pytest.raises(NotEnoughData):
        make_spec(kind).fit(nothing, nothing, seed=7)


@pytest.mark.parametrize(("kind", "task"), cases(RECOMMENDERS))
def test_every_user_gets_a_full_list(kind: str, task: TaskKind) -> None:
    known = features(task)
    for answer in fitted(kind, task).recommend([user(0), user(5), UNKNOWN_USER], known, k=5):
        assert len(answer.items) == len(set(answer.items)) == len(answer.scores) == 5
        assert set(answer.items) <= set(known.item_ids)
        assert np.isfinite(answer.raw_scores).all()
        assert list(answer.raw_scores) == sorted(answer.raw_scores, reverse=True)
        assert answer.path in ("model", "fold_in", "popular")
        assert answer.user_id != UNKNOWN_USER or answer.path == "popular"


@pytest.mark.parametrize(("kind", "task"), cases(RECOMMENDERS))
def test_seen_items_are_excluded(kind: str, task: TaskKind) -> None:
    known = features(task)
    pairs = known.pairs
    seen = set(pairs.loc[pairs[c.USER_ID] == user(3), c.ITEM_ID])
    (answer,) = fitted(kind, task).recommend([user(3)], known, k=len(known.item_ids), exclude_seen=True)
    assert answer.items
    assert not seen & set(answer.items)
    (after,) = fitted(kind, task).recommend([user(3)], known, k=len(known.item_ids))
    assert seen & set(after.items), "excluding items must not change cached scores"


@pytest.mark.parametrize(("kind", "task"), cases(RECOMMENDERS))
def test_recently_seen_items_are_excluded(kind: str, task: TaskKind) -> None:
    """What a user bought or rated after the features is not recommended, whatever path ranks."""
    model, known = fitted(kind, task), features(task)
    index = VectorIndex.of_model(model, known, k=3)
    event_type = "rating" if task.rates_pairs else "purchase"
    for user_id in (user(3), UNKNOWN_USER):
        for exclude_seen in (True, False):
            ranking = Ranking(
                model, ScoringTerms(use_case="checkerboard", task=task, exclude_seen=exclude_seen), known, index=index
            )
            before = ranking.rank(user_id, 2)
            event = RecentEvent(before.items[0], event_type, 5.0, 1.0, datetime(2026, 1, 1, tzinfo=UTC))
            after = ranking.rank(user_id, 2, [event])
            assert len(after.items) == len(after.scores) == 2
            if exclude_seen:
                assert event.item_id not in after.items
            viewed = ranking.rank(user_id, 2, [event._replace(event_type="view")])
            assert user_id == UNKNOWN_USER or viewed.items == before.items, "views exclude nothing for a known user"
    if not task.rates_pairs:
        everything = [event._replace(item_id=str(item)) for item in known.item_ids]
        hidden = Ranking(model, ScoringTerms(use_case="checkerboard", task=task, exclude_seen=True), known, index=index)
        assert hidden.rank(user(3), 2, everything).items == []


@pytest.mark.parametrize(("kind", "task"), cases(RECOMMENDERS))
def test_a_catalogue_of_one_item(kind: str, task: TaskKind) -> None:
    met = pd.DataFrame({c.USER_ID: ["ann", "bob"], c.ITEM_ID: "mug", c.LABEL: [5.0, 3.0]})
    tiny = tables(met, task)
    labels = met.assign(label=[5.0, 3.0]) if task is TaskKind.RATING else met[:1].assign(label=1.0)
    model = make_spec(kind).fit(Examples(tiny, labels), Examples(tiny), seed=7)
    for answer in model.recommend(["ann", UNKNOWN_USER], tiny, k=10):
        assert answer.items == ("mug",)


@pytest.mark.parametrize(("kind", "task"), cases(RECOMMENDERS))
def test_features_without_pairs_and_with_new_items(kind: str, task: TaskKind) -> None:
    """Features change after training: the model receives unknown items, and features without pairs."""
    model, known = fitted(kind, task), features(task)
    fresh = known.items.iloc[:1].assign(item_id="i99")
    grown = FeatureTables(known.users, pd.concat([known.items, fresh]), known.pairs)
    (answer,) = model.recommend([user(0)], grown, k=30)
    assert len(answer.items) >= len(known.items)
    bare = FeatureTables(known.users[:0], known.items, known.pairs[:0])
    (answer,) = model.recommend([user(0)], bare, k=5)
    assert (len(answer.items), answer.path) == (5, "popular")


@pytest.mark.parametrize(("kind", "task"), cases(RATERS))
def test_ratings_stay_within_the_scale(kind: str, task: TaskKind) -> None:
    pairs = pd.DataFrame(
        [(user(0), missing_item(0)), (UNKNOWN_USER, missing_item(0)), (user(0), "i99"), (UNKNOWN_USER, "i99")],
        columns=[c.USER_ID, c.ITEM_ID],
    )
    pairs.index = pd.Index([9, 3, 3, 1])  # the index must not change the order of predictions
    found = fitted(kind, task).predict_ratings(pairs, features(task))
    assert found.shape == (4,)
    assert ((found >= 1.0) & (found <= 5.0)).all()
    alone = [fitted(kind, task).predict_ratings(pairs.iloc[[place]], features(task))[0] for place in range(4)]
    np.testing.assert_allclose(alone, found, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kind", "task"), cases(CLASSIFIERS))
def test_columns_are_found_by_name_and_gaps_imputed(kind: str, task: TaskKind) -> None:
    model, rows = fitted(kind, task), checkerboard(task).rows
    assert rows is not None
    found = model.predict_rows(rows)
    assert found.shape == (len(rows),)
    assert ((found >= 0.0) & (found <= 1.0)).all()
    mixed = rows[sorted(rows.columns, reverse=True)].assign(other="text")
    np.testing.assert_array_equal(model.predict_rows(mixed), found)
    np.testing.assert_allclose(model.predict_rows(rows[7:8]), found[7:8], rtol=0, atol=1e-12)
    missing: dict[str, Any] = {"mean radius": [None, np.inf, np.nan]}
    gaps = rows[:3].assign(**missing)
    assert np.isfinite(model.predict_rows(gaps)).all()
    assert model.predict_rows(rows[:0]).shape == (0,)


@lru_cache(maxsize=1)
def make_a_million_items(is_rated: bool) -> FeatureTables:
    """Three users who each met a third of the items."""
    return large_tables(np.arange(1_000_000) % 3, np.arange(1_000_000), is_rated)


@lru_cache(maxsize=1)
def make_one_heavy_user(is_rated: bool) -> FeatureTables:
    """One user with 100,000 events of different items, among six with one event."""
    return large_tables(np.r_[np.full(100_000, 7), np.arange(6)], np.r_[np.arange(100_000), np.arange(6)], is_rated)


def large_tables(users: np.ndarray, items: np.ndarray, is_rated: bool) -> FeatureTables:
    """As `tables`, but sorts numbers instead of names."""
    count = np.bincount(items).astype(float)
    names = np.array([f"i{place:07d}" for place in range(len(count))], dtype=object)
    people, user_count = np.unique(users, return_counts=True)
    rating = 1.0 + items % 5 if is_rated else np.full(len(items), np.nan)
    side = {"rating_count": 1.0 * is_rated, "mean_rating": 3.0 if is_rated else np.nan, "recency_days": 10.0}
    pairs = pd.DataFrame({c.USER_ID: np.char.add("u", users.astype(str)).astype(object), c.ITEM_ID: names[items]})
    return FeatureTables(
        pd.DataFrame({c.USER_ID: [f"u{one}" for one in people], "user_items": user_count.astype(float)}).assign(
            **{f"user_{name}": value for name, value in side.items()}
        ),
        pd.DataFrame({c.ITEM_ID: names, "item_buyers_28d": count, c.ITEM_TEXT: "thing " + pd.Series(names).str[-3:]}).assign(
            **{f"item_{name}": value for name, value in side.items()}
        ),
        pairs.assign(pair_orders=1.0, pair_recency_days=10.0, pair_rating=rating),
    )


@pytest.mark.parametrize("shape", [make_a_million_items, make_one_heavy_user])
@pytest.mark.parametrize(("kind", "task"), cases(LARGE))
def test_large_data_train_or_are_refused(shape: Callable[[bool], FeatureTables], kind: str, task: TaskKind) -> None:
    """A kind trains and predicts, or refuses with the size, the setting that limits it, and an alternative."""
    known = shape(task is TaskKind.RATING)
    met = known.pairs[-50:]
    labels = met[[c.USER_ID, c.ITEM_ID]].assign(label=met["pair_rating"] if task is TaskKind.RATING else 1.0)
    spec = MODELS.parse({"kind": kind, **case_of(kind, MODELS.kinds[kind]).quick}, "test")
    try:
        model = spec.fit(Examples(known, labels), Examples(known), seed=7)
    except NotEnoughData as refusal:
        size = rf"{len(known.items)} items.* allows (\d[\d,.e+]*)\..* (take|or) "
        assert re.search(size, str(refusal), re.DOTALL), refusal
        assert f"{spec.limit} allows" in str(refusal)
    else:
        for answer in model.recommend([str(known.users[c.USER_ID].iloc[-1]), UNKNOWN_USER], known, k=10):
            assert len(answer.items) == 10
            assert np.isfinite(answer.raw_scores).all()


@pytest.mark.parametrize("kind", MODELS.kinds)
def test_a_kind_has_a_test_file_and_documentation(kind: str) -> None:
    spec = MODELS.kinds[kind]
    case_of(kind, spec)
    assert len((spec.__doc__ or "").partition("\n")[0]) > 20
    assert not spec.limit or spec.limit in spec.model_fields


@pytest.mark.parametrize(("kind", "task"), cases(RATERS))
def test_ratings_that_are_all_equal(kind: str, task: TaskKind) -> None:
    given = checkerboard(task)
    assert given.features is not None
    assert given.labels is not None
    met = given.features.pairs[[c.USER_ID, c.ITEM_ID]].assign(label=4.0)
    known = tables(met, task)
    model = make_spec(kind).fit(Examples(known, met), Examples(known), seed=7)
    np.testing.assert_allclose(model.predict_ratings(given.labels, known), 4.0, atol=1e-6)


@pytest.mark.parametrize(("kind", "task"), cases(ALL))
def test_a_model_refuses_other_tasks(kind: str, task: TaskKind) -> None:
    model = fitted(kind, task)
    with pytest.raises(ModelError):
        if task.answers_rows:
            model.score_items(UNKNOWN_USER, features(TaskKind.PROPENSITY))
        else:
            model.predict_rows(pd.DataFrame())


def _shuffled(given: Examples) -> Examples:
    def shuffle(frame: pd.DataFrame | None) -> pd.DataFrame | None:
        return None if frame is None else frame.sample(frac=1.0, random_state=3).reset_index(drop=True)

    known = given.features
    moved = (
        FeatureTables(*(t.sample(frac=1.0, random_state=3) for t in (known.users, known.items, known.pairs))) if known else None
    )
    return Examples(moved, shuffle(given.labels), shuffle(given.rows))


def _emptied(given: Examples) -> Examples:
    known = given.features
    none = FeatureTables(known.users[:0], known.items[:0], known.pairs[:0]) if known else None
    labels = None if given.labels is None else given.labels[:0]
    return Examples(none, labels, None if given.rows is None else given.rows[:0])

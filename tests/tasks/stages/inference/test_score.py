"""Batch scoring: every user once, checked, traceable, and the same when repeated."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.contracts.base import TaskKind
from tasks.contracts.data import DatasetRef
from tasks.contracts.promotion import LedgerEntry
from tasks.contracts.training import ScoringTerms
from tasks.errors import ModelError, NothingToDo
from tasks.io.prediction_log import PredictionLog
from tasks.io.storage import frame_writer
from tasks.models.base import FeatureTables, Recommendation
from tasks.stages.inference import score
from tasks.stages.inference.scoring import score_rows, score_users
from tests.serving.constant_models import KINDS, TinyClassifier, TinyRanker, TinyRater, tables
from tests.serving.installation import ROW_COLUMNS, Installation

MADE_AT = datetime(2011, 1, 2, 3, tzinfo=UTC)


def run(
    installation: Installation,
    use_case: str,
    entry: LedgerEntry,
    features: DatasetRef,
    active_days: int | None = None,
) -> DatasetRef:
    log = PredictionLog(installation.settings.predictions_root)
    return score(use_case, entry, features, installation.storage, log, MADE_AT, active_days=active_days, kinds=KINDS)


def test_every_user_gets_a_traceable_answer(installation: Installation) -> None:
    features = installation.publish_features("shop", users=40)
    entry = installation.register_and_promote("shop", TinyRanker(1.0))
    ref = run(installation, "shop", entry, features)
    assert (ref.layer, ref.partition) == ("predictions", "v1.2011-01-01")
    frame = installation.storage.read(ref).sort_values([c.USER_ID, c.RANK], ignore_index=True)
    assert list(frame.columns) == [c.USER_ID, c.ITEM_ID, c.RANK, c.PREDICTION, c.RAW_SCORE, "path"]
    assert set(frame[c.USER_ID]) == {f"u{n}" for n in range(40)}
    assert frame[c.ITEM_ID].tolist() == ["i4", "i3", "i2"] * 40
    assert frame[c.RANK].tolist() == [1, 2, 3] * 40
    assert frame[c.PREDICTION].tolist() == [1004.0, 1003.0, 1002.0] * 40
    predictions = list(PredictionLog(installation.settings.predictions_root).read("shop"))
    assert {p.subject for p in predictions} == {f"u{n}" for n in range(40)}
    assert len({p.prediction_id for p in predictions}) == 40
    first = predictions[0]
    assert (first.channel, first.made_at, first.model_version, first.items) == ("batch", MADE_AT, 1, ("i4", "i3", "i2"))
    assert (first.manifest_digest, first.features_version) == (entry.manifest_digest, features.version)


def aging_users(installation: Installation, newest: float) -> DatasetRef:
    """Ten users, each of whom came for the last time 100 days before the next one."""
    made = tables(users=10)
    ages = [newest + 100.0 * int(str(name)[1:]) for name in made["users"][c.USER_ID]]
    made["users"] = made["users"].assign(user_recency_days=ages)
    return installation.storage.publish(
        use_case="shop",
        layer=c.FEATURES,
        partition="2011-01-01",
        tables={name: frame_writer(table) for name, table in made.items()},
    )


@pytest.mark.parametrize(("active_days", "answered"), [(None, 10), (365, 4), (301, 4), (300, 3), (1, 1)])
def test_only_users_who_came_within_the_window_are_answered(
    installation: Installation, active_days: int | None, answered: int
) -> None:
    features = aging_users(installation, 1.0)
    entry = installation.register_and_promote("shop", TinyRanker(1.0))
    ref = run(installation, "shop", entry, features, active_days)
    assert set(installation.storage.read(ref)[c.USER_ID]) == {f"u{n}" for n in range(answered)}
    assert installation.storage.manifest(ref)["facts"]["active_days"] == active_days


def test_without_an_active_user_there_is_nothing_to_score(installation: Installation) -> None:
    features = aging_users(installation, 8.0)
    entry = installation.register_and_promote("shop", TinyRanker(1.0))
    with pytest.raises(NothingToDo, match="no user came in the 7 days before 2011-01-01"):
        run(installation, "shop", entry, features, 7)


def test_scoring_twice_changes_nothing(installation: Installation) -> None:
    features = installation.publish_features("shop")
    entry = installation.register_and_promote("shop", TinyRanker(1.0))
    ref = run(installation, "shop", entry, features)
    everything = {p: p.read_bytes() for p in installation.settings.home.rglob("*") if p.is_file() and p.suffix != ".db"}
    assert run(installation, "shop", entry, features) == ref
    assert {p: p.read_bytes() for p in installation.settings.home.rglob("*") if p.is_file() and p.suffix != ".db"} == everything


def test_scores_the_rows_of_a_classification(installation: Installation) -> None:
    frame = pd.DataFrame({c.ROW_ID: ["f:2", "f:1"], "mean radius": [1.0, 0.0], "mean texture": [1.0, 0.0], c.TARGET: [1, 0]})
    features = installation.storage.publish(
        use_case="tumours", layer=c.FEATURES, partition="2026-01-01", tables={c.ROWS: frame_writer(frame)}
    )
    entry = installation.register_and_promote("tumours", TinyClassifier(0.0), TaskKind.CLASSIFICATION)
    scored = installation.storage.read(run(installation, "tumours", entry, features))
    assert scored[c.ROW_ID].tolist() == ["f:1", "f:2"]
    assert scored[c.PREDICTION].tolist() == pytest.approx([0.5, 1 / (1 + np.exp(-2.0))])
    logged = list(PredictionLog(installation.settings.predictions_root).read("tumours"))
    assert [(p.subject, p.items, p.scores) for p in logged] == [
        ("f:1", (), (0.5,)),
        ("f:2", (), (pytest.approx(0.8807970779778823),)),
    ]


def test_ratings_give_the_best_unseen_items(installation: Installation) -> None:
    features = installation.publish_features("films")
    entry = installation.register_and_promote("films", TinyRater(4.0), TaskKind.RATING, k=10, exclude_seen=True)
    frame = installation.storage.read(run(installation, "films", entry, features))
    assert set(frame.loc[frame[c.USER_ID] == "u0", c.ITEM_ID]) == {"i1", "i2", "i3", "i4"}
    assert len(frame.loc[frame[c.USER_ID] == "u1"]) == 5


def test_a_forged_model_scores_nothing(installation: Installation) -> None:
    features = installation.publish_features("shop")
    entry = installation.register_and_promote("shop", TinyRanker(1.0)).model_copy(update={"manifest_digest": "f" * 64})
    with pytest.raises(ModelError, match="manifest"):
        run(installation, "shop", entry, features)
    with pytest.raises(ModelError, match="features of 'shop'"):
        run(installation, "films", entry, features)
    assert installation.storage.newest("shop", c.PREDICTIONS) is None
    assert not list(PredictionLog(installation.settings.predictions_root).read("shop"))


class Broken(TinyRanker):
    """Gives the answer that a test sets."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(1.0)
        self.changes = changes

    def recommend(
        self, user_ids: list[str], features: FeatureTables, k: int, exclude_seen: bool = False
    ) -> list[Recommendation]:
        first, *others = super().recommend(user_ids, features, k, exclude_seen)
        return [first._replace(**self.changes), *others]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"items": (), "scores": (), "raw_scores": ()}, "0 items"),
        ({"items": ("a", "b", "c", "d")}, "4 items"),
        ({"items": ("i1", "i1")}, "an item twice"),
        ({"scores": (float("nan"), 1.0, 0.0)}, "not finite"),
        ({"raw_scores": (float("inf"), 1.0, 0.0)}, "not finite"),
        ({"user_id": "somebody else"}, "another order"),
    ],
)
def test_invalid_answers_are_refused(changes: dict[str, object], message: str) -> None:
    terms = ScoringTerms(use_case="shop", task=TaskKind.PROPENSITY, k=3)
    features = FeatureTables(**tables())
    assert len(score_users(TinyRanker(1.0), terms, features, ["u0", "u1", "u2"])) == 3
    with pytest.raises(ModelError, match=message):
        score_users(Broken(**changes), terms, features, ["u0", "u1", "u2"])


def test_a_user_who_has_seen_everything_gets_no_items() -> None:
    terms = ScoringTerms(use_case="films", task=TaskKind.RATING, k=3, exclude_seen=True)
    films = FeatureTables(**tables(items=1))
    answers = score_users(TinyRater(1.0), terms, films, films.active_users(None))
    assert [len(answer.items) for answer in answers] == [0, 1, 1]


class Certain(TinyClassifier):
    """Its answers are no probabilities."""

    def predict_rows(self, rows: pd.DataFrame) -> Floats:
        return np.full(len(rows), self.mark)


@pytest.mark.parametrize("value", [1.5, -0.1, float("nan")])
def test_a_value_outside_0_to_1_is_refused(value: float) -> None:
    terms = ScoringTerms(use_case="tumours", task=TaskKind.CLASSIFICATION, row_columns=ROW_COLUMNS)
    rows = pd.DataFrame({c.ROW_ID: ["f:1"], "mean radius": [1.0], "mean texture": [1.0]})
    with pytest.raises(ModelError, match="row f:1"):
        score_rows(Certain(value), terms, rows)
    with pytest.raises(ModelError, match="mean texture"):
        score_rows(Certain(0.5), terms, rows.drop(columns="mean texture"))

"""Batch scoring: which features, and when there is nothing to score."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tasks import columns as c
from tasks.contracts.data import DatasetRef
from tasks.errors import NothingToDo
from tasks.jobs import scoring
from tasks.jobs.run import Run
from tasks.stages import inference
from tests.tasks.jobs.conftest import CASE, Publish
from tests.tasks.jobs.test_rollback import promote

AT = datetime(2026, 1, 3, tzinfo=UTC)


def test_without_a_champion_or_features_there_is_nothing_to_score(run: Run, publish: Publish) -> None:
    published = publish(c.FEATURES, "2026-01-02")
    with pytest.raises(NothingToDo, match=f"{CASE} has no champion yet"):
        scoring.score(run, published=published, made_at=AT)


def test_a_champion_without_features_scores_nothing(run: Run) -> None:
    promote(run, 1)
    with pytest.raises(NothingToDo, match=f"{CASE} has no features yet"):
        scoring.score(run, published=None, made_at=AT)


def test_the_features_of_the_event_win_over_the_newest(run: Run, publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[DatasetRef] = []

    def record(name: str, entry: Any, features: DatasetRef, *_: Any, active_days: int | None) -> DatasetRef:
        assert active_days == run.use_case.batch_scoring.active_days == 365
        used.append(features)
        return features

    monkeypatch.setattr(inference, "score", record)
    promote(run, 1)
    older, newest = publish(c.FEATURES, "2026-01-02"), publish(c.FEATURES, "2026-01-03")
    scoring.score(run, published=older, made_at=AT)
    scoring.score(run, published=None, made_at=AT)
    assert used == [older, newest]

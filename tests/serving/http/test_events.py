"""Events and outcomes: kept once, whoever sends them how often, and seen by every process."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from tasks.models import SERVED
from tests.serving.conftest import client_of, logged, look
from tests.serving.installation import Installation
from tests.serving.ranking.test_cold_start import ask, event, fair
from tests.serving.test_app import is_problem

__all__ = ["fair"]


def post(client: TestClient, what: str, entries: list[dict[str, Any]]) -> Any:
    return client.post(f"/v1/market/{what}", json={what: entries})


def test_the_same_event_again_changes_nothing(fair: TestClient, cached: Installation) -> None:
    one, two = event("a0", "new"), event("a1", "new")
    assert post(fair, "events", [one]).json() | {"ingested_at": ""} == {"accepted": 1, "duplicates": 0, "ingested_at": ""}
    again = post(fair, "events", [one, two, two]).json()
    assert (again["accepted"], again["duplicates"]) == (1, 2)
    with sqlite3.connect(cached.settings.home / "events.db") as database:  # read without our own reader
        rows = database.execute("SELECT event_id, user_id, item_id, event_at <= ingested_at FROM events").fetchall()
    assert sorted(rows) == sorted((e["event_id"], "new", e["item_id"], 1) for e in (one, two))


def test_another_process_sees_them_too_and_so_does_the_next_life(fair: TestClient, cached: Installation) -> None:
    other = client_of(create_app(cached.settings, SERVED))
    look(other)
    assert ask(other, "recommendations/new")[0] == "popular"
    post(fair, "events", [event("a0", "new")])
    other.app.state.recent.look()  # type: ignore[attr-defined]
    assert ask(other, "recommendations/new")[0] == "fold_in"
    late = client_of(create_app(cached.settings, SERVED))
    look(late)
    late.app.state.recent.look()  # type: ignore[attr-defined]
    assert ask(late, "recommendations/new")[0] == "fold_in"


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"event_type": "theft"}, "event_type"),
        ({"event_at": "2026-01-01T00:00:00"}, "event_at"),
        ({"event_at": "yesterday"}, "event_at"),
        ({"event_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()}, "event_at"),
        ({"event_type": "rating"}, "value"),
        ({"quantity": 0}, "quantity"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": "x" * 201}, "user_id"),
        ({"user_id": "nul\0"}, "user_id"),
        ({"color": "red"}, "events.1"),
    ],
)
def test_one_wrong_event_and_none_is_kept(fair: TestClient, change: dict[str, Any], where: str) -> None:
    document = is_problem(post(fair, "events", [event("a0", "new"), {**event("a0", "new"), **change}]), 422)
    assert where in str(document["errors"])
    assert ask(fair, "recommendations/new")[0] == "popular"


def test_the_first_word_on_a_prediction_counts(fair: TestClient, cached: Installation) -> None:
    answer = fair.get("/v1/market/recommendations/a1").json()
    outcome = {
        "prediction_id": answer["prediction_id"],
        "item_id": "a1",
        "label": 1,
        "happened_at": datetime.now(UTC).isoformat(),
    }
    assert post(fair, "outcomes", [outcome]).json() == {"accepted": 1, "duplicates": 0}
    assert post(fair, "outcomes", [{**outcome, "label": 0}]).json() == {"accepted": 0, "duplicates": 1}
    with sqlite3.connect(cached.settings.home / "events.db") as database:
        rows = database.execute("SELECT prediction_id, item_id, label FROM outcomes").fetchall()
    assert rows == [(answer["prediction_id"], "a1", 1.0)]
    assert [one.prediction_id for one in logged(fair, "market")] == [answer["prediction_id"]]


def test_what_cannot_be_kept_is_not_acknowledged(cached: Installation, fair: TestClient) -> None:
    (cached.settings.home / "events.db").unlink(missing_ok=True)
    (cached.settings.home / "events.db").mkdir()  # opened only now, and it is no database
    document = is_problem(post(fair, "events", [event("a0", "new")]), 503)
    assert "nothing was kept" in str(document["detail"])
    assert ask(fair, "recommendations/a1")[0] == "model", "answers go on"


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+20:10", "9999-12-31T23:59:59-12:00", "1969-12-31T23:59:59Z"])
def test_a_time_that_nobody_can_mean_is_refused(fair: TestClient, at: str) -> None:
    outcome = {"prediction_id": "0" * 32, "item_id": "a0", "label": 1.0, "happened_at": at}
    answer = post(fair, "outcomes", [outcome])
    is_problem(answer, 422)
    assert "between 1970 and 9999" in answer.text and "body.outcomes.0.happened_at" in answer.text
    assert post(fair, "events", [event("a0", "new") | {"event_at": at}]).status_code == 422

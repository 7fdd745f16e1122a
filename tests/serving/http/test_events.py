"""Events and outcomes: stored once however often they are sent, and used by every process."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from tasks.models import SERVED
from tests.serving.conftest import client_of, logged, poll_ledger
from tests.serving.installation import Installation
from tests.serving.ranking.test_cold_start import event, get_items, shop_client
from tests.serving.test_app import check_problem

__all__ = ["shop_client"]


def post(client: TestClient, what: str, entries: list[dict[str, Any]]) -> Any:
    return client.post(f"/v1/market/{what}", json={what: entries})


def test_repeated_event_changes_nothing(shop_client: TestClient, cached: Installation) -> None:
    one, two = event("a0", "new"), event("a1", "new")
    assert post(shop_client, "events", [one]).json() | {"ingested_at": ""} == {
        "accepted": 1,
        "duplicates": 0,
        "ingested_at": "",
    }
    again = post(shop_client, "events", [one, two, two]).json()
    assert (again["accepted"], again["duplicates"]) == (1, 2)
    with sqlite3.connect(cached.settings.home / "events.db") as database:  # without the project's reader
        rows = database.execute("SELECT event_id, user_id, item_id, event_at <= ingested_at FROM events").fetchall()
    assert sorted(rows) == sorted((e["event_id"], "new", e["item_id"], 1) for e in (one, two))


def test_events_reach_other_processes_and_restarts(shop_client: TestClient, cached: Installation) -> None:
    other = client_of(create_app(cached.settings, SERVED))
    poll_ledger(other)
    assert get_items(other, "recommendations/new")[0] == "popular"
    post(shop_client, "events", [event("a0", "new")])
    other.app.state.recent.reload()  # type: ignore[attr-defined]
    assert get_items(other, "recommendations/new")[0] == "fold_in"
    late = client_of(create_app(cached.settings, SERVED))
    poll_ledger(late)
    late.app.state.recent.reload()  # type: ignore[attr-defined]
    assert get_items(late, "recommendations/new")[0] == "fold_in"


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
def test_one_invalid_event_refuses_the_request(shop_client: TestClient, change: dict[str, Any], where: str) -> None:
    document = check_problem(post(shop_client, "events", [event("a0", "new"), {**event("a0", "new"), **change}]), 422)
    assert where in str(document["errors"])
    assert get_items(shop_client, "recommendations/new")[0] == "popular"


def test_first_outcome_of_a_prediction_counts(shop_client: TestClient, cached: Installation) -> None:
    answer = shop_client.get("/v1/market/recommendations/a1").json()
    outcome = {
        "prediction_id": answer["prediction_id"],
        "item_id": "a1",
        "label": 1,
        "happened_at": datetime.now(UTC).isoformat(),
    }
    assert post(shop_client, "outcomes", [outcome]).json() == {"accepted": 1, "duplicates": 0}
    assert post(shop_client, "outcomes", [{**outcome, "label": 0}]).json() == {"accepted": 0, "duplicates": 1}
    with sqlite3.connect(cached.settings.home / "events.db") as database:
        rows = database.execute("SELECT prediction_id, item_id, label FROM outcomes").fetchall()
    assert rows == [(answer["prediction_id"], "a1", 1.0)]
    assert [one.prediction_id for one in logged(shop_client, "market")] == [answer["prediction_id"]]


def test_an_event_that_names_an_answer_is_its_outcome(shop_client: TestClient, cached: Installation) -> None:
    name = shop_client.get("/v1/market/recommendations/a1").json()["prediction_id"]
    events = [event("a1", "a1", prediction_id=name), event("a2", "a1", "view", prediction_id=name), event("a3", "a1")]
    assert post(shop_client, "events", events).json()["accepted"] == 3
    assert post(shop_client, "events", events).json()["duplicates"] == 3
    with sqlite3.connect(cached.settings.home / "events.db") as database:
        rows = database.execute("SELECT prediction_id, item_id, label FROM outcomes").fetchall()
    assert rows == [(name, "a1", 1.0)], "a view is no outcome"


def test_events_that_cannot_be_stored_get_a_503(cached: Installation, shop_client: TestClient) -> None:
    (cached.settings.home / "events.db").unlink(missing_ok=True)
    (cached.settings.home / "events.db").mkdir()  # the store opens it on the first request
    document = check_problem(post(shop_client, "events", [event("a0", "new")]), 503)
    assert "nothing was stored" in str(document["detail"])
    assert get_items(shop_client, "recommendations/a1")[0] == "model", "answers continue"


@pytest.mark.parametrize(
    "at", ["0001-01-01T00:00:00+20:10", "9999-12-31T23:59:59-12:00", "2200-01-01T00:00:00Z", "1969-12-31T23:59:59Z"]
)
def test_implausible_times_are_refused(shop_client: TestClient, at: str) -> None:
    outcome = {"prediction_id": "0" * 32, "item_id": "a0", "label": 1.0, "happened_at": at}
    answer = post(shop_client, "outcomes", [outcome])
    check_problem(answer, 422)
    assert "between 1970 and 2199" in answer.text and "body.outcomes.0.happened_at" in answer.text
    assert post(shop_client, "events", [event("a0", "new") | {"event_at": at}]).status_code == 422

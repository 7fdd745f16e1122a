"""Training runs through Airflow's API, against a stub server with the routes of Airflow 3."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from tests.serving.conftest import client_of
from tests.serving.constant_models import KINDS
from tests.serving.installation import Installation
from tests.serving.test_app import check_problem

RUN = "manual__2026-11-21T12:00:00+00:00"
VERDICT = {
    "candidate": {"name": "als"},
    "passed": False,
    "outcome": "worse",
    "gates": [{"gate": "beats_champion", "mode": "enabled", "passed": False, "reason": "3 % worse", "figures": {}}],
}


class Airflow(BaseHTTPRequestHandler):
    """The routes of Airflow that the endpoint calls."""

    seen: list[tuple[str, str, Any]]

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        run = f"/api/v2/dags/shop.training/dagRuns/{RUN}"
        tasks = [
            ("split", -1, "success"),
            ("train", 0, "success"),
            ("judge", -1, "success"),
            ("register", -1, "running"),
            ("announce_challenger", -1, None),
        ]
        answers: dict[str, Any] = {
            "/auth/token": {"access_token": "t"},
            run: {"state": "running", "start_date": "2026-11-21T12:00:01Z", "end_date": None},
            f"{run}/taskInstances": {
                "task_instances": [{"task_id": name, "map_index": place, "state": state} for name, place, state in tasks]
            },
            f"{run}/taskInstances/judge/xcomEntries/return_value": {"value": VERDICT},
        }
        self._send(200 if path in answers else 404, answers.get(path, {"detail": "not found"}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.seen.append((self.path, self.headers["authorization"], body))
        if "shop.training" not in self.path:
            self._send(404, {"detail": "no such dag"})
        elif body["conf"].get("candidates") == ["wrong"]:
            self._send(400, {"detail": "'wrong' is not one of ['als']"})
        else:
            self._send(200, {"dag_run_id": RUN, "state": "queued"})

    def _send(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def client(cached: Installation) -> Iterator[TestClient]:
    Airflow.seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Airflow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings = cached.settings.model_copy(update={"airflow_url": f"http://127.0.0.1:{server.server_port}"})
    yield client_of(create_app(settings, KINDS))
    server.shutdown()
    server.server_close()


def test_training_run_is_started_and_followed(client: TestClient) -> None:
    response = client.post("/v1/shop/training-runs", json={"as_of": "2026-01-01", "candidates": ["als"]})
    assert response.status_code == 202
    started = response.json()
    assert (started["run_id"], started["state"]) == (RUN, "queued")
    [(path, token, body)] = Airflow.seen
    assert (path, token) == ("/api/v2/dags/shop.training/dagRuns", "Bearer t")
    assert body["conf"] == {"as_of": "2026-01-01", "candidates": ["als"]}
    run = client.get(started["address"]).json()
    assert run["state"] == "running"
    assert run["tasks"] == {"split": "success", "train[0]": "success", "judge": "success", "register": "running"}
    assert run["verdict"]["gates"] == [{"gate": "beats_champion", "passed": False, "reason": "3 % worse"}]
    assert run["version"] is None


def test_refusals_of_airflow_are_passed_on(client: TestClient) -> None:
    document = check_problem(client.post("/v1/shop/training-runs", json={"candidates": ["wrong"]}), 422)
    assert "not one of" in str(document["detail"])
    check_problem(client.post("/v1/shoes/training-runs", json={}), 404)
    check_problem(client.get("/v1/shop/training-runs/none"), 404)
    check_problem(client.get("/v1/shop/training-runs/..%2F..%2Fconfig"), 404)
    check_problem(client.post("/v1/shop/training-runs", json={"as_of": "soon"}), 422)
    check_problem(client.post("/v1/..%2Fx/training-runs", json={}), 404)

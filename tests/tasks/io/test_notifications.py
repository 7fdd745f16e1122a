"""Telling people: a real receiver hears it, and whatever goes wrong fails nothing and gives no secret away."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.io.notifications import Tone, tell
from tasks.settings import get_settings


@pytest.fixture
def heard() -> Any:
    messages: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield messages, f"json://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def name(monkeypatch: pytest.MonkeyPatch, *urls: str) -> None:
    monkeypatch.setenv("TITLEHOLDER_NOTIFY_URLS", json.dumps(urls))
    get_settings.cache_clear()


def test_everybody_who_is_named_is_told(monkeypatch: pytest.MonkeyPatch, heard: Any) -> None:
    messages, url = heard
    assert not tell("nobody", "is named")
    name(monkeypatch, url, url)
    assert tell("broken", "the data", Tone.FAILURE)
    assert [(one["title"], one["message"], one["type"]) for one in messages] == [("broken", "the data", "failure")] * 2


def test_what_goes_wrong_fails_nothing_and_gives_no_password_away(
    monkeypatch: pytest.MonkeyPatch, heard: Any, caplog: pytest.LogCaptureFixture
) -> None:
    messages, url = heard
    name(monkeypatch, url, "nonsense://user:hunter2@host", "json://127.0.0.1:1")
    assert not tell("broken", "the data")
    assert len(messages) == 1, "the others are told all the same"
    assert "number 2" in caplog.text and "hunter2" not in caplog.text


def test_a_failed_task_tells_people(monkeypatch: pytest.MonkeyPatch, heard: Any) -> None:
    from dags.defaults import tell_failure

    messages, url = heard
    name(monkeypatch, url)
    task = SimpleNamespace(dag_id="shop.training", task_id="train", try_number=3, log_url="http://airflow/log")
    tell_failure({"task_instance": task, "exception": ValueError("no memory")})
    assert messages[0]["title"] == "shop.training.train failed" and messages[0]["type"] == "failure"
    assert "no memory" in messages[0]["message"] and "http://airflow/log" in messages[0]["message"]

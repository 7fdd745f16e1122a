"""Notifications reach a real receiver. Whatever goes wrong fails nothing and reveals no secret."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.io.notifications import Level, notify
from tasks.settings import get_settings


@pytest.fixture
def receiver() -> Any:
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


def set_urls(monkeypatch: pytest.MonkeyPatch, *urls: str) -> None:
    monkeypatch.setenv("TITLEHOLDER_NOTIFY_URLS", json.dumps(urls))
    get_settings.cache_clear()


def test_every_address_receives_a_notification(monkeypatch: pytest.MonkeyPatch, receiver: Any) -> None:
    messages, url = receiver
    assert not notify("no", "address")
    set_urls(monkeypatch, url, url)
    assert notify("broken", "the data", level=Level.FAILURE)
    assert [(one["title"], one["message"], one["type"]) for one in messages] == [("broken", "the data", "failure")] * 2


def test_a_failure_raises_nothing_and_reveals_no_password(
    monkeypatch: pytest.MonkeyPatch, receiver: Any, caplog: pytest.LogCaptureFixture
) -> None:
    messages, url = receiver
    set_urls(monkeypatch, url, "nonsense://user:hunter2@host", "json://127.0.0.1:1")
    assert notify("broken", "the data"), "one address received it"
    assert len(messages) == 1, "the other addresses receive it"
    assert "does not understand address number 2" in caplog.text and "address number 3 was not reached" in caplog.text
    assert "hunter2" not in caplog.text
    set_urls(monkeypatch, "nonsense://user:hunter2@host", "json://127.0.0.1:1")
    assert not notify("broken", "the data")


def test_a_failed_task_notifies(monkeypatch: pytest.MonkeyPatch, receiver: Any) -> None:
    from dags.defaults import tell_failure

    messages, url = receiver
    set_urls(monkeypatch, url)
    task = SimpleNamespace(dag_id="shop.training", task_id="train", try_number=3, log_url="http://airflow/log")
    tell_failure({"task_instance": task, "exception": ValueError("no memory")})
    assert messages[0]["title"] == "shop.training.train failed" and messages[0]["type"] == "failure"
    assert "no memory" in messages[0]["message"] and "http://airflow/log" in messages[0]["message"]

"""The client of Airflow's API: it signs in once, again when its token has expired, and reports what Airflow refused."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import ServiceUnavailable
from tasks.io.airflow import AirflowApi, AirflowRefused
from tasks.settings import Settings
from tests.ports import free_port


class Server(ThreadingHTTPServer):
    """Hands out numbered tokens, and accepts only the newest one."""

    def __init__(self) -> None:
        self.tokens = 0
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.path == "/auth/token":
            self.server.tokens += 1
            self.reply(200, {"access_token": str(self.server.tokens)})
        elif self.headers["Authorization"] != f"Bearer {self.server.tokens}":
            self.reply(401, {"detail": "expired"})
        elif self.path == "/api/v2/dags/shop/dagRuns/a%2Fb%2Bc":
            self.reply(200, {"state": "success"})
        else:
            self.reply(404, {"detail": "no such thing"})

    def reply(self, status: int, body: dict[str, Any]) -> None:
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def airflow(server: Server, tmp_path: Path) -> Iterator[AirflowApi]:
    with AirflowApi(Settings(home=tmp_path, airflow_url=f"http://127.0.0.1:{server.server_port}")) as client:
        yield client


def test_it_signs_in_once_and_quotes_the_run(airflow: AirflowApi, server: Server) -> None:
    assert airflow.run("shop", "a/b+c") == {"state": "success"}
    assert airflow.is_over("shop", "a/b+c")
    assert server.tokens == 1


def test_it_signs_in_again_when_its_token_has_expired(airflow: AirflowApi, server: Server) -> None:
    assert airflow.is_over("shop", "a/b+c")
    server.tokens += 1  # as after the day that a token is valid for
    assert airflow.is_over("shop", "a/b+c")


def test_a_refusal_has_its_status_and_reason(airflow: AirflowApi) -> None:
    with pytest.raises(AirflowRefused, match=r"^Airflow refused GET /dags/shop/dagRuns/none: 404 no such thing$") as caught:
        airflow.run("shop", "none")
    assert (caught.value.status, caught.value.detail) == (404, "no such thing")
    assert not airflow.is_over("shop", "none")


def test_an_airflow_that_is_down_is_named(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with AirflowApi(Settings(home=tmp_path, airflow_url=url)) as client:
        with pytest.raises(ServiceUnavailable, match=rf"^Airflow at {url} does not answer \(ConnectError"):
            client.dag_ids()
        assert not client.is_over("shop", "any")

"""Slow and broken clients, on a real server: they are shown out, and nobody else waits for them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from serving.http import protocol
from serving.http.protocol import TimeoutProtocol


async def app(scope: dict[str, object], receive: object, send: object) -> None:
    """Reads the body, and answers with 64 MB where it is asked to."""
    assert scope["type"] == "http"
    while (await receive())["more_body"]:  # type: ignore[operator]
        pass
    body = b"x" * (64 * 2**20 if scope["path"] == "/large" else 5)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]})  # type: ignore[operator]
    await send({"type": "http.response.body", "body": body})  # type: ignore[operator]


@contextlib.contextmanager
def running(http: type[asyncio.Protocol] | str) -> Iterator[int]:
    """A server in a thread; its port."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, http=http, lifespan="off", log_level="critical"))  # type: ignore[arg-type]
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = server.force_exit = True
    thread.join(10)


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    for name in ("HEADER_SECONDS", "BODY_SECONDS", "FETCH_SECONDS"):
        monkeypatch.setattr(protocol, name, 0.4)
    monkeypatch.setattr(protocol, "LOOK_SECONDS", 0.1)
    with running(TimeoutProtocol) as found:
        yield found


def rest(connection: socket.socket, seconds: float = 15.0) -> bytes:
    """What comes until the server closes; a connection that stays open fails."""
    connection.settimeout(seconds)
    found = b""
    while chunk := connection.recv(65536):
        found += chunk
    return found


def ask(port: int, head: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(head)
    return connection


STALLED = {
    "no word": b"",
    "half the headers": b"GET / HTTP/1.1\r\nHost: x\r\n",
    "half the body": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345",
}


@pytest.mark.parametrize("head", STALLED.values(), ids=STALLED)
def test_half_a_request_is_ended_with_a_reason(port: int, head: bytes) -> None:
    with ask(port, head) as connection:
        answer, _, body = rest(connection).partition(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer
    assert json.loads(body)["status"] == 408


def test_stock_uvicorn_waits_for_ever() -> None:
    """The broken twin: this is what the protocol is for."""
    with (
        running("httptools") as port,
        ask(port, STALLED["half the body"]) as connection,
        pytest.raises(TimeoutError),
    ):
        rest(connection, 1.5)


def test_an_answer_that_is_not_fetched_is_given_up(port: int) -> None:
    with ask(port, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n") as connection:
        time.sleep(2.0)
        try:
            fetched = len(rest(connection))
        except ConnectionResetError:
            fetched = 0
        assert fetched < 64 * 2**20


def test_nobody_else_waits_for_slow_clients(port: int) -> None:
    stalled = [ask(port, head) for head in STALLED.values() for _ in range(20)]
    began = time.monotonic()
    with ask(port, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") as connection:
        assert rest(connection).endswith(b"xxxxx")
    assert time.monotonic() - began < 5
    for connection in stalled:
        assert b"408" in rest(connection)[:20]
        connection.close()


def test_headers_without_end_are_refused(port: int) -> None:
    with (
        contextlib.suppress(ConnectionError),  # closed while we were still talking
        ask(port, b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 2**20) as connection,
    ):
        assert rest(connection).startswith(b"HTTP/1.1 431 ")


def test_nonsense_is_a_problem_document(port: int) -> None:
    with ask(port, b"\x16\x03\x01 hello\r\n\r\n") as connection:
        answer = rest(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer


def test_honest_requests_on_one_connection(port: int) -> None:
    body = b"y" * 200_000  # larger than headers may be, in one piece with them
    with ask(port, b"") as connection:
        for _ in range(3):
            connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            answer = b""
            while not answer.endswith(b"xxxxx"):
                answer += connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200 ")
            time.sleep(0.6)  # idle, longer than half a request may take

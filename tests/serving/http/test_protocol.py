"""Slow and broken clients on a real server: their connections are closed, and other clients do not wait."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import json
import socket
import threading
import time
from collections.abc import Iterator
from unittest.mock import MagicMock

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from serving.http import protocol
from serving.http.protocol import TimeoutProtocol


async def app(scope: dict[str, object], receive: object, send: object) -> None:
    """Reads the body, and answers with 64 MB at /large and 5 bytes elsewhere."""
    assert scope["type"] == "http"
    while (await receive())["more_body"]:  # type: ignore[operator]
        pass
    body = b"x" * (64 * 2**20 if scope["path"] == "/large" else 5)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]})  # type: ignore[operator]
    await send({"type": "http.response.body", "body": body})  # type: ignore[operator]


@contextlib.contextmanager
def running(http: type[asyncio.Protocol] | str) -> Iterator[int]:
    """Runs a server in a thread. Yields its port."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, http=http, lifespan="off", log_level="critical"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = server.force_exit = True
    thread.join(10)


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    for name in ("HEADER_SECONDS", "BODY_SECONDS", "READ_SECONDS"):
        monkeypatch.setattr(protocol, name, 0.4)
    monkeypatch.setattr(protocol, "CHECK_SECONDS", 0.1)
    with running(TimeoutProtocol) as found:
        yield found


def read_to_end(connection: socket.socket, seconds: float = 15.0) -> bytes:
    """Everything that the server sends until it closes the connection."""
    connection.settimeout(seconds)
    found = b""
    while chunk := connection.recv(65536):
        found += chunk
    return found


def send(port: int, head: bytes) -> socket.socket:
    """A connection on which `head` was sent."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(head)
    return connection


STALLED = {
    "nothing": b"",
    "half the headers": b"GET / HTTP/1.1\r\nHost: x\r\n",
    "half the body": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345",
}


@pytest.mark.parametrize("head", STALLED.values(), ids=STALLED)
def test_incomplete_request_gets_a_408(port: int, head: bytes) -> None:
    with send(port, head) as connection:
        answer, _, body = read_to_end(connection).partition(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer
    assert json.loads(body)["status"] == 408


def test_stock_uvicorn_has_no_timeout() -> None:
    """Shows why `TimeoutProtocol` is needed."""
    with (
        running("httptools") as port,
        send(port, STALLED["half the body"]) as connection,
        pytest.raises(TimeoutError),
    ):
        read_to_end(connection, 1.5)


def test_unread_response_is_aborted(port: int) -> None:
    with send(port, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n") as connection:
        time.sleep(2.0)
        try:
            fetched = len(read_to_end(connection))
        except ConnectionResetError:
            fetched = 0
        assert fetched < 64 * 2**20


def test_slow_clients_do_not_delay_others(port: int) -> None:
    stalled = [send(port, head) for head in STALLED.values() for _ in range(20)]
    began = time.monotonic()
    with send(port, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") as connection:
        assert read_to_end(connection).endswith(b"xxxxx")
    assert time.monotonic() - began < 5
    for connection in stalled:
        assert b"408" in read_to_end(connection)[:20]
        connection.close()


def test_oversized_headers_get_a_431(port: int) -> None:
    with (
        contextlib.suppress(ConnectionError),  # closed while the client still sends
        send(port, b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 2**20) as connection,
    ):
        assert read_to_end(connection).startswith(b"HTTP/1.1 431 ")


def test_malformed_request_gets_a_problem_document(port: int) -> None:
    with send(port, b"\x16\x03\x01 hello\r\n\r\n") as connection:
        answer = read_to_end(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer


def test_valid_requests_share_a_connection(port: int) -> None:
    body = b"y" * 200_000  # larger than the limit for headers, in one piece with them
    with send(port, b"") as connection:
        for _ in range(3):
            connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            answer = b""
            while not answer.endswith(b"xxxxx"):
                answer += connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200 ")
            time.sleep(0.6)  # idle for longer than the timeout of a request


def attributes_of(name: str, code: object) -> set[str]:
    """The attributes of the variable `name` (or of super()) that the source of a function or class uses."""
    found = set()
    for node in ast.walk(ast.parse(inspect.getsource(code))):  # type: ignore[arg-type]  # a function or a class
        if isinstance(node, ast.Attribute):
            owner = node.value.func if isinstance(node.value, ast.Call) else node.value
            if isinstance(owner, ast.Name) and owner.id == name:
                found.add(node.attr)
    return found


def missing_attributes(connection: HttpToolsProtocol) -> list[str]:
    """What serving/http/protocol.py uses of uvicorn and this uvicorn does not have."""
    of_cycle = attributes_of("cycle", protocol._write_response)
    of_connection, inherited = attributes_of("self", TimeoutProtocol), attributes_of("super", TimeoutProtocol)
    assert of_cycle and of_connection and inherited
    missing = [f"RequestResponseCycle.{name}" for name in of_cycle if not hasattr(connection.cycle, name)]
    missing += [f"HttpToolsProtocol.{name}" for name in of_connection if not hasattr(connection, name)]
    missing += [f"HttpToolsProtocol.{name}" for name in inherited if not hasattr(HttpToolsProtocol, name)]
    return sorted(missing)


def test_uvicorn_has_the_attributes_that_are_used() -> None:
    async def check() -> None:
        config = uvicorn.Config(app, http=TimeoutProtocol, lifespan="off")
        config.load()
        connection = TimeoutProtocol(config, ServerState(), {}, asyncio.get_running_loop())
        connection.connection_made(MagicMock(is_closing=lambda: False))
        connection.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.cycle is not None
        advice = f"uvicorn {uvicorn.__version__} has renamed attributes: adapt serving/http/protocol.py or pin an older version"
        assert missing_attributes(connection) == [], advice
        flow, transport = connection.cycle.flow, connection.transport
        del connection.cycle.flow, connection.transport  # as if uvicorn had renamed them
        assert missing_attributes(connection) == ["HttpToolsProtocol.transport", "RequestResponseCycle.flow"]
        connection.cycle.flow, connection.transport = flow, transport
        await asyncio.gather(*connection.tasks)  # the request is answered

    asyncio.run(check())

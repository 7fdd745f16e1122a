"""uvicorn's HTTP protocol with timeouts: an incomplete request, or a response that is not read, closes its connection.

`python -m uvicorn --http serving.http.protocol:TimeoutProtocol ...`. uvicorn itself times out idle connections only, and its
httptools parser accepts headers of any size.

This module uses attributes that uvicorn does not document. `tests/serving/http/test_protocol.py` fails if uvicorn renames one.
"""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

HEADER_SECONDS = 10.0
BODY_SECONDS = 20.0
READ_SECONDS = 20.0  # for the client to read more of a response
CHECK_SECONDS = 1.0
MAX_HEADER_BYTES = 32 * 1024

WRITE_RESPONSE = "titleholder.write_response"  # ASGI extension: (header bytes, body) -> whether they were written


def _write_response(cycle: RequestResponseCycle, headers: bytes, body: bytes) -> bool:
    """Write the headers and body of a 200 in one system call: two calls cost as much as all other work of a response.

    Returns False if ASGI's messages must be used instead, because the connection closes, waits or is gone.
    """
    if cycle.response_started or cycle.disconnected or cycle.flow.write_paused or not cycle.keep_alive or cycle.access_log:
        return False
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    default_headers = b"".join([b"%s: %s\r\n" % header for header in cycle.default_headers])
    cycle.transport.write(b"HTTP/1.1 200 OK\r\n%s%scontent-length: %d\r\n\r\n%s" % (default_headers, headers, len(body), body))
    cycle.message_event.set()
    cycle.on_response()
    cycle.scope["extensions"] = {}  # breaks the reference cycle with `cycle`, so that the garbage collector has no work
    return True


class TimeoutProtocol(HttpToolsProtocol):
    """A connection that checks its own deadline once a second, which is cheaper than a timer for each request."""

    _deadline: float | None = None
    _header_bytes = 0
    _in_headers = True
    _is_stalled = False  # the client does not read the response
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn declares it
        super().connection_made(transport)
        self._deadline = self.loop.time() + HEADER_SECONDS
        self._timer = self.loop.call_later(CHECK_SECONDS, self._check_deadline)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._in_headers:
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES and not self._ends_headers(data):
                self._refuse(431, f"the headers of the request are larger than {MAX_HEADER_BYTES} bytes")
                return
        super().data_received(data)

    def _ends_headers(self, data: bytes) -> bool:
        """Whether the headers end within the limit: a large body may arrive in one piece with them."""
        return data.find(b"\r\n\r\n", 0, MAX_HEADER_BYTES) >= 0

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._deadline = self.loop.time() + HEADER_SECONDS
        self._in_headers = True

    def on_headers_complete(self) -> None:
        self._deadline = self.loop.time() + BODY_SECONDS
        self._in_headers, self._header_bytes = False, 0
        super().on_headers_complete()
        write: Any = partial(_write_response, self.cycle)
        self.scope["extensions"] = {WRITE_RESPONSE: write}  # before the task of the request begins

    def on_message_complete(self) -> None:
        self._deadline = None
        self._in_headers = True
        super().on_message_complete()

    def pause_writing(self) -> None:
        self._deadline, self._is_stalled = self.loop.time() + READ_SECONDS, True
        super().pause_writing()

    def resume_writing(self) -> None:
        self._deadline, self._is_stalled = None, False
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, msg)

    def _check_deadline(self) -> None:
        if self._deadline is not None and self.loop.time() > self._deadline:
            if self._is_stalled or self.transport.is_closing():
                self.transport.abort()  # close() would wait forever for the client to read
                return
            self._refuse(408, "the request did not arrive in time")
        self._timer = self.loop.call_later(CHECK_SECONDS, self._check_deadline)

    def _refuse(self, status: int, detail: str) -> None:
        """Send a problem document and close. Abort if a response has begun."""
        titles = {400: b"Bad Request", 408: b"Request Timeout", 431: b"Request Header Fields Too Large"}
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            document: dict[str, Any] = {
                "type": "about:blank",
                "title": titles[status].decode(),
                "status": status,
                "detail": detail,
            }
            body = json.dumps(document).encode()
            self.transport.write(
                b"HTTP/1.1 %d %s\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
                % (status, titles[status], len(body), body)
            )
            self._deadline = self.loop.time() + READ_SECONDS
            self.transport.close()
        else:
            self.transport.abort()

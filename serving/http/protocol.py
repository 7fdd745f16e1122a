"""uvicorn's HTTP protocol, with an end to patience: half a request, or an answer that is not fetched, closes its connection.

`python -m uvicorn --http serving.http.protocol:TimeoutProtocol ...`. uvicorn itself only times idle connections out, and its
httptools parser takes headers of any size.
"""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

HEADER_SECONDS = 10.0
BODY_SECONDS = 20.0
FETCH_SECONDS = 20.0
LOOK_SECONDS = 1.0
LARGEST_HEAD = 32 * 1024


WHOLE = "titleholder.whole"  # ASGI extension: (headers, body) -> whether they were written


def _write_whole(cycle: RequestResponseCycle, headers: bytes, body: bytes) -> bool:
    """Write a 200 at once: headers and body by two system calls cost as much as all of the answer's own work.

    False where the usual way has to be gone: somebody who closes, waits or went away.
    """
    if cycle.response_started or cycle.disconnected or cycle.flow.write_paused or not cycle.keep_alive or cycle.access_log:
        return False
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    told = b"".join([b"%s: %s\r\n" % header for header in cycle.default_headers])
    cycle.transport.write(b"HTTP/1.1 200 OK\r\n%s%scontent-length: %d\r\n\r\n%s" % (told, headers, len(body), body))
    cycle.message_event.set()
    cycle.on_response()
    cycle.scope["extensions"] = {}  # it leads back to the cycle: without it no garbage waits for the collector
    return True


class TimeoutProtocol(HttpToolsProtocol):
    """Each connection looks at its own deadline once a second: cheaper than a timer for each request."""

    _deadline: float | None = None
    _head = 0
    _in_head = True
    _is_stalled = False
    _look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._deadline = self.loop.time() + HEADER_SECONDS
        self._look = self.loop.call_later(LOOK_SECONDS, self._be_patient)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._in_head:
            self._head += len(data)
            if self._head > LARGEST_HEAD and not self._ends_head(data):
                self._end(431, f"the headers of a request may have {LARGEST_HEAD} bytes")
                return
        super().data_received(data)

    def _ends_head(self, data: bytes) -> bool:
        """A large body may come in one piece with its headers."""
        return data.find(b"\r\n\r\n", 0, LARGEST_HEAD) >= 0

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._deadline = self.loop.time() + HEADER_SECONDS
        self._in_head = True

    def on_headers_complete(self) -> None:
        self._deadline = self.loop.time() + BODY_SECONDS
        self._in_head, self._head = False, 0
        super().on_headers_complete()
        whole: Any = partial(_write_whole, self.cycle)
        self.scope["extensions"] = {WHOLE: whole}  # its task has not begun yet

    def on_message_complete(self) -> None:
        self._deadline = None
        self._in_head = True
        super().on_message_complete()

    def pause_writing(self) -> None:
        self._deadline, self._is_stalled = self.loop.time() + FETCH_SECONDS, True
        super().pause_writing()

    def resume_writing(self) -> None:
        self._deadline, self._is_stalled = None, False
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        self._end(400, msg)

    def _be_patient(self) -> None:
        if self._deadline is not None and self.loop.time() > self._deadline:
            if self._is_stalled or self.transport.is_closing():
                self.transport.abort()  # closing it would wait for ever for what is not fetched
                return
            self._end(408, "the request did not arrive in time")
        self._look = self.loop.call_later(LOOK_SECONDS, self._be_patient)

    def _end(self, status: int, detail: str) -> None:
        """Say why, where nothing was said yet, and close."""
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
            self._deadline = self.loop.time() + FETCH_SECONDS
            self.transport.close()
        else:
            self.transport.abort()

"""The outermost layer: who may come in, how much at a time, and what every answer carries. Plain ASGI."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.deployment.api_keys import Keyring
from serving.http.fast_routes import HotRoutes, Route
from serving.http.problems import Refusal, problem
from serving.http.protocol import WHOLE
from serving.telemetry.counters import Histogram, RequestCounter
from serving.telemetry.metrics import ServingMetrics
from tasks.io.api_keys import Scope as KeyScope

LARGEST_BODY = 1024 * 1024
KEPT_BUCKETS = 10_000
OPEN = frozenset({"/healthz", "/readyz", "/metrics"})  # for supervisors and Prometheus; they name no person
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

_PLAIN = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
_NOTHING = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_JSON = ((b"content-type", b"application/json"), _NOTHING, *_PLAIN)
_WRITTEN = b"".join(b"%s: %s\r\n" % header for header in _JSON)
_POLICIES = {  # pages for people need a little more
    "/": (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    "/docs": (
        b"content-security-policy",
        b"default-src 'none'; connect-src 'self'; img-src 'self' data: https://fastapi.tiangolo.com; "
        b"script-src 'unsafe-inline' https://cdn.jsdelivr.net; style-src 'unsafe-inline' https://cdn.jsdelivr.net; "
        b"frame-ancestors 'none'",
    ),
}


class Buckets:
    """One token bucket a client: `rate` requests a second on average, twice as many at once."""

    def __init__(self, rate: float) -> None:
        self._rate, self._most = rate, max(2.0 * rate, 1.0)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str, now: float) -> float:
        """Take one token; 0, or the seconds until there is one."""
        left, since = self._left.pop(client, (self._most, now))
        left = min(self._most, left + (now - since) * self._rate)
        wait = 0.0 if left >= 1.0 else (1.0 - left) / self._rate
        self._left[client] = (left if wait else left - 1.0, now)
        if len(self._left) > KEPT_BUCKETS:
            self._left.popitem(last=False)
        return wait


class Gateway:
    """Checks key, scope and rate, counts, sets the security headers, and hands hot addresses to `HotRoutes`."""

    def __init__(
        self,
        app: ASGIApp,
        hot: HotRoutes,
        keys: Keyring,
        metrics: ServingMetrics,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app, self._hot, self._keys, self._metrics, self._clock = app, hot, keys, metrics, clock
        self._buckets = Buckets(rate) if rate else None
        self._counted: dict[tuple[str, int], tuple[RequestCounter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, path = time.perf_counter(), 500, scope["path"]
        route: Route | None = None
        try:
            headers = dict(scope["headers"])
            route, words = self._hot.find(scope["method"], path)
            self._admit(scope, headers, path, route)
            if route is not None:
                body = await _read_body(headers, receive) if route.body is not None else b""
                answer = await self._hot.answer(route, words, scope["query_string"], body)
                status = 200
                await _send(scope, send, answer)
            else:
                status = await self._pass(scope, headers, receive, send, path)
        except Refusal as refusal:
            status = refusal.status_code
            response = problem(status, str(refusal.detail), refusal.faults, refusal.headers)
            await response(scope, receive, _with_headers(send, path))
        finally:
            template = route.template if route is not None else getattr(scope.get("route"), "path", "none")
            self._count(template, status, time.perf_counter() - started)

    async def _pass(self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, send: Send, path: str) -> int:
        """The cold addresses, by FastAPI; the status that it answered."""
        status = 500
        if scope["method"] in {"POST", "PUT", "PATCH", "DELETE"}:
            receive = _replay(await _read_body(headers, receive), receive)

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        await self._app(scope, receive, _with_headers(noting, path))
        return status

    def _admit(self, scope: Scope, headers: Mapping[bytes, bytes], path: str, route: Route | None) -> None:
        if path in OPEN:
            return
        client = str((scope.get("client") or ("unknown",))[0])
        if not self._keys.required:
            self._refuse_strangers(scope, headers, client)
        else:
            wanted = route.scope if route is not None else _scope_of(path)
            client = self._keys.admit(headers.get(b"authorization", b""), wanted)
        if self._buckets is not None:
            wait = self._buckets.take(client, self._clock())
            if wait:
                self._metrics.refused.labels("rate").inc()
                after = {"Retry-After": str(max(1, round(wait)))}
                raise Refusal(
                    HTTPStatus.TOO_MANY_REQUESTS, "too many requests: ask for many subjects at once, or later", (), after
                )

    def _refuse_strangers(self, scope: Scope, headers: Mapping[bytes, bytes], client: str) -> None:
        """Without keys only this machine may ask, and no web page that has talked its browser into it."""
        host = headers.get(b"host", b"").decode("latin-1").rsplit(":", 1)[0].strip("[]")
        reached = str((scope.get("server") or ("unknown",))[0])
        is_near = client in LOOPBACK and reached in LOOPBACK and host in LOOPBACK
        if is_near and b"x-forwarded-for" not in headers and b"forwarded" not in headers:
            return
        self._metrics.refused.labels("not loopback").inc()
        raise Refusal(
            HTTPStatus.FORBIDDEN,
            "keys are off (TITLEHOLDER_ENDPOINT_KEYS), so only this machine itself is answered, by a loopback address: "
            "set it to 'required' and make a key with `titleholder api-key`",
        )

    def _count(self, template: str, status: int, seconds: float) -> None:
        counted = self._counted.get((template, status))
        if counted is None:
            counted = self._metrics.requests.of(template, str(status)), self._metrics.seconds.of(template)
            self._counted[template, status] = counted
        counted[0].add()
        counted[1].observe(seconds)


def _scope_of(path: str) -> KeyScope:
    return KeyScope.TRAIN if "/training-runs" in path else KeyScope.PREDICT


async def _read_body(headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
    """The whole body, refused as soon as it is known to be too large, or not to be JSON."""
    told = f"a body may have {LARGEST_BODY} bytes; send fewer subjects in one request"
    announced = headers.get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > LARGEST_BODY:
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, told)
    message = await receive()
    body: bytes = message.get("body", b"")
    more = message.get("more_body", False)
    if more:
        parts, size = [body], len(body)
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refusal(HTTPStatus.BAD_REQUEST, "the body broke off")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > LARGEST_BODY:
                raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, told)
            more = message.get("more_body", False)
        body = b"".join(parts)
    if len(body) > LARGEST_BODY:
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, told)
    said = headers.get(b"content-type", b"")
    if body and said != b"application/json" and said.split(b";")[0].strip().lower() != b"application/json":
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a body is JSON: send it with Content-Type: application/json")
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body which was read already."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _send(scope: Scope, send: Send, body: bytes) -> None:
    whole = scope.get("extensions", {}).get(WHOLE)
    if whole is None or not whole(_WRITTEN, body):
        headers = [*_JSON, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _with_headers(send: Send, path: str) -> Send:
    """A `send` that adds the security headers."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), _POLICIES.get(path, _NOTHING), *_PLAIN]}
        await send(message)

    return sending

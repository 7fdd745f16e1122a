"""The outermost ASGI layer: API keys, rate and size limits, request counts and security headers."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.deployment.api_keys import Keyring
from serving.http.fast_routes import FastRoutes, Route
from serving.http.problems import Refusal, make_problem
from serving.http.protocol import WRITE_RESPONSE
from serving.telemetry.counters import Histogram, RequestCounter
from serving.telemetry.metrics import ServingMetrics
from tasks.io.api_keys import Scope as KeyScope

MAX_BODY = 1024 * 1024  # bytes
MAX_BUCKETS = 10_000
PUBLIC_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})  # for supervisors and Prometheus; they contain no personal data
BEARER = {"WWW-Authenticate": "Bearer"}
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

_SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
_NO_CONTENT_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_JSON_HEADERS = ((b"content-type", b"application/json"), _NO_CONTENT_POLICY, *_SECURITY_HEADERS)
_JSON_HEADER_BYTES = b"".join(b"%s: %s\r\n" % header for header in _JSON_HEADERS)
_POLICIES = {  # HTML pages need styles, and the API page scripts
    "/": (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    "/docs": (
        b"content-security-policy",
        b"default-src 'none'; connect-src 'self'; img-src 'self' data: https://fastapi.tiangolo.com; "
        b"script-src 'unsafe-inline' https://cdn.jsdelivr.net; style-src 'unsafe-inline' https://cdn.jsdelivr.net; "
        b"frame-ancestors 'none'",
    ),
}


class Buckets:
    """A token bucket per client: `rate` requests a second on average, and up to twice as many at once."""

    def __init__(self, rate: float) -> None:
        self._rate, self._capacity = rate, max(2.0 * rate, 1.0)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str, now: float) -> float:
        """Take one token. Returns 0, or the seconds until the next token if there is none."""
        left, since = self._buckets.pop(client, (self._capacity, now))
        left = min(self._capacity, left + (now - since) * self._rate)
        wait = 0.0 if left >= 1.0 else (1.0 - left) / self._rate
        self._buckets[client] = (left if wait else left - 1.0, now)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return wait


class Gateway:
    """Checks key, scope and rate, and dispatches to `FastRoutes` or FastAPI.

    Parameters
    ----------
    app : FastAPI's part of the app.
    rate : requests per second and client; 0 for no limit.
    clock : monotonic time in seconds.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        routes: FastRoutes,
        keys: Keyring,
        metrics: ServingMetrics,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app, self._routes, self._keys, self._metrics, self._clock = app, routes, keys, metrics, clock
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
            route, ids = self._routes.find(scope["method"], path)
            self._authorize(scope, headers, path, route)
            if route is not None:
                body = await _read_body(headers, receive) if route.body is not None else b""
                answer = await self._routes.answer(route, ids, scope["query_string"], body)
                status = 200
                await _send(scope, send, answer)
            else:
                status = await self._call_fastapi(scope, headers, receive, send, path)
        except Refusal as refusal:
            status = refusal.status_code
            response = make_problem(status, str(refusal.detail), faults=refusal.faults, headers=refusal.headers)
            await response(scope, receive, _with_headers(send, path))
        finally:
            template = route.template if route is not None else getattr(scope.get("route"), "path", "none")
            self._count(template, status, time.perf_counter() - started)

    async def _call_fastapi(self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, send: Send, path: str) -> int:
        """Let FastAPI answer, and return the status."""
        status = 500
        if scope["method"] in {"POST", "PUT", "PATCH", "DELETE"}:
            receive = _replay(await _read_body(headers, receive), receive)

        async def record_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        await self._app(scope, receive, _with_headers(record_status, path))
        return status

    def _authorize(self, scope: Scope, headers: Mapping[bytes, bytes], path: str, route: Route | None) -> None:
        if path in PUBLIC_PATHS:
            return
        client = str((scope.get("client") or ("unknown",))[0])
        if not self._keys.required:
            self._require_loopback(scope, headers, client)
        else:
            client = self._require_key(headers, route.scope if route is not None else _scope_of(path))
        if self._buckets is not None:
            wait = self._buckets.take(client, self._clock())
            if wait:
                self._metrics.refused.labels("rate").inc()
                raise Refusal(
                    HTTPStatus.TOO_MANY_REQUESTS,
                    "too many requests: send several subjects in one request, or retry later",
                    headers={"Retry-After": str(max(1, round(wait)))},
                )

    def _require_key(self, headers: Mapping[bytes, bytes], scope: KeyScope) -> str:
        """The id of the request's API key.

        Raises
        ------
        Refusal : 401 without a known key, 403 if the key does not have the scope.
        """
        authorization = headers.get(b"authorization", b"")
        key = self._keys.find(authorization)
        if key is None:
            self._metrics.refused.labels("unknown key" if authorization else "no key").inc()
            unknown = "the API key is unknown or was revoked"
            detail = unknown if authorization else "the API key is missing: send Authorization: Bearer th_..."
            raise Refusal(HTTPStatus.UNAUTHORIZED, detail, headers=BEARER)
        if not key.opens(scope):
            self._metrics.refused.labels("scope").inc()
            has = ", ".join(sorted(key.scopes))
            raise Refusal(HTTPStatus.FORBIDDEN, f"this route needs the scope {scope.value}, the API key has {has}")
        return key.key_id

    def _require_loopback(self, scope: Scope, headers: Mapping[bytes, bytes], client: str) -> None:
        """Without keys only this machine is answered. The Host header is checked against DNS rebinding by web pages."""
        host = headers.get(b"host", b"").decode("latin-1").rsplit(":", 1)[0].strip("[]")
        reached = str((scope.get("server") or ("unknown",))[0])
        is_local = client in LOOPBACK and reached in LOOPBACK and host in LOOPBACK
        if is_local and b"x-forwarded-for" not in headers and b"forwarded" not in headers:
            return
        self._metrics.refused.labels("not loopback").inc()
        raise Refusal(
            HTTPStatus.FORBIDDEN,
            "API keys are off, so only requests from this machine to a loopback address are answered: "
            "set TITLEHOLDER_ENDPOINT_KEYS to 'required' and create a key with `titleholder api-key`",
        )

    def _count(self, template: str, status: int, seconds: float) -> None:
        counted = self._counted.get((template, status))
        if counted is None:
            counted = self._metrics.requests.labels(template, str(status)), self._metrics.seconds.labels(template)
            self._counted[template, status] = counted
        counted[0].add()
        counted[1].observe(seconds)


def _scope_of(path: str) -> KeyScope:
    return KeyScope.TRAIN if "/training-runs" in path else KeyScope.PREDICT


async def _read_body(headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
    """The whole body, refused as soon as it is too large, or if it is not JSON."""
    too_large = f"the body is larger than {MAX_BODY} bytes: send fewer subjects in one request"
    announced = headers.get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > MAX_BODY:
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large)
    message = await receive()
    body: bytes = message.get("body", b"")
    more = message.get("more_body", False)
    if more:
        parts, size = [body], len(body)
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refusal(HTTPStatus.BAD_REQUEST, "the body is incomplete: the client disconnected")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > MAX_BODY:
                raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large)
            more = message.get("more_body", False)
        body = b"".join(parts)
    if len(body) > MAX_BODY:
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large)
    media_type = headers.get(b"content-type", b"")
    if body and media_type != b"application/json" and media_type.split(b";")[0].strip().lower() != b"application/json":
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected JSON: send the body with Content-Type: application/json")
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that returns a body which was read already."""
    returned = False

    async def again() -> Message:
        nonlocal returned
        if returned:
            return await receive()
        returned = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _send(scope: Scope, send: Send, body: bytes) -> None:
    write = scope.get("extensions", {}).get(WRITE_RESPONSE)
    if write is None or not write(_JSON_HEADER_BYTES, body):
        headers = [*_JSON_HEADERS, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _with_headers(send: Send, path: str) -> Send:
    """A `send` that adds the security headers."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {
                **message,
                "headers": [*message.get("headers", []), _POLICIES.get(path, _NO_CONTENT_POLICY), *_SECURITY_HEADERS],
            }
        await send(message)

    return sending

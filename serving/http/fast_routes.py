"""The frequently called routes in plain ASGI: found by splitting the path, validated and encoded by msgspec."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from serving.deployment.bundle import Bundle, DeploymentSource
from serving.http import answers, messages
from serving.http.answers import Answers
from serving.http.bundles import find_bundle
from serving.http.cells import read_cell, read_event, read_id, read_ids, read_outcome, read_rows
from serving.http.problems import INVALID_REQUEST, Refusal, shorten
from serving.ranking.recent_events import RecentEvents
from serving.telemetry.metrics import ServingMetrics
from serving.telemetry.prediction_writer import PredictionWriter, encode_rows
from tasks import clock
from tasks import columns as c
from tasks.io.api_keys import Scope
from tasks.io.events import EventStore

T = TypeVar("T")

EPOCH, END_OF_TIMES = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
MAX_CLOCK_SKEW_SECONDS = 300.0  # how far in the future an event may lie
INLINE_SUBJECTS = 8  # requests with more subjects are answered in a thread, so that they do not block the others
THREADS = 2
MAX_QUEUED = 64  # large requests in threads or waiting for one; further ones get a 503
MAX_SECONDS = 10.0
RETRY_AFTER = {"Retry-After": "2"}
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Route:
    """A frequently called route.

    Attributes
    ----------
    template : path with its parameters in braces.
    scope : scope that the API key needs.
    description : for OpenAPI; its first sentence is the summary.
    responses : types of a 200; one of them.
    handle : coroutine from use case and request to JSON.
    body : type of the request body; None for a route without one.
    query : allowed query parameters.
    """

    method: str
    template: str
    scope: Scope
    description: str
    responses: tuple[Any, ...]
    handle: Callable[..., Awaitable[bytes]]
    body: Any = None
    query: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, bool]:
        """Method, name of the resource, and whether an id follows: what `FastRoutes.find` looks up."""
        parts = self.template.split("/")
        return self.method, parts[3], len(parts) > 4


class FastRoutes:
    """Recommendations, predictions, events and outcomes."""

    def __init__(
        self,
        source: DeploymentSource,
        writer: PredictionWriter,
        metrics: ServingMetrics,
        *,
        events: Callable[[], EventStore],
        recent: RecentEvents,
        explore_share: float,
        shuffle_share: float,
    ) -> None:
        self._source, self._writer, self._metrics = source, writer, metrics
        self._events, self._recent = events, recent
        self._explore_share, self._shuffle_share = explore_share, shuffle_share
        self._pool = ThreadPoolExecutor(THREADS, "large-request")
        self._queued = 0
        self.routes = self._make_routes()
        self._by_key = {route.key: route for route in self.routes}
        self._allowed = {(name, has_id): method for method, name, has_id in self._by_key}
        self._decoders = {route.template: msgspec.json.Decoder(route.body) for route in self.routes if route.body}

    def _make_routes(self) -> Sequence[Route]:
        return (
            Route(
                method="GET",
                template="/v1/{use_case}/recommendations/{user_id}",
                scope=Scope.PREDICT,
                description="The top k items for one user. An unknown user gets popular items, and `path` reports it.",
                responses=(messages.OneUser,),
                handle=self._recommend_to_one,
                query=("k", "segment"),
            ),
            Route(
                method="POST",
                template="/v1/{use_case}/recommendations",
                scope=Scope.PREDICT,
                description="The top k items for each of up to 1000 users, all by the same model.",
                responses=(messages.ManyUsers,),
                handle=self._recommend_to_many,
                body=messages.RecommendationsRequest,
            ),
            Route(
                method="POST",
                template="/v1/{use_case}/session-recommendations",
                scope=Scope.PREDICT,
                description="The top k items for a session without a user id, from a few recent items.",
                responses=(messages.OneUser,),
                handle=self._recommend_to_session,
                body=messages.SessionRequest,
            ),
            Route(
                method="GET",
                template="/v1/{use_case}/similar-items/{item_id}",
                scope=Scope.PREDICT,
                description="The items that have the most customers in common with one item.",
                responses=(messages.SimilarItems,),
                handle=self._find_similar,
                query=("k",),
            ),
            Route(
                method="POST",
                template="/v1/{use_case}/predictions",
                scope=Scope.PREDICT,
                description="A probability for each row (classification), or a rating for each pair (rating).",
                responses=(messages.RowPredictions, messages.PairPredictions),
                handle=self._predict,
                body=messages.PredictionsRequest,
            ),
            Route(
                method="POST",
                template="/v1/{use_case}/events",
                scope=Scope.EVENTS,
                description="Views, purchases and ratings, one or many. They count in the following answers.",
                responses=(messages.EventsAccepted,),
                handle=self._accept_events,
                body=messages.EventsRequest,
            ),
            Route(
                method="POST",
                template="/v1/{use_case}/outcomes",
                scope=Scope.EVENTS,
                description="Outcomes of predictions, by prediction id.",
                responses=(messages.OutcomesAccepted,),
                handle=self._accept_outcomes,
                body=messages.OutcomesRequest,
            ),
        )

    # dispatch

    def find(self, method: str, path: str) -> tuple[Route | None, tuple[str, str]]:
        """The route of a path, and its use case and id. The route is None if FastAPI has to answer.

        Raises
        ------
        Refusal : 405 for a frequent route with another method.
        """
        parts = path.split("/", 4)
        if len(parts) < 4 or parts[1] != "v1":
            return None, ("", "")
        rest = parts[4] if len(parts) > 4 else ""
        route = self._by_key.get((method, parts[3], bool(rest)))
        if route is None and (parts[3], bool(rest)) in self._allowed:
            allowed = self._allowed[parts[3], bool(rest)]
            raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"this route accepts {allowed} only", headers={"Allow": allowed})
        return route, (parts[2], rest)

    async def answer(self, route: Route, ids: tuple[str, str], query: bytes, body: bytes) -> bytes:
        """The JSON of a route's response.

        Parameters
        ----------
        ids : use case, and the id of a user or item where the route has one.

        Raises
        ------
        Refusal : a 4xx or 503 with its reason.
        """
        try:
            options = _read_query(query, route.query) if route.query else (None, None)
            if route.body is None:
                return await route.handle(ids[0], _checked_id(ids[1], route.template), *options)
            return await route.handle(ids[0], body)
        except messages.InvalidRequest as error:
            faults = [(error.where, error.what)] if error.where else []
            detail = INVALID_REQUEST if error.where else error.what
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, detail, faults=faults) from None

    async def _run_in_thread(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread; refuse it if too many requests are queued."""
        if self._queued >= MAX_QUEUED:
            self._metrics.refused.labels("overload").inc()
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many large requests are queued", headers=RETRY_AFTER)
        self._queued += 1
        future = self._pool.submit(work)
        future.add_done_callback(lambda _done: setattr(self, "_queued", self._queued - 1))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), MAX_SECONDS)
        except TimeoutError:
            detail = f"no answer within {MAX_SECONDS:.0f} s: send fewer subjects in one request"
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=RETRY_AFTER) from None

    async def _answer(self, bundle: Bundle, subjects: int, make: Callable[[Sequence[str]], Answers]) -> Answers:
        """Make the answers for new prediction ids, queue their log rows, and count them."""
        started, made_at = time.perf_counter(), clock.now()
        ids = new_ids(subjects)
        metrics = self._metrics.of_version(bundle.use_case, bundle.version)

        def work() -> tuple[Answers, float, list[bytes]]:
            made = make(ids)
            seconds = time.perf_counter() - started
            lines = encode_rows(
                made.rows,
                bundle.provenance,
                features_as_of=bundle.features_as_of,
                made_at=made_at,
                latency_ms=round(seconds * 1000, 3),
            )
            return made, seconds, lines

        try:
            made, seconds, lines = work() if subjects <= INLINE_SUBJECTS else await self._run_in_thread(work)
        except Refusal:
            raise  # a fault of the request, not of the model version
        except Exception:
            metrics.failed.add()
            raise
        self._writer.put(bundle.use_case, made_at.date(), lines)
        metrics.answered.add()
        metrics.seconds.observe(seconds)
        for score in made.best_scores:
            metrics.scores.observe(score)
        for path, count in made.paths.items():
            self._metrics.predictions.labels(bundle.use_case, path).add(count)
        return made

    # recommendations

    async def _recommend_to_one(self, use_case: str, user_id: str, k: int | None, segment: str | None) -> bytes:
        bundle = self._find_recommender(use_case)
        user_id = read_id(bundle.reader(c.USER_ID), user_id, "path.user_id")
        made = await self._recommend(bundle, [user_id], k, _read_segment(bundle, segment, "query.segment"))
        return _encode(messages.OneUser(**bundle.provenance, **msgspec.structs.asdict(made.answers[0])))

    async def _recommend_to_many(self, use_case: str, body: bytes) -> bytes:
        bundle = self._find_recommender(use_case)
        request: messages.RecommendationsRequest = self._decode("/v1/{use_case}/recommendations", body)
        k = request.k or bundle.terms.k
        if len(request.users) * k > messages.MAX_ANSWERS:
            raise Refusal(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"users times k must be at most {messages.MAX_ANSWERS}, got {len(request.users)} x {k}: "
                "send fewer users in one request",
            )
        users = read_ids(bundle.reader(c.USER_ID), request.users, "body.users")
        made = await self._recommend(bundle, users, k, _read_segment(bundle, request.segment, "body.segment"))
        return _encode(messages.ManyUsers(**bundle.provenance, recommendations=made.answers))

    async def _recommend(self, bundle: Bundle, users: Sequence[str], k: int | None, segment: str | None) -> Answers:
        count, name, since = k or bundle.terms.k, bundle.use_case, bundle.features_until
        return await self._answer(
            bundle,
            len(users),
            lambda ids: answers.recommend(
                bundle,
                users,
                count,
                segment=segment,
                recent_of=lambda user: self._recent.of_user(name, user, since),
                explore_share=self._explore_share,
                shuffle_share=self._shuffle_share,
                ids=ids,
            ),
        )

    async def _recommend_to_session(self, use_case: str, body: bytes) -> bytes:
        bundle = self._find_recommender(use_case)
        request: messages.SessionRequest = self._decode("/v1/{use_case}/session-recommendations", body)
        k, items = request.k or bundle.terms.k, read_ids(bundle.reader(c.ITEM_ID), request.items, "body.items")
        segment = _read_segment(bundle, request.segment, "body.segment")
        made = await self._answer(bundle, 1, lambda ids: answers.recommend_to_session(bundle, items, k, segment, ids))
        return _encode(messages.OneUser(**bundle.provenance, **msgspec.structs.asdict(made.answers[0])))

    async def _find_similar(self, use_case: str, item_id: str, k: int | None, _segment: str | None) -> bytes:
        bundle = self._find_recommender(use_case)
        count = k or bundle.terms.k
        item_id = read_id(bundle.reader(c.ITEM_ID), item_id, "path.item_id")
        made = await self._answer(bundle, 1, lambda ids: answers.find_similar(bundle, item_id, count, ids))
        return _encode(messages.SimilarItems(**bundle.provenance, item_id=item_id, **made.answers[0]))

    def _find_recommender(self, use_case: str) -> Bundle:
        """The bundle of a use case that ranks items.

        Raises
        ------
        Refusal : as `find_bundle`, and 409 for a use case that classifies rows.
        """
        bundle = find_bundle(self._source, use_case)
        if bundle.terms.task.answers_rows:
            name = bundle.use_case
            raise Refusal(
                HTTPStatus.CONFLICT, f"{name} classifies rows and has no items to recommend: use /v1/{name}/predictions"
            )
        return bundle

    # predictions

    async def _predict(self, use_case: str, body: bytes) -> bytes:
        bundle = find_bundle(self._source, use_case)
        task, name = bundle.terms.task, bundle.use_case
        if task.answers_rows:
            rows, row_ids = _read_rows(bundle, body)
            made = await self._answer(bundle, len(rows), lambda ids: answers.predict_rows(bundle, rows, row_ids, ids))
            return _encode(messages.RowPredictions(**bundle.provenance, predictions=made.answers))
        if task.rates_pairs:
            sent = self._decode("/v1/{use_case}/predictions", body).pairs
            if sent is None:
                raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"{name} rates pairs: send 'pairs', not 'rows'")
            users = read_ids(bundle.reader(c.USER_ID), [pair.user_id for pair in sent], "body.pairs")
            items = read_ids(bundle.reader(c.ITEM_ID), [pair.item_id for pair in sent], "body.pairs")
            pairs = [messages.Pair(user, item) for user, item in zip(users, items, strict=True)]
            made = await self._answer(bundle, len(pairs), lambda ids: answers.predict_pairs(bundle, pairs, ids))
            return _encode(messages.PairPredictions(**bundle.provenance, predictions=made.answers))
        raise Refusal(HTTPStatus.CONFLICT, f"{name} recommends items ({task.value}): use /v1/{name}/recommendations")

    # events and outcomes

    async def _accept_events(self, use_case: str, body: bytes) -> bytes:
        bundle = self._find_recommender(use_case)
        name = bundle.use_case
        request: messages.EventsRequest = self._decode("/v1/{use_case}/events", body)
        now = clock.now()
        label = "rating" if bundle.terms.task.rates_pairs else "purchase"
        for place, event in enumerate(request.events):
            if (event.event_at - now).total_seconds() > MAX_CLOCK_SKEW_SECONDS:
                raise messages.InvalidRequest(f"body.events.{place}.event_at", "is more than five minutes in the future")
        rows = [
            {
                **msgspec.structs.asdict(event),
                **read_event(bundle, event, f"body.events.{place}"),
                "event_at": _to_utc(event.event_at, f"body.events.{place}.event_at"),
            }
            for place, event in enumerate(request.events)
        ]
        named = [(row.pop("prediction_id"), row) for row in rows]
        outcomes = [_as_outcome(prediction, row) for prediction, row in named if prediction and row["event_type"] == label]
        new = await self._store_rows(lambda: self._add_events(name, rows, outcomes, now))
        for row in rows:
            self._metrics.events.labels(name, row["event_type"]).inc()
        return _encode(messages.EventsAccepted(new, len(rows) - new, now))

    def _add_events(self, use_case: str, rows: list[dict[str, Any]], outcomes: list[dict[str, Any]], now: datetime) -> int:
        if outcomes:
            self._events().add_outcomes(use_case, outcomes, now)
        new = self._events().add_events(use_case, rows, now)
        self._recent.reload()
        return new

    async def _accept_outcomes(self, use_case: str, body: bytes) -> bytes:
        bundle = find_bundle(self._source, use_case)
        name = bundle.use_case
        request: messages.OutcomesRequest = self._decode("/v1/{use_case}/outcomes", body)
        rows = [
            {
                **msgspec.structs.asdict(one),
                **read_outcome(bundle, one, f"body.outcomes.{place}"),
                "happened_at": _to_utc(one.happened_at, f"body.outcomes.{place}.happened_at"),
            }
            for place, one in enumerate(request.outcomes)
        ]
        new = await self._store_rows(lambda: self._events().add_outcomes(name, rows, clock.now()))
        return _encode(messages.OutcomesAccepted(new, len(rows) - new))

    async def _store_rows(self, work: Callable[[], int]) -> int:
        """Write to the database in a thread, before the response: a 200 means that the rows are stored."""
        try:
            return await self._run_in_thread(work)
        except SQLAlchemyError as error:
            detail = f"nothing was stored because the database does not answer ({type(error).__name__}): send it again"
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=RETRY_AFTER) from error

    def _decode(self, template: str, body: bytes) -> Any:
        return messages.decode(self._decoders[template], body)


def _as_outcome(prediction_id: str, event: Mapping[str, Any]) -> dict[str, Any]:
    """An event that names an answer, as an outcome of it."""
    label = event["value"] if event["event_type"] == "rating" else 1.0
    item, at = event["item_id"], event["event_at"]
    return {"prediction_id": prediction_id, "item_id": item, "label": label, "happened_at": at}


def _read_rows(bundle: Bundle, body: bytes) -> tuple[list[tuple[float | str | None, ...]], Sequence[str] | None]:
    """The rows, each in the order of the model's columns, and their ids.

    Raises
    ------
    Refusal, InvalidRequest : the rows are not those of the model.
    """
    rows, row_ids = read_rows(bundle, body, lambda error: answers.refuse_rows(bundle, body, error))
    if row_ids is None:
        return rows, None
    if len(row_ids) != len(rows):
        raise messages.InvalidRequest("body.row_ids", f"expected one id for each of {len(rows)} rows, got {len(row_ids)}")
    return rows, read_ids(bundle.reader(c.EVENT_ID), row_ids, "body.row_ids")


def _read_segment(bundle: Bundle, segment: str | None, where: str) -> str | None:
    found = read_cell(bundle.reader(c.SEGMENT), segment, where)
    return None if found is None else str(found)


def _checked_id(text: str, template: str) -> str:
    if 1 <= len(text) <= 200:
        return text
    name = "item_id" if "item_id" in template else "user_id"
    raise messages.InvalidRequest(f"path.{name}", "must have 1 to 200 characters")


def _to_utc(moment: datetime, where: str) -> datetime:
    """The moment in UTC. Times before 1970 and after 2199 are mistakes, which nanoseconds may not hold."""
    try:
        at = moment.astimezone(UTC)
    except OverflowError:  # the first and the last day of the calendar, in another time zone
        at = EPOCH - timedelta(1)
    if not EPOCH <= at < END_OF_TIMES:
        raise messages.InvalidRequest(where, f"must be between 1970 and 2199 in UTC, got {moment.isoformat()}")
    return at


def _read_query(query: bytes, allowed: tuple[str, ...]) -> tuple[int | None, str | None]:
    """k and segment of a query string. An unknown parameter is refused."""
    if not query:
        return None, None
    given = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    unknown = [name for name in given if name not in allowed]
    if unknown:
        raise messages.InvalidRequest(f"query.{shorten(unknown[0])}", f"unknown parameter; allowed: {', '.join(allowed)}")
    k, segment = given.get("k"), given.get("segment")
    if k is not None and not (k.isascii() and k.isdigit() and len(k) < 5 and 1 <= int(k) <= messages.MAX_ITEMS):
        raise messages.InvalidRequest("query.k", f"must be an integer from 1 to {messages.MAX_ITEMS}")
    if segment is not None and not 1 <= len(segment) <= 100:
        raise messages.InvalidRequest("query.segment", "must have 1 to 100 characters")
    return int(k) if k is not None else None, segment


def new_ids(count: int) -> list[str]:
    """Random prediction ids of 128 bits in hexadecimal."""
    drawn = os.urandom(16 * count).hex()
    return [drawn] if count == 1 else [drawn[start : start + 32] for start in range(0, len(drawn), 32)]

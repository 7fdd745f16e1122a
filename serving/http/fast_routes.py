"""The addresses that are asked all the time, as plain ASGI: found by splitting the path, checked and written by msgspec."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from serving.deployment.store import ModelStore, Served
from serving.http import answers, messages
from serving.http.answers import Answered
from serving.http.problems import Refusal, cut
from serving.ranking.recent_events import RecentEvents
from serving.telemetry.metrics import ServingMetrics
from serving.telemetry.prediction_writer import Recorder, write_lines
from tasks.contracts.base import TaskKind
from tasks.io.api_keys import Scope
from tasks.io.events import EventStore

T = TypeVar("T")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MANY = 8  # more subjects than this are answered in a thread, so that others need not wait
THREADS = 2
MOST_WAITING = 64  # heavy requests that may wait for a thread; the next one is told to come back
LONGEST_SECONDS = 10.0
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Route:
    """One hot address: what it takes, what it gives, and who may ask."""

    method: str
    template: str
    scope: Scope
    body: Any  # the type of its body; None where it has none
    gives: tuple[Any, ...]
    told: str
    handle: Callable[..., Awaitable[bytes]]
    query: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, str, bool]:
        """Method, verb, and whether an id follows: what a path is found by."""
        words = self.template.split("/")
        return self.method, words[3], len(words) > 4


class HotRoutes:
    """Answers, events and outcomes."""

    def __init__(
        self,
        store: ModelStore,
        recorder: Recorder,
        metrics: ServingMetrics,
        events: Callable[[], EventStore],
        recent: RecentEvents,
        explore_share: float,
    ) -> None:
        self._store, self._recorder, self._metrics = store, recorder, metrics
        self._events, self._recent, self._explore_share = events, recent, explore_share
        self._pool = ThreadPoolExecutor(THREADS, "heavy")
        self._heavy = 0
        predict, events_scope = Scope.PREDICT, Scope.EVENTS
        self.routes: Sequence[Route] = (
            Route(
                "GET",
                "/v1/{use_case}/recommendations/{user_id}",
                predict,
                None,
                (messages.OneUser,),
                "The top k items for one user. Somebody unknown gets what is popular, and `path` says so.",
                self._recommend_to_one,
                ("k", "segment"),
            ),
            Route(
                "POST",
                "/v1/{use_case}/recommendations",
                predict,
                messages.RecommendationsRequest,
                (messages.ManyUsers,),
                "The top k items for each of up to 1000 users, all by the same model.",
                self._recommend_to_many,
            ),
            Route(
                "POST",
                "/v1/{use_case}/session-recommendations",
                predict,
                messages.SessionRequest,
                (messages.OneUser,),
                "The top k items for somebody without an id, from a few recent items.",
                self._recommend_to_session,
            ),
            Route(
                "GET",
                "/v1/{use_case}/similar-items/{item_id}",
                predict,
                None,
                (messages.SimilarItems,),
                "The items whose customers are most alike.",
                self._find_similar,
                ("k",),
            ),
            Route(
                "POST",
                "/v1/{use_case}/predictions",
                predict,
                messages.PredictionsRequest,
                (messages.RowPredictions, messages.PairPredictions),
                "A probability for each row (classification), or a rating for each pair (rating).",
                self._predict,
            ),
            Route(
                "POST",
                "/v1/{use_case}/events",
                events_scope,
                messages.EventsRequest,
                (messages.EventsTaken,),
                "Views, purchases and ratings, one or many. They count in the answers that follow.",
                self._take_events,
            ),
            Route(
                "POST",
                "/v1/{use_case}/outcomes",
                events_scope,
                messages.OutcomesRequest,
                (messages.OutcomesTaken,),
                "What became of predictions, by their ids.",
                self._take_outcomes,
            ),
        )
        self._by_parts = {route.parts: route for route in self.routes}
        self._allowed = {(verb, has_id): method for method, verb, has_id in self._by_parts}
        self._decoders = {
            route.template + route.method: msgspec.json.Decoder(route.body) for route in self.routes if route.body
        }

    # finding and answering

    def find(self, method: str, path: str) -> tuple[Route | None, tuple[str, str]]:
        """The hot route of a path, with use case and id; (None, ...) where it is a cold one."""
        words = path.split("/", 4)
        if len(words) < 4 or words[1] != "v1":
            return None, ("", "")
        rest = words[4] if len(words) > 4 else ""
        route = self._by_parts.get((method, words[3], bool(rest)))
        if route is None and (words[3], bool(rest)) in self._allowed:
            allowed = self._allowed[words[3], bool(rest)]
            raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"this address takes {allowed}", (), {"Allow": allowed})
        return route, (words[2], rest)

    async def answer(self, route: Route, words: tuple[str, str], query: bytes, body: bytes) -> bytes:
        """The JSON of a hot route's answer.

        Raises
        ------
        Refusal : a 4xx or 503 with its reason.
        """
        try:
            asked = _read_query(query, route.query) if route.query else (None, None)
            if route.body is None:
                return await route.handle(words[0], _checked_id(words[1], route.template), *asked)
            return await route.handle(words[0], body)
        except messages.WrongForm as error:
            faults = [(error.where, error.what)] if error.where else []
            told = "the request does not have the form that this address takes" if error.where else error.what
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, told, faults) from None

    def _served(self, use_case: str) -> Served:
        """The bundle that answers a request, taken once.

        Raises
        ------
        Refusal : 404 unknown use case, 503 known but nothing could be loaded for it yet.
        """
        seat = self._store.seats.get(use_case)
        if seat is not None and seat.served is not None:
            return seat.served
        raise self._store.refusal(use_case)

    async def _work(self, make: Callable[[], T]) -> T:
        """Do it in a thread; refuse where too much waits already."""
        if self._heavy >= MOST_WAITING:
            self._metrics.refused.labels("overload").inc()
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many large requests wait already", (), {"Retry-After": "2"})
        self._heavy += 1
        future = self._pool.submit(make)
        future.add_done_callback(lambda _done: setattr(self, "_heavy", self._heavy - 1))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), LONGEST_SECONDS)
        except TimeoutError:
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"not answered within {LONGEST_SECONDS:.0f} s: ask for fewer subjects",
                (),
                {"Retry-After": "2"},
            ) from None

    async def _answer(self, served: Served, subjects: int, make: Callable[[Sequence[str]], Answered]) -> Answered:
        """Make the answers, queue their log rows, count their paths."""
        started, at = time.perf_counter(), datetime.now(UTC)
        ids, entry = new_ids(subjects), served.entry
        of_version = self._metrics.of_version(entry.use_case, entry.version)

        def work() -> tuple[Answered, float, list[bytes]]:
            made = make(ids)
            seconds = time.perf_counter() - started
            return made, seconds, write_lines(made.rows, served.provenance, served.features_as_of, at, round(seconds * 1000, 3))

        try:
            made, seconds, lines = work() if subjects <= MANY else await self._work(work)
        except Refusal:
            raise  # the request's fault, not the version's
        except Exception:
            of_version.failed.add()
            raise
        self._recorder.put(entry.use_case, at.date(), lines)
        of_version.answered.add()
        of_version.seconds.observe(seconds)
        for score in made.best_scores:
            of_version.scores.observe(score)
        for path, count in made.paths.items():
            self._metrics.predictions.of(entry.use_case, path).add(count)
        return made

    # recommendations

    async def _recommend_to_one(self, use_case: str, user_id: str, k: int | None, segment: str | None) -> bytes:
        served = self._served(use_case)
        _refuse_tabular(served)
        made = await self._recommend(served, [user_id], k, segment)
        return _encode(messages.OneUser(**served.provenance, **msgspec.structs.asdict(made.given[0])))

    async def _recommend_to_many(self, use_case: str, body: bytes) -> bytes:
        served = self._served(use_case)
        _refuse_tabular(served)
        asked: messages.RecommendationsRequest = self._decode("/v1/{use_case}/recommendations", body)
        wanted = asked.k or served.terms.k
        if len(asked.users) * wanted > messages.MOST_ANSWERS:
            raise Refusal(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"users times k may be {messages.MOST_ANSWERS}; got {len(asked.users)} x {wanted}. Send fewer users at a time",
            )
        made = await self._recommend(served, asked.users, wanted, asked.segment)
        return _encode(messages.ManyUsers(**served.provenance, recommendations=made.given))

    async def _recommend(self, served: Served, users: Sequence[str], k: int | None, segment: str | None) -> Answered:
        wanted, name, since = k or served.terms.k, served.entry.use_case, served.features_as_of
        return await self._answer(
            served,
            len(users),
            lambda ids: answers.recommend(
                served, users, wanted, segment, lambda user: self._recent.of(name, user, since), self._explore_share, ids
            ),
        )

    async def _recommend_to_session(self, use_case: str, body: bytes) -> bytes:
        served = self._served(use_case)
        _refuse_tabular(served)
        asked: messages.SessionRequest = self._decode("/v1/{use_case}/session-recommendations", body)
        wanted = asked.k or served.terms.k
        made = await self._answer(
            served, 1, lambda ids: answers.recommend_to_session(served, asked.items, wanted, asked.segment, ids)
        )
        return _encode(messages.OneUser(**served.provenance, **msgspec.structs.asdict(made.given[0])))

    async def _find_similar(self, use_case: str, item_id: str, k: int | None, _segment: str | None) -> bytes:
        served = self._served(use_case)
        _refuse_tabular(served)
        wanted = k or served.terms.k
        made = await self._answer(served, 1, lambda ids: answers.find_similar(served, item_id, wanted, ids))
        return _encode(messages.SimilarItems(**served.provenance, item_id=item_id, **made.given[0]))

    # predictions

    async def _predict(self, use_case: str, body: bytes) -> bytes:
        served = self._served(use_case)
        task, name = served.terms.task, served.entry.use_case
        if task is TaskKind.CLASSIFICATION:
            rows, row_ids = self._read_rows(served, body)
            made = await self._answer(served, len(rows), lambda ids: answers.predict_rows(served, rows, row_ids, ids))
            return _encode(messages.RowPredictions(**served.provenance, predictions=made.given))
        if task is TaskKind.RATING:
            pairs = self._decode("/v1/{use_case}/predictions", body).pairs
            if pairs is None:
                raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"{name} rates pairs: send 'pairs', not 'rows'")
            made = await self._answer(served, len(pairs), lambda ids: answers.predict_pairs(served, pairs, ids))
            return _encode(messages.PairPredictions(**served.provenance, predictions=made.given))
        raise Refusal(HTTPStatus.CONFLICT, f"{name} recommends ({task.value}): ask /v1/{name}/recommendations")

    def _read_rows(self, served: Served, body: bytes) -> tuple[list[tuple[float | str | None, ...]], Sequence[str] | None]:
        """The rows in the order of the model's columns, and their names."""
        try:
            asked = messages.decode(served.row_decoder, body)
        except messages.WrongForm as error:
            answers.refuse_rows(served, body, error)
            raise
        if asked.row_ids is not None and len(asked.row_ids) != len(asked.rows):
            told = f"must be as many as 'rows'; got {len(asked.row_ids)} and {len(asked.rows)}"
            raise messages.WrongForm("body.row_ids", told)
        return [msgspec.structs.astuple(row) for row in asked.rows], asked.row_ids

    # events and outcomes

    async def _take_events(self, use_case: str, body: bytes) -> bytes:
        served = self._served(use_case)
        _refuse_tabular(served)
        asked: messages.EventsRequest = self._decode("/v1/{use_case}/events", body)
        now = datetime.now(UTC)
        for place, event in enumerate(asked.events):
            if event.event_type == "rating" and event.value is None:
                raise messages.WrongForm(f"body.events.{place}.value", "a rating needs its value")
            if (event.event_at - now).total_seconds() > 300:
                raise messages.WrongForm(f"body.events.{place}.event_at", "lies more than five minutes in the future")
        rows = [
            {**msgspec.structs.asdict(event), "event_at": _utc(event.event_at, f"body.events.{place}.event_at")}
            for place, event in enumerate(asked.events)
        ]
        name = served.entry.use_case
        new = await self._keep(lambda: self._add_events(name, rows, now))
        for event in asked.events:
            self._metrics.events.labels(name, event.event_type).inc()
        return _encode(messages.EventsTaken(new, len(rows) - new, now))

    def _add_events(self, use_case: str, rows: list[dict[str, Any]], now: datetime) -> int:
        new = self._events().add_events(use_case, rows, now)
        self._recent.look()
        return new

    async def _take_outcomes(self, use_case: str, body: bytes) -> bytes:
        name = self._served(use_case).entry.use_case
        asked: messages.OutcomesRequest = self._decode("/v1/{use_case}/outcomes", body)
        rows = [
            {
                **msgspec.structs.asdict(one),
                "item_id": one.item_id or "",
                "happened_at": _utc(one.happened_at, f"body.outcomes.{place}.happened_at"),
            }
            for place, one in enumerate(asked.outcomes)
        ]
        new = await self._keep(lambda: self._events().add_outcomes(name, rows, datetime.now(UTC)))
        return _encode(messages.OutcomesTaken(new, len(rows) - new))

    async def _keep(self, work: Callable[[], int]) -> int:
        """Something for the database, in a thread. What is answered with 200 is kept."""
        try:
            return await self._work(work)
        except SQLAlchemyError as error:
            told = f"nothing was kept, because the database does not answer ({type(error).__name__}): send it again"
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, told, (), {"Retry-After": "2"}) from error

    def _decode(self, template: str, body: bytes) -> Any:
        return messages.decode(self._decoders[template + "POST"], body)


def _checked_id(text: str, template: str) -> str:
    if 1 <= len(text) <= 200:
        return text
    raise messages.WrongForm(f"path.{'item_id' if 'item_id' in template else 'user_id'}", "may have 1 to 200 characters")


def _utc(moment: datetime, where: str) -> datetime:
    """In UTC, and not from before 1970: such a time is a slip, and no reader of the log could hold it in nanoseconds."""
    try:
        at = moment.astimezone(UTC)
    except OverflowError:  # the first and the last day of the calendar, in another zone
        at = EPOCH - timedelta(1)
    if at < EPOCH:
        raise messages.WrongForm(where, f"must lie between 1970 and 9999 in UTC; got {moment.isoformat()}")
    return at


def _read_query(query: bytes, allowed: tuple[str, ...]) -> tuple[int | None, str | None]:
    """k and segment; an unknown parameter is a misunderstanding, so it is refused."""
    if not query:
        return None, None
    given = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    unknown = [name for name in given if name not in allowed]
    if unknown:
        raise messages.WrongForm(f"query.{cut(unknown[0])}", f"is unknown; allowed: {', '.join(allowed)}")
    k, segment = given.get("k"), given.get("segment")
    if k is not None and not (k.isascii() and k.isdigit() and len(k) < 5 and 1 <= int(k) <= messages.MOST_ITEMS):
        raise messages.WrongForm("query.k", f"must be a whole number from 1 to {messages.MOST_ITEMS}")
    if segment is not None and not 1 <= len(segment) <= 100:
        raise messages.WrongForm("query.segment", "may have 1 to 100 characters")
    return int(k) if k is not None else None, segment


def _refuse_tabular(served: Served) -> None:
    if served.terms.task.is_tabular:
        name = served.entry.use_case
        raise Refusal(HTTPStatus.CONFLICT, f"{name} classifies rows and has no items to recommend: ask /v1/{name}/predictions")


def new_ids(count: int) -> list[str]:
    """Ids of predictions: 128 random bits each, in hexadecimal."""
    drawn = os.urandom(16 * count).hex()
    return [drawn] if count == 1 else [drawn[start : start + 32] for start in range(0, len(drawn), 32)]

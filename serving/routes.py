"""The addresses of the endpoint."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.concurrency import run_in_threadpool

from serving import answers
from serving.answers import Asked, Subject
from serving.metrics import ServingMetrics
from serving.page import render_page
from serving.problems import Refusal, cut
from serving.schemas import (
    MOST_ANSWERS,
    Id,
    K,
    ManyUsers,
    ModelInService,
    OneUser,
    Predictions,
    PredictionsRequest,
    Problem,
    Readiness,
    RecommendationsRequest,
    SeatReadiness,
    UseCases,
    UseCaseSummary,
)  # fmt: skip
from serving.store import ModelStore, Seat, Served
from tasks.contracts import TaskKind
from tasks.prediction_log import PredictionLog

MANY = 8  # more subjects than this are answered in a thread, so that others need not wait

ops = APIRouter(tags=["operations"])
v1 = APIRouter(
    prefix="/v1",
    tags=["answers"],
    responses={status: {"model": Problem, "content": {"application/problem+json": {}}} for status in (404, 409, 413, 422, 503)},
)


def _store(request: Request) -> ModelStore:
    store: ModelStore = request.app.state.store
    return store


async def _served(request: Request, use_case: str) -> Served:
    """The bundle that answers this request, taken once.

    Raises
    ------
    Refusal : 404 unknown use case, 503 known but nothing could be loaded for it yet.
    """
    store = _store(request)
    seat = store.seats.get(use_case)
    if seat is None:
        if store.ledger_error:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "the ledger cannot be read yet", headers={"Retry-After": "2"})
        there_are = ", ".join(sorted(store.seats)) or "none: nothing was promoted yet"
        raise Refusal(HTTPStatus.NOT_FOUND, f"there is no use case {cut(use_case)!a} with a champion; there are: {there_are}")
    served = seat.served
    if served is None:
        told = seat.last_error or f"version {seat.head.version} is being loaded"
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"{use_case}: {told}", headers={"Retry-After": "2"})
    return served


Bundle = Annotated[Served, Depends(_served)]


# answers


@v1.get("/use-cases", response_model=UseCases)
async def list_use_cases(request: Request) -> UseCases:
    """Every use case that has a champion."""
    return UseCases(use_cases=[_summary(seat) for _, seat in sorted(_store(request).seats.items())])


@v1.get("/{use_case}/model", response_model=ModelInService)
async def show_model(served: Bundle) -> ModelInService:
    """The model that answers now, and by whose word."""
    entry, terms = served.entry, served.terms
    return ModelInService(
        use_case=entry.use_case,
        task=terms.task,
        version=entry.version,
        kind=served.model.kind,
        k=terms.k,
        exclude_seen=terms.exclude_seen,
        row_columns=list(terms.row_columns),
        manifest_digest=entry.manifest_digest,
        data_digest=entry.data_digest,
        features_version=served.features_version,
        since=entry.at,
        by=entry.actor,
        reason=entry.reason,
        action=entry.action.value,
        sequence=entry.sequence,
    )


@v1.get("/{use_case}/recommendations/{user_id:path}", response_model=OneUser)
async def recommend_to_one(request: Request, served: Bundle, user_id: Id, k: Annotated[K | None, Query()] = None) -> Response:
    """The top k items for one user. Somebody unknown gets what is popular, and `path` says so."""
    _refuse_tabular(served)
    wanted = k or served.terms.k
    given = await _answer(request, served, 1, lambda asked: answers.recommend(served, [user_id], wanted, asked))
    return _json(OneUser(**_provenance(served), **dict(given[0])))


@v1.post("/{use_case}/recommendations", response_model=ManyUsers)
async def recommend_to_many(request: Request, served: Bundle, body: RecommendationsRequest) -> Response:
    """The top k items for each of up to 1000 users, all by the same model."""
    _refuse_tabular(served)
    wanted = body.k or served.terms.k
    if len(body.users) * wanted > MOST_ANSWERS:
        raise Refusal(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"users times k may be {MOST_ANSWERS}; got {len(body.users)} x {wanted}. Send fewer users at a time",
        )
    given = await _answer(request, served, len(body.users), lambda asked: answers.recommend(served, body.users, wanted, asked))
    return _json(ManyUsers(**_provenance(served), recommendations=given))


@v1.post("/{use_case}/predictions", response_model=Predictions)
async def predict(request: Request, served: Bundle, body: PredictionsRequest) -> Response:
    """A probability for each row (classification), or a rating for each pair (rating)."""
    task, name = served.terms.task, served.entry.use_case
    if task is TaskKind.CLASSIFICATION:
        rows = body.rows
        if rows is None:
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"{name} classifies rows: send 'rows', not 'pairs'")
        by_row = await _answer(
            request, served, len(rows), lambda asked: answers.predict_rows(served, rows, body.row_ids, asked)
        )
        return _json(Predictions(**_provenance(served), predictions=by_row))
    if task is TaskKind.RATING:
        pairs = body.pairs
        if pairs is None:
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"{name} rates pairs: send 'pairs', not 'rows'")
        by_pair = await _answer(request, served, len(pairs), lambda asked: answers.predict_pairs(served, pairs, asked))
        return _json(Predictions(**_provenance(served), predictions=by_pair))
    raise Refusal(HTTPStatus.CONFLICT, f"{name} recommends ({task.value}): ask /v1/{name}/recommendations")


async def _answer(request: Request, served: Served, subjects: int, make: Callable[[Asked], list[Subject]]) -> list[Subject]:
    """Make the answers and log them. Only what is in the log is given: an answer that cannot be traced is withheld."""
    started = time.perf_counter()
    asked = Asked(datetime.now(UTC), [str(uuid.uuid4()) for _ in range(subjects)])
    log: PredictionLog = request.app.state.log
    metrics: ServingMetrics = request.app.state.metrics
    by = (served.entry.use_case, str(served.entry.version))

    def work() -> list[Subject]:
        try:
            made = make(asked)
        except Refusal:
            raise  # the request's fault, not the version's
        except Exception:
            metrics.answers.labels(*by, "failed").inc()
            raise
        latency = (time.perf_counter() - started) * 1000
        try:
            log.append(answers.logged(served, made, asked.at, round(latency, 3)))
        except OSError as error:
            metrics.log_failures.inc()
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"the answer is withheld, because the prediction log cannot be written ({error.strerror}): "
                "free the disk or correct the folder's rights",
            ) from error
        return made

    made = work() if subjects <= MANY else await run_in_threadpool(work)
    metrics.answers.labels(*by, "answered").inc()
    metrics.answer_seconds.labels(*by).observe(time.perf_counter() - started)
    for score in answers.best_scores(made):
        metrics.scores.labels(*by).observe(score)
    for path, count in answers.paths(made).items():
        metrics.predictions.labels(served.entry.use_case, path).inc(count)
    return made


def _refuse_tabular(served: Served) -> None:
    if served.terms.task.is_tabular:
        name = served.entry.use_case
        raise Refusal(HTTPStatus.CONFLICT, f"{name} classifies rows and has no items to recommend: ask /v1/{name}/predictions")


def _provenance(served: Served) -> dict[str, Any]:
    return {
        "use_case": served.entry.use_case,
        "model_version": served.entry.version,
        "manifest_digest": served.entry.manifest_digest,
        "features_version": served.features_version,
    }


def _json(answer: OneUser | ManyUsers | Predictions) -> Response:
    """Serialised once, by pydantic: returning the model would have FastAPI validate it a second time."""
    return Response(answer.model_dump_json(), media_type="application/json")


# operations


@ops.get("/healthz")
async def tell_health() -> dict[str, str]:
    """The process is alive."""
    return {"status": "alive"}


@ops.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness}})
async def tell_readiness(request: Request, response: Response) -> Readiness:
    """200 when something answers for every use case, else 503; what is wrong is told in both."""
    store = _store(request)
    seats = {name: _readiness(seat) for name, seat in sorted(store.seats.items())}
    waiting = [name for name, seat in seats.items() if not seat.ready]
    behind = [name for name, seat in seats.items() if seat.ready and not seat.current]
    if store.ledger_error:
        reason = f"the ledger cannot be read: {store.ledger_error}"
    elif not seats:
        reason = "no use case has a champion yet"
    elif waiting:
        reason = f"not loaded yet: {', '.join(waiting)}"
    else:
        reason = f"answering with an older bundle: {', '.join(behind)}" if behind else ""
    ready = bool(seats) and not waiting
    response.status_code = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
    return Readiness(ready=ready, reason=reason, use_cases=seats)


@ops.get("/metrics", response_class=Response)
async def tell_metrics(request: Request) -> Response:
    """For Prometheus."""
    metrics: ServingMetrics = request.app.state.metrics
    return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)


@ops.get("/", response_class=HTMLResponse, include_in_schema=False)
async def show_page(request: Request) -> HTMLResponse:
    """A table of what is in service, for people."""
    return HTMLResponse(render_page([seat for _, seat in sorted(_store(request).seats.items())]))


def _summary(seat: Seat) -> UseCaseSummary:
    served = seat.served
    return UseCaseSummary(
        use_case=seat.use_case,
        ready=served is not None,
        task=served.terms.task if served else None,
        version=served.entry.version if served else None,
        address=f"/v1/{seat.use_case}/model",
    )


def _readiness(seat: Seat) -> SeatReadiness:
    served = seat.served
    return SeatReadiness(
        ready=served is not None,
        current=seat.is_current,
        version=served.entry.version if served else None,
        champion_version=seat.head.version,
        sequence=seat.head.sequence,
        features_version=served.features_version if served else None,
        alias=seat.alias,
        last_error=seat.last_error,
    )


routers: Sequence[APIRouter] = (ops, v1)

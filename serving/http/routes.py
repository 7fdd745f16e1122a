"""The cold addresses of the endpoint, by FastAPI. The hot ones: `serving.http.fast_routes`."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse
from prometheus_client import CONTENT_TYPE_LATEST

from serving.deployment.store import Deployment, ModelStore, Served
from serving.http.schemas import ModelInService, Problem, Readiness, SeatReadiness, UseCases, UseCaseSummary
from serving.http.status_page import render_page
from serving.http.training_routes import training
from serving.telemetry.prediction_writer import Recorder
from serving.telemetry.workers import WorkerMetrics

ops = APIRouter(tags=["operations"])
v1 = APIRouter(
    prefix="/v1",
    tags=["in service"],
    responses={status: {"model": Problem, "content": {"application/problem+json": {}}} for status in (404, 503)},
)


def _store(request: Request) -> ModelStore:
    store: ModelStore = request.app.state.store
    return store


async def _served(request: Request, use_case: str) -> Served:
    """The bundle that is in service, taken once."""
    store = _store(request)
    seat = store.seats.get(use_case)
    if seat is None or seat.served is None:
        raise store.refusal(use_case)
    return seat.served


Bundle = Annotated[Served, Depends(_served)]


# what is in service


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
        text_columns=list(terms.text_columns),
        manifest_digest=entry.manifest_digest,
        data_digest=entry.data_digest,
        features_version=served.features_version,
        since=entry.at,
        by=entry.actor,
        reason=entry.reason,
        action=entry.action.value,
        sequence=entry.sequence,
    )


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
    recorder: Recorder = request.app.state.recorder
    return Readiness(ready=ready, reason=reason, log=recorder.trouble, use_cases=seats)


@ops.get("/metrics", response_class=Response)
async def tell_metrics(request: Request) -> Response:
    """For Prometheus."""
    siblings: WorkerMetrics = request.app.state.siblings
    return Response(siblings.tell(), media_type=CONTENT_TYPE_LATEST)


@ops.get("/", response_class=HTMLResponse, include_in_schema=False)
async def show_page(request: Request) -> HTMLResponse:
    """A table of what is in service, for people."""
    return HTMLResponse(render_page([seat for _, seat in sorted(_store(request).seats.items())]))


def _summary(seat: Deployment) -> UseCaseSummary:
    served = seat.served
    return UseCaseSummary(
        use_case=seat.use_case,
        ready=served is not None,
        task=served.terms.task if served else None,
        version=served.entry.version if served else None,
        address=f"/v1/{seat.use_case}/model",
    )


def _readiness(seat: Deployment) -> SeatReadiness:
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


routers: Sequence[APIRouter] = (ops, v1, training)

"""The other routes of the endpoint, in FastAPI. The frequently called ones are in `serving.http.fast_routes`."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse
from prometheus_client import CONTENT_TYPE_LATEST

from serving.deployment.bundle import Bundle, Deployment, DeploymentSource
from serving.http.bundles import find_bundle
from serving.http.problems import Refusal
from serving.http.schemas import DeploymentReadiness, ModelInService, Problem, Readiness, UseCases, UseCaseSummary
from serving.http.status_page import render_page
from serving.http.training_routes import training
from serving.telemetry.prediction_writer import PredictionWriter
from serving.telemetry.workers import WorkerMetrics

ops = APIRouter(tags=["operations"])
v1 = APIRouter(
    prefix="/v1",
    tags=["in service"],
    responses={status: {"model": Problem, "content": {"application/problem+json": {}}} for status in (404, 503)},
)


def _source(request: Request) -> DeploymentSource:
    source: DeploymentSource = request.app.state.source
    return source


async def _bundle(request: Request, use_case: str) -> Bundle:
    return find_bundle(_source(request), use_case)


InService = Annotated[Bundle, Depends(_bundle)]


# what is in service


@v1.get("/use-cases", response_model=UseCases)
async def list_use_cases(request: Request) -> UseCases:
    """Every use case that has a champion."""
    return UseCases(use_cases=[_summarize(one) for _, one in sorted(_source(request).deployments.items())])


@v1.get("/{use_case}/model", response_model=ModelInService)
async def show_model(bundle: InService) -> ModelInService:
    """The model in service, and the ledger entry that promoted it."""
    entry, terms = bundle.entry, bundle.terms
    if entry is None:
        raise Refusal(HTTPStatus.NOT_FOUND, f"{bundle.label} is served without a promotion and has no ledger entry")
    return ModelInService(
        use_case=entry.use_case,
        task=terms.task,
        version=entry.version,
        kind=bundle.model.kind,
        k=terms.k,
        exclude_seen=terms.exclude_seen,
        probability_of=terms.probability_of if terms.task.has_probabilities and not terms.task.answers_rows else None,
        relevant_from=terms.relevant_from if terms.task.rates_pairs else None,
        class_threshold=bundle.model.class_threshold if terms.task.answers_rows else None,
        row_columns=list(terms.row_columns),
        text_columns=list(terms.text_columns),
        manifest_digest=entry.manifest_digest,
        data_digest=entry.data_digest,
        features_version=bundle.features_version,
        since=entry.at,
        by=entry.actor,
        reason=entry.reason,
        action=entry.action.value,
        sequence=entry.sequence,
    )


# operations


@ops.get("/healthz")
async def check_health() -> dict[str, str]:
    """The process is alive."""
    return {"status": "alive"}


@ops.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness}})
async def check_readiness(request: Request, response: Response) -> Readiness:
    """200 if every use case has a model in service, else 503. Both report what is wrong."""
    source = _source(request)
    use_cases = {name: _readiness(one) for name, one in sorted(source.deployments.items())}
    waiting = [name for name, one in use_cases.items() if not one.ready]
    behind = [name for name, one in use_cases.items() if one.ready and not one.current]
    if source.ledger_error:
        reason = f"the ledger cannot be read: {source.ledger_error}"
    elif not use_cases:
        reason = "no use case has a champion yet"
    elif waiting:
        reason = f"not loaded yet: {', '.join(waiting)}"
    else:
        reason = f"answering with an older bundle: {', '.join(behind)}" if behind else ""
    ready = bool(use_cases) and not waiting
    response.status_code = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
    writer: PredictionWriter = request.app.state.writer
    return Readiness(ready=ready, reason=reason, log=writer.last_error, use_cases=use_cases)


@ops.get("/metrics", response_class=Response)
async def export_metrics(request: Request) -> Response:
    """The metrics of all workers, for Prometheus."""
    workers: WorkerMetrics = request.app.state.workers
    return Response(workers.render(), media_type=CONTENT_TYPE_LATEST)


@ops.get("/", response_class=HTMLResponse, include_in_schema=False)
async def show_page(request: Request) -> HTMLResponse:
    """An HTML table of what is in service."""
    return HTMLResponse(render_page([one for _, one in sorted(_source(request).deployments.items())]))


def _summarize(deployment: Deployment) -> UseCaseSummary:
    bundle = deployment.bundle
    return UseCaseSummary(
        use_case=deployment.use_case,
        ready=bundle is not None,
        task=bundle.terms.task if bundle else None,
        version=bundle.version if bundle else None,
        address=f"/v1/{deployment.use_case}/model",
    )


def _readiness(deployment: Deployment) -> DeploymentReadiness:
    bundle, head = deployment.bundle, deployment.head
    return DeploymentReadiness(
        ready=bundle is not None,
        current=deployment.is_current,
        version=bundle.version if bundle else None,
        champion_version=head.version if head else None,
        sequence=head.sequence if head else None,
        features_version=bundle.features_version if bundle else None,
        alias=deployment.alias,
        last_error=deployment.last_error,
    )


routers: Sequence[APIRouter] = (ops, v1, training)

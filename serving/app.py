"""The app factory: `python -m uvicorn --factory serving.app:create_app --http serving.http.protocol:TimeoutProtocol ...`."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache

from fastapi import FastAPI

from serving.deployment.api_keys import Keyring
from serving.deployment.bundle import DeploymentSource
from serving.deployment.store import ModelStore
from serving.http.fast_routes import FastRoutes
from serving.http.gateway import Gateway
from serving.http.openapi import describe
from serving.http.problems import add_problem_handlers
from serving.http.routes import routers
from serving.ranking.recent_events import RecentEvents
from serving.telemetry.metrics import ServingMetrics
from serving.telemetry.prediction_writer import PredictionWriter
from serving.telemetry.workers import WorkerMetrics
from tasks.io.events import EventStore
from tasks.io.prediction_log import PredictionLog
from tasks.models.base import ServedModel
from tasks.settings import Settings, get_settings

DESCRIPTION = """Serves the champion of every use case and follows the ledger: a promotion or rollback is put into service
without dropping a request. Every answer names its model, its features and its path, and is in the prediction log a moment
later."""

# Background threads give up the interpreter lock after this time; with Python's default of 5 ms the p99 would be 5 ms.
SWITCH_SECONDS = 0.0005


def create_app(
    settings: Settings | None = None,
    kinds: Mapping[str, type[ServedModel]] | None = None,
    source: DeploymentSource | None = None,
) -> FastAPI:
    """The endpoint as an ASGI app. It follows the ledger from startup to shutdown.

    Parameters
    ----------
    settings : default: those of the environment.
    kinds : model classes that may be loaded, by kind; default: all.
    source : where deployments come from; default: a `ModelStore` that follows the ledger.
    """
    settings = settings or get_settings()
    metrics = ServingMetrics()
    keys = Keyring(settings.ledger_url, required=settings.endpoint_keys == "required")
    deployments = source or ModelStore(settings, metrics, keys, kinds)
    writer = PredictionWriter(PredictionLog(settings.predictions_root), metrics, settings.predictions_keep_days)

    @cache
    def events() -> EventStore:  # opened on first use, so that the app starts without the events database
        return EventStore(settings.events_url)

    recent = RecentEvents(events)
    fast = FastRoutes(
        deployments,
        writer,
        metrics,
        events=events,
        recent=recent,
        explore_share=settings.endpoint_explore_share,
        shuffle_share=settings.endpoint_shuffle_share,
    )
    workers = WorkerMetrics(settings.home / "endpoint" / "workers", metrics.registry)
    services = (deployments, writer, recent, workers)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        sys.setswitchinterval(SWITCH_SECONDS)
        for service in services:
            service.start()
        try:
            yield
        finally:
            for service in services:
                service.stop()

    app = FastAPI(title="Titleholder", description=DESCRIPTION, version="1", lifespan=lifespan, redoc_url=None)
    app.state.source, app.state.metrics, app.state.writer, app.state.recent = deployments, metrics, writer, recent
    app.state.settings, app.state.workers = settings, workers
    add_problem_handlers(app)
    for router in routers:
        app.include_router(router)
    describe(app, fast.routes)
    app.add_middleware(Gateway, routes=fast, keys=keys, metrics=metrics, rate=settings.endpoint_rate)
    return app

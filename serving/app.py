"""The app factory: `python -m uvicorn --factory serving.app:create_app --http serving.http.protocol:TimeoutProtocol ...`."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache

from fastapi import FastAPI

from serving.deployment.api_keys import Keyring
from serving.deployment.store import ModelStore
from serving.http.fast_routes import HotRoutes
from serving.http.gateway import Gateway
from serving.http.openapi import describe
from serving.http.problems import add_problem_handlers
from serving.http.routes import routers
from serving.ranking.recent_events import RecentEvents
from serving.telemetry.metrics import ServingMetrics
from serving.telemetry.prediction_writer import Recorder
from serving.telemetry.workers import WorkerMetrics
from tasks.io.events import EventStore
from tasks.io.prediction_log import PredictionLog
from tasks.models.base import ServedModel
from tasks.settings import Settings, get_settings

DESCRIPTION = """Answers for every use case that has a champion, and follows the ledger: a promotion or rollback is taken into
service without dropping a request. Every answer names the model and the features that made it, and which way made it, and is
in the prediction log a moment later."""

SWITCH_SECONDS = 0.0005  # threads that load models or write the log give way so soon; Python's own 5 ms would be a p99 of 5 ms


def create_app(
    settings: Settings | None = None, kinds: Mapping[str, type[ServedModel]] | None = None, store: ModelStore | None = None
) -> FastAPI:
    """The endpoint as an ASGI app. It follows the ledger from its start to its end.

    Parameters
    ----------
    settings : default: those of the environment.
    kinds : model kinds that may be loaded; default: the shelf's.
    store : what answers; default: one that follows the ledger.
    """
    settings = settings or get_settings()
    metrics = ServingMetrics()
    keys = Keyring(settings.ledger_url, metrics, required=settings.endpoint_keys == "required")
    models = store or ModelStore(settings, metrics, keys, kinds)
    recorder = Recorder(PredictionLog(settings.predictions_root), metrics, settings.predictions_keep_days)

    @cache
    def events() -> EventStore:  # opened when it is first needed: a database that is away must not keep the app from starting
        return EventStore(settings.events_url)

    recent = RecentEvents(events)
    hot = HotRoutes(models, recorder, metrics, events, recent, settings.endpoint_explore_share)
    siblings = WorkerMetrics(settings.home / "endpoint" / "workers", metrics.registry)
    running = (models, recorder, recent, siblings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        sys.setswitchinterval(SWITCH_SECONDS)
        for part in running:
            part.start()
        try:
            yield
        finally:
            for part in running:
                part.stop()

    app = FastAPI(title="Titleholder", description=DESCRIPTION, version="1", lifespan=lifespan, redoc_url=None)
    app.state.store, app.state.metrics, app.state.recorder, app.state.recent = models, metrics, recorder, recent
    app.state.settings, app.state.siblings = settings, siblings
    add_problem_handlers(app)
    for router in routers:
        app.include_router(router)
    describe(app, hot.routes)
    app.add_middleware(Gateway, hot=hot, keys=keys, metrics=metrics, rate=settings.endpoint_rate)
    return app

"""The app factory: `python -m uvicorn --factory serving.app:create_app --host 127.0.0.1 --port 8000`.

One worker: every process would hold a copy of the models and swap at its own moment.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from fastapi import FastAPI

from serving.metrics import ServingMetrics
from serving.middleware import CountRequests, LimitBody
from serving.problems import add_problem_handlers
from serving.routes import routers
from serving.store import ModelStore
from tasks.models.base import ServedModel
from tasks.prediction_log import PredictionLog
from tasks.settings import Settings, get_settings

DESCRIPTION = """Answers for every use case that has a champion, and follows the ledger: a promotion or rollback is taken into
service without dropping a request. Every answer names the model and the features that made it, and is in the prediction log
before it is given."""


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
    models = store or ModelStore(settings, metrics, kinds)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        models.start()
        try:
            yield
        finally:
            models.stop()

    app = FastAPI(title="Titleholder", description=DESCRIPTION, version="1", lifespan=lifespan)
    app.state.store, app.state.metrics, app.state.log = models, metrics, PredictionLog(settings.predictions_root)
    add_problem_handlers(app)
    for router in routers:
        app.include_router(router)
    app.add_middleware(LimitBody)
    app.add_middleware(CountRequests, metrics=metrics)  # added last, so outermost: it counts refused bodies too
    return app

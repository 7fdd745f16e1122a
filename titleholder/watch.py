"""The watch: a program beside the pipeline with metrics for Prometheus, a monitoring page, and a webhook for alerts.

Alertmanager posts to `/alerts` with a token. An alert with the label `action: retrain` starts the monitoring DAG of its use
case, which decides about a retraining. Every other alert becomes a notification. A repeated alert has no further effect: its
labels and start time give the id of the run in Airflow, which accepts an id once, and the key of the decision.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, Field, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from tasks import clock
from tasks.errors import ServiceUnavailable
from tasks.io.airflow import AirflowApi
from tasks.io.decisions import DecisionLog
from tasks.io.ledger import Ledger
from tasks.io.notifications import Level, notify
from tasks.settings import Settings, get_settings
from tasks.use_case import list_use_cases
from titleholder.prometheus_metrics import collect, render_history
from titleholder.watch_page import render_page

_log = logging.getLogger(__name__)
MAX_BYTES = 1_000_000  # of one webhook; Alertmanager's are a few thousand


class Alert(BaseModel):
    """One alert as Alertmanager sends it. Fields that are not used here are ignored."""

    status: str = Field(pattern="^(firing|resolved)$")
    labels: dict[str, str]
    annotations: dict[str, str] = Field({})
    startsAt: datetime
    fingerprint: str = Field("", max_length=100)

    @property
    def key(self) -> str:
        """A digest of labels and start time: the same for every repetition of an alert, whatever it is grouped with."""
        identity = json.dumps([sorted(self.labels.items()), self.startsAt.astimezone(UTC).isoformat()])
        return hashlib.sha256(identity.encode()).hexdigest()[:32]

    @property
    def name(self) -> str:
        """The name of the alerting rule."""
        return self.labels.get("alertname", "alert")

    @property
    def text(self) -> str:
        """The summary or description of the alert; its name if it has none."""
        return self.annotations.get("summary") or self.annotations.get("description") or self.name


class Webhook(BaseModel):
    """Alertmanager's message, version 4."""

    alerts: tuple[Alert, ...] = Field(max_length=1000)


Trigger = Callable[[str, str, dict[str, Any]], bool]


def create_app(settings: Settings | None = None, trigger: Trigger | None = None) -> Starlette:
    """The application.

    Parameters
    ----------
    trigger : (use case, run id, conf) -> whether a run of the monitoring DAG was started; default: Airflow's REST API.
    """
    settings = settings or get_settings()
    ledger, log = Ledger(settings.ledger_url), DecisionLog(settings.ledger_url)
    airflow = AirflowApi(settings)
    start = trigger or (lambda name, run, conf: airflow.trigger_once(f"{name}.monitoring", run, conf))

    async def metrics(_request: Request) -> Response:
        return Response(
            await run_in_threadpool(collect, ledger, log, airflow), media_type="text/plain; version=0.0.4; charset=utf-8"
        )

    async def page(_request: Request) -> Response:
        return HTMLResponse(await run_in_threadpool(render_page, ledger, log))

    async def history(request: Request) -> Response:
        name = request.path_params["use_case"]
        if name not in list_use_cases():
            return JSONResponse({"title": f"no use case {name!r}"}, status_code=404)
        return Response(await run_in_threadpool(render_history, log, name), media_type="image/svg+xml")

    async def health(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def alerts(request: Request) -> Response:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not settings.webhook_token or not hmac.compare_digest(given.encode(), settings.webhook_token.encode()):
            return JSONResponse({"title": "missing or unknown bearer token"}, status_code=401)
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BYTES:
                return JSONResponse({"title": f"expected a webhook of at most {MAX_BYTES} bytes"}, status_code=413)
        try:
            webhook = Webhook.model_validate_json(body)
        except ValidationError as error:
            return JSONResponse(
                {"title": "expected a webhook of Alertmanager, version 4", "faults": error.error_count()}, status_code=422
            )
        try:
            done = await run_in_threadpool(_handle_all, webhook, log, start)
        except ServiceUnavailable as error:  # Alertmanager tries again
            return JSONResponse({"title": str(error)}, status_code=503)
        return JSONResponse(done)

    return Starlette(
        routes=[
            Route("/", page),
            Route("/metrics", metrics),
            Route("/healthz", health),
            Route("/history/{use_case}.svg", history),
            Route("/alerts", alerts, methods=["POST"]),
        ]
    )


def _handle_all(webhook: Webhook, log: DecisionLog, trigger: Trigger) -> dict[str, int]:
    """Handle each alert of a webhook; how many triggered a run, were notified, were known, and were resolved.

    People are reminded of an alert once a day as long as Alertmanager repeats it.

    Raises
    ------
    ServiceUnavailable : nobody could be reached, or Airflow could not. Alertmanager sends the webhook again.
    """
    unreached = []
    done = {"triggered": 0, "notified": 0, "known": 0, "resolved": 0}
    for alert in webhook.alerts:
        if alert.status == "resolved":
            done["resolved"] += 1
            continue
        name = alert.labels.get("use_case", "")
        if alert.labels.get("action") == "retrain" and name in list_use_cases():
            done["triggered" if _trigger_monitoring(alert, name, trigger) else "known"] += 1
            continue
        key = f"{alert.key}.{clock.now():%Y-%m-%d}"
        if log.knows_alert(key):
            done["known"] += 1
            continue
        level = Level.FAILURE if alert.labels.get("severity") == "page" else Level.WARNING
        if notify(f"{alert.name} {name}".strip(), alert.text, level=level) or not get_settings().notify_urls:
            log.add_alert(key)
            done["notified"] += 1
        else:
            unreached.append(alert.name)
    if unreached:
        raise ServiceUnavailable(f"nobody was reached about {', '.join(unreached)}; check TITLEHOLDER_NOTIFY_URLS")
    return done


def _trigger_monitoring(alert: Alert, name: str, trigger: Trigger) -> bool:
    """Start the monitoring DAG for an alert; False if the alert started one before."""
    conf = {"asked_by": f"alert {alert.name}"[:200], "cause": "alert", "reason": alert.text[:1000], "key": alert.key}
    started = trigger(name, f"alert__{alert.key}", conf)
    if started:
        notify(
            f"{alert.name} {name}", f"monitoring was triggered to decide about a retraining: {alert.text}", level=Level.WARNING
        )
    return started

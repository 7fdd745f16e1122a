"""The metrics of the pipeline and of the models for Prometheus, from our database and from Airflow."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from tasks import clock
from tasks.contracts.calendar import UTC_ZONE, start_of_day
from tasks.contracts.monitoring import Cause
from tasks.errors import ConfigurationError, ServiceUnavailable
from tasks.io.airflow import FINAL, AirflowApi
from tasks.io.decisions import DecisionLog
from tasks.io.ledger import Ledger
from tasks.use_case import list_use_cases, load_use_case


def collect(ledger: Ledger, log: DecisionLog, airflow: AirflowApi, *, now: datetime | None = None) -> bytes:
    """All metrics in the text format of Prometheus."""
    moment, registry = now or clock.now(), CollectorRegistry()
    _add_models(ledger, log, moment, registry)
    _add_pipeline(airflow, registry)
    return generate_latest(registry)


def _zone_of(use_case: str) -> ZoneInfo:
    """The time zone of a use case; UTC while its file is broken, so that the metrics of the others stay."""
    try:
        return load_use_case(use_case).zone
    except ConfigurationError:
        return UTC_ZONE


def _add_models(ledger: Ledger, log: DecisionLog, now: datetime, registry: CollectorRegistry) -> None:
    def gauge(name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"titleholder_{name}", text, ["use_case", *labels], registry=registry)

    columns = ("check", "column", "method", "signal")
    value = gauge("check_value", "Value of a check in the newest window", *columns)
    threshold = gauge("check_threshold", "Violation threshold of a check", *columns)
    violated = gauge("check_violated", "1 if the check is violated in the newest window", *columns)
    figure = gauge("figure", "A measured figure of the newest window", "name")
    age = gauge("newest_window_age_days", "Days since the end of the newest monitored window")
    champion = gauge("champion_age_days", "Days since the promotion of the champion")
    fault = gauge("data_fault", "1 if the newest decision found broken data")
    shift = gauge("label_shift", "1 if the labels of the newest window have shifted")
    decisions = gauge("decisions", "Retrain decisions by cause", "cause")
    waiting = gauge("requests_untaken", "Retrain requests that no training run took")
    for name in list_use_cases():
        reports, past, head = log.reports(name), log.decisions(name), ledger.head(name)
        if head is not None:
            champion.labels(name).set((now - head.at).total_seconds() / 86_400)
        for cause in Cause:
            decisions.labels(name, cause.value).set(sum(one.cause is cause for one in past))
        taken = {one.idempotency_key for one in log.requests(name)}
        waiting.labels(name).set(sum(one.retrain and one.idempotency_key not in taken for one in past))
        if past:
            fault.labels(name).set(past[-1].cause is Cause.FAULT)
            shift.labels(name).set("label_shift" in past[-1].signals)
            end = start_of_day(past[-1].window.end, _zone_of(name))
            age.labels(name).set((now - end).total_seconds() / 86_400)
        for result in reports[-1].checks if reports else ():
            labels = (name, result.check, result.column.partition(" (")[0], result.method, result.signal.value)
            value.labels(*labels).set(result.value)
            threshold.labels(*labels).set(result.threshold)
            violated.labels(*labels).set(result.violated)
        for key, number in (reports[-1].figures if reports else {}).items():
            figure.labels(name, key).set(number)


def _add_pipeline(airflow: AirflowApi, registry: CollectorRegistry) -> None:
    up = Gauge("titleholder_airflow_up", "1 if Airflow answers", registry=registry)
    failed = Gauge("titleholder_dag_failed", "1 if the newest ended run failed", ["dag_id"], registry=registry)
    ended = Gauge(
        "titleholder_dag_success_timestamp_seconds", "End of the newest successful run", ["dag_id"], registry=registry
    )
    running = Gauge(
        "titleholder_dag_running_since_timestamp_seconds", "Start of the running run", ["dag_id"], registry=registry
    )
    try:
        runs: list[dict[str, Any]] = airflow.newest_runs()
    except ServiceUnavailable:
        up.set(0)
        return
    up.set(1)
    ended_dags: set[str] = set()
    successful: set[str] = set()
    for run in runs:  # newest first
        dag, state = run["dag_id"], run["state"]
        if state == "running" and run.get("start_date"):
            running.labels(dag).set(_seconds(run["start_date"]))
        if state in FINAL and dag not in ended_dags:
            ended_dags.add(dag)
            failed.labels(dag).set(state == "failed")
        if state == "success" and run.get("end_date") and dag not in successful:
            successful.add(dag)
            ended.labels(dag).set(_seconds(run["end_date"]))


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def render_history(log: DecisionLog, use_case: str) -> bytes:
    """The measurements of all windows, as one SVG file."""
    from tasks.pages.charts import render_svg
    from tasks.stages.monitoring.plots import plot_history

    reports, decisions = log.reports(use_case), log.decisions(use_case)
    title = f"measurements of {use_case}"
    return render_svg(lambda palette: plot_history(reports, decisions, palette=palette), title, is_file=True).encode()

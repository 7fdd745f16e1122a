"""From an alert to a new champion in service: the real Prometheus, Alertmanager and Airflow, without a person."""

from __future__ import annotations

import json
import shutil
import time
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.alerting import running, tool, wait_for
from tests.e2e.conftest import ALERTED, System
from titleholder import services
from titleholder.demo_data import plan

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2400)]


def history(system: System) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(system.titleholder("history", ALERTED, "--json").stdout)
    return document


def served(system: System) -> int | None:
    answer = httpx.get(f"{system.settings.endpoint_url}/v1/{ALERTED}/model", timeout=10)
    return int(answer.json()["version"]) if answer.status_code == httpx.codes.OK else None


def ingest(system: System, start: date, end: date) -> None:
    """Ingest days, and wait until monitoring has checked them."""
    known = {run["dag_run_id"] for run in system.airflow.runs(f"{ALERTED}.monitoring")}
    run = system.airflow.start(f"{ALERTED}.features", {"window_start": start.isoformat(), "window_end": end.isoformat()})
    assert system.airflow.await_run(f"{ALERTED}.features", run) == "success"
    assert system.airflow.await_new_run(f"{ALERTED}.monitoring", known)["state"] == "success"


def request_as_unknown_users(system: System, count: int) -> None:
    with httpx.Client(base_url=system.settings.endpoint_url, timeout=10) as client:
        for number in range(count):
            answer = client.get(f"/v1/{ALERTED}/recommendations/unknown-{number}").raise_for_status().json()
            assert answer["path"] == "popular"


def fired(alertmanager: str) -> set[str]:
    return {one["labels"]["alertname"] for one in httpx.get(f"{alertmanager}/api/v2/alerts").json()}


def test_an_alert_leads_to_a_new_champion(system: System, tmp_path: Path) -> None:
    for name in ("prometheus", "prometheus-alertmanager"):
        tool(name)
    calendar, source = plan(None), system.home / "sources" / ALERTED
    shutil.copytree(system.home / "sources" / "purchase_propensity", source, dirs_exist_ok=True)
    ingest(system, calendar.history.start, calendar.history.end)
    assert wait_for(lambda: served(system) is not None, 240), system.airflow.runs(f"{ALERTED}.promotion")
    first = served(system)
    ingest(system, calendar.history.end, calendar.later[-1].end)
    assert [one["cause"] for one in history(system)["decisions"]] == ["no_champion", "none"]

    token = services.webhook_token(system.home)
    with running(tmp_path, system.settings.watch_url, system.settings.endpoint_url, token) as (prometheus, alertmanager):
        up = {"query": 'up{job=~"endpoint|watch"} == 1'}
        assert wait_for(lambda: len(httpx.get(f"{prometheus}/api/v1/query", params=up).json()["data"]["result"]) == 2)
        for _ in range(4):  # a rate needs more than one scrape
            request_as_unknown_users(system, 25)
            time.sleep(1.5)
        assert wait_for(lambda: "ColdTraffic" in fired(alertmanager), 60), fired(alertmanager)
        assert wait_for(lambda: served(system) not in (first, None), 400), history(system)["decisions"][-1]

    recorded = history(system)
    entry, decision = recorded["ledger"][-1], recorded["decisions"][-1]
    assert (entry["version"], entry["actor"], entry["previous_version"]) == (served(system), "policy:auto", first)
    assert (decision["cause"], decision["retrain"]) == ("alert", True)
    assert "alert ColdTraffic requests it: " in decision["reason"]
    triggered = [run for run in system.airflow.runs(f"{ALERTED}.monitoring") if run["dag_run_id"].startswith("alert__")]
    assert len(triggered) == 1, "Alertmanager repeats the alert every three seconds; it must trigger one run"
    assert len(system.airflow.runs(f"{ALERTED}.training")) == 2

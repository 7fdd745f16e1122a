"""The shipped rules under promtool, and an alert that passes through the real Prometheus and the real Alertmanager."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
import yaml

from tasks.contracts.base import Window
from tasks.contracts.monitoring import CheckResult, DriftReport, Signal
from tasks.io.decisions import DecisionLog
from tasks.settings import ROOT, get_settings
from tests.alerting import FOLDER, read, running, tool, wait_for
from tests.ports import free_port
from tests.titleholder.airflow_stand_in import CASE, Airflow
from titleholder.watch import create_app

pytestmark = pytest.mark.servers

TOKEN = "a-secret"


def run(*command: str, cwd: Path = FOLDER) -> subprocess.CompletedProcess[str]:
    return subprocess.run([tool(command[0]), *command[1:]], cwd=cwd, capture_output=True, text=True, check=False, timeout=200)


def test_the_shipped_rules_and_settings_are_valid(tmp_path: Path) -> None:
    assert run("promtool", "check", "rules", "rules.yml").returncode == 0
    assert run("amtool", "check-config", "alertmanager.yml").returncode == 0
    config = run("promtool", "check", "config", "--syntax-only", "prometheus.yml")
    assert config.returncode == 0, config.stderr


def test_each_alert_has_a_firing_and_a_silent_case() -> None:
    done = run("promtool", "test", "rules", "rules_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    alerts = {rule["alert"] for group in read("rules.yml")["groups"] for rule in group["rules"]}
    tested = [
        {case["alertname"] for case in test["alert_rule_test"] if bool(case.get("exp_alerts")) is fires}
        for fires in (True, False)
        for test in [{"alert_rule_test": all_cases()}]
    ]
    assert tested == [alerts, alerts], "each alert has a case in which it fires and one in which it does not"


def all_cases() -> list[dict[str, Any]]:
    return [case for test in read("rules_test.yml")["tests"] for case in test["alert_rule_test"]]


def test_the_cases_of_every_rule_fail_if_it_is_inverted(tmp_path: Path) -> None:
    """The broken twin of a rule has the inverted comparison."""
    turns = {"==": "!=", "!=": "==", ">": "<"}
    rules = read("rules.yml")
    for group in rules["groups"]:
        for rule in group["rules"]:
            place = max(rule["expr"].rfind(f"{sign} ") for sign in turns)
            sign = rule["expr"][place:].split(" ")[0]
            rule["expr"] = rule["expr"][:place] + turns[sign] + rule["expr"][place + len(sign) :]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
    shutil.copy(FOLDER / "rules_test.yml", tmp_path)
    done = run("promtool", "test", "rules", "rules_test.yml", cwd=tmp_path)
    failed = set(re.findall(r"alertname: (\w+)", done.stdout + done.stderr))
    assert failed == {rule["alert"] for group in rules["groups"] for rule in group["rules"]}


@contextlib.contextmanager
def serve(app: Any, port: int) -> Iterator[None]:
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(20)


def lose_quality(log: DecisionLog) -> None:
    check = CheckResult(
        check="bound", column="hit_rate", method="at_least", value=0.1, threshold=0.2, violated=True, signal=Signal.QUALITY
    )
    window = Window(start=date(2026, 1, 1), end=date(2026, 1, 8))
    log.record_report(
        DriftReport(
            use_case=CASE,
            window=window,
            reference="",
            current_rows=1,
            reference_rows=1,
            checks=(check,),
            violated=True,
            report_uri="",
            run_id="r",
            evidence="e",
        )
    )


@pytest.mark.parametrize("token", [TOKEN, "another"])
def test_lost_quality_triggers_one_run_through_alertmanager(own_home: Path, tmp_path: Path, token: str) -> None:
    watch = free_port()
    airflow = Airflow()
    threading.Thread(target=airflow.serve_forever, daemon=True).start()
    settings = get_settings().model_copy(update={"airflow_url": airflow.url, "webhook_token": TOKEN})
    lose_quality(DecisionLog(settings.ledger_url))
    unused = f"http://127.0.0.1:{free_port()}"  # no endpoint listens here
    try:
        with (
            serve(create_app(settings), watch),
            running(tmp_path, f"http://127.0.0.1:{watch}", unused, token) as (_, address),
        ):
            if token != TOKEN:
                names = f"{address}/metrics"
                failed = 'alertmanager_notifications_failed_total{integration="webhook"'
                assert wait_for(
                    lambda: any(
                        line.startswith(failed) and not line.endswith(" 0") for line in httpx.get(names).text.splitlines()
                    )
                ), "expected that the watch service refuses Alertmanager's webhook"
                assert airflow.runs == {}
                return
            assert wait_for(lambda: bool(airflow.runs)), (tmp_path / "prometheus.log").read_text()[-2000:]
            fired = {one["labels"]["alertname"] for one in httpx.get(f"{address}/api/v2/alerts").json()}
            assert {"QualityLost", "EndpointDown", "DagFailed"} <= fired
            time.sleep(8)  # Alertmanager repeats the alert
        ((name, started),) = airflow.runs.items()
        assert started["path"] == f"/api/v2/dags/{CASE}.monitoring/dagRuns" and name.startswith("alert__")
        assert started["conf"]["asked_by"] == "alert QualityLost" and started["conf"]["cause"] == "alert"
        assert "the champion got worse" in started["conf"]["reason"]
    finally:
        airflow.shutdown()
        airflow.server_close()


def test_the_dashboard_uses_only_exported_metrics() -> None:
    """The endpoint or the watch service exports every metric of the dashboard and the rules."""
    dashboard = json.loads((ROOT / "docker" / "grafana" / "dashboard.json").read_text())
    used = {
        name
        for panel in dashboard["panels"]
        for t in panel.get("targets", ())
        for name in re.findall(r"titleholder_\w+", t["expr"])
    }
    used |= {name for case in all_rules() for name in re.findall(r"titleholder_\w+", case)}
    source = "".join(
        (ROOT / place).read_text() for place in ("serving/telemetry/metrics.py", "titleholder/prometheus_metrics.py")
    )
    exported = {
        f"titleholder_{name.removeprefix('titleholder_')}" for name in re.findall(r'"((?:titleholder_)?[a-z_]+)"', source)
    }
    assert {name for name in used if re.sub(r"_(total|bucket|count|sum)$", "", name) not in exported} == set()
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"]) >= 12


def all_rules() -> list[str]:
    return [rule["expr"] for group in read("rules.yml")["groups"] for rule in group["rules"]]

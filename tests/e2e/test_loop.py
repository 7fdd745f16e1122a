"""The contents of MLflow, the ledger, the endpoint and the prediction log after the loop has run on the real engines.

The tests do not read through the adapters that wrote these, but through sqlite3, pyarrow and plain HTTP.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import psutil
import pyarrow.parquet as pq
import pytest

from tests.e2e.conftest import CASE, System
from titleholder import services

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2400)]


def ledger_rows(system: System) -> list[dict[str, Any]]:
    with sqlite3.connect(system.home / "titleholder.db") as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute("SELECT * FROM ledger WHERE use_case = ? ORDER BY sequence", (CASE,))]


def mlflow_get(system: System, path: str, **params: Any) -> dict[str, Any]:
    response = httpx.get(f"{system.settings.mlflow_tracking_uri}/api/2.0/mlflow/{path}", params=params, timeout=30)
    response.raise_for_status()
    answer: dict[str, Any] = response.json()
    return answer


def model_versions(system: System) -> dict[int, dict[str, str]]:
    found = mlflow_get(system, "model-versions/search", filter=f"name='{CASE}'")["model_versions"]
    return {int(one["version"]): {tag["key"]: tag["value"] for tag in one.get("tags", [])} for one in found}


def logged(system: System) -> list[dict[str, Any]]:
    """All rows, read without the project's reader. If a journal already has a segment, the segment counts."""
    rows: list[dict[str, Any]] = []
    for path in sorted((system.home / "predictions" / CASE).glob("*/*")):
        if path.suffix == ".parquet":
            rows += pq.ParquetFile(path).read().to_pylist()
        elif path.suffix == ".jsonl" and not path.with_suffix(".parquet").exists():
            rows += [json.loads(line) for line in path.read_text().splitlines()]
    return rows


def snapshot_of_state(system: System) -> dict[str, Any]:
    """Everything that a repeated run must not change."""
    data = system.home / "data" / CASE
    return {
        "ledger": ledger_rows(system),
        "versions": sorted(model_versions(system)),
        "snapshots": sorted(str(path.relative_to(data)) for path in data.glob("*/*/*/manifest.json")),
        "current": {str(path.relative_to(data)): path.read_text() for path in data.glob("*/*/CURRENT")},
        "runs": Counter(
            run["info"]["status"]
            for run in httpx.post(
                f"{system.settings.mlflow_tracking_uri}/api/2.0/mlflow/runs/search",
                json={"experiment_ids": [_experiment(system)], "max_results": 1000},
                timeout=30,
            ).json()["runs"]
        ),
        "batches": {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (system.home / "predictions" / CASE / "batch").glob("*")
        },
    }


def changes(system: System, before: dict[str, Any]) -> dict[str, Any]:
    """The parts of the state that changed, with their values before and after."""
    after = snapshot_of_state(system)
    return {name: (before[name], after[name]) for name in before if before[name] != after[name]}


def _experiment(system: System) -> str:
    return str(mlflow_get(system, "experiments/get-by-name", experiment_name=CASE)["experiment"]["experiment_id"])


def test_the_demo_prints_every_step(system: System) -> None:
    for words in (
        "First champion",
        "Requests to the endpoint",
        "dirty file",
        "simple challenger",
        "Later days",
        "A new challenger",
        "replaces version",
        "Rollback",
    ):
        assert words in system.output
    assert "✗" not in system.output and "not possible" not in system.output


def test_the_ledger_holds_three_changes_of_champion(system: System) -> None:
    rows = ledger_rows(system)
    assert [row["action"] for row in rows] == ["promote", "promote", "rollback"]
    first, second, third = rows
    assert first["previous_version"] is None
    assert (second["previous_version"], third["previous_version"]) == (first["version"], second["version"])
    assert third["version"] == first["version"]
    assert third["actor"] == "demo"
    assert [row["previous_digest"] for row in rows] == ["0" * 64, first["entry_digest"], second["entry_digest"]]


def test_mlflow_has_the_aliases_and_the_refused_version(system: System) -> None:
    rows, versions = ledger_rows(system), model_versions(system)
    found = mlflow_get(system, "registered-models/get", name=CASE)["registered_model"]["aliases"]
    aliases = {one["alias"]: int(one["version"]) for one in found}
    assert aliases["champion"] == rows[-1]["version"]
    assert aliases["previous_champion"] == rows[-2]["version"]
    assert "challenger" not in aliases
    refused = [version for version, tags in versions.items() if tags["passed"] == "false"]
    assert len(refused) == 1
    assert "beats_champion" in versions[refused[0]]["reasons"]
    assert not {row["version"] for row in rows} & set(refused)


def test_every_candidate_run_can_be_reproduced(system: System) -> None:
    body = {"experiment_ids": [_experiment(system)], "max_results": 1000}
    runs = httpx.post(f"{system.settings.mlflow_tracking_uri}/api/2.0/mlflow/runs/search", json=body, timeout=30).json()["runs"]
    assert {run["info"]["status"] for run in runs} == {"FINISHED"}
    names = Counter(run["info"]["run_name"] for run in runs)
    assert names["ials"] == names["propensity_regression"] == 2
    assert names["popularity"] == 3
    for run in runs:
        if run["info"]["run_name"] in {"ials", "popularity", "propensity_regression"}:
            tags = {tag["key"] for tag in run["data"]["tags"]}
            assert {"titleholder.key", "dag_id", "run_id"} <= tags
            assert any(metric["key"].startswith("validation_") for metric in run["data"]["metrics"])
            assert len(run["data"]["params"]) > 3


def test_bad_rows_are_in_quarantine_and_no_row_is_lost(system: System) -> None:
    data = system.home / "data" / CASE
    for raw in (data / "raw").iterdir():
        counts = {}
        for layer in ("raw", "validated", "quarantine"):
            current = data / layer / raw.name / "CURRENT"
            newest = json.loads(current.read_text().splitlines()[-1])["version"] if current.is_file() else None
            folder = current.parent / newest if newest else None
            counts[layer] = sum(pq.read_metadata(file).num_rows for file in folder.glob("rows/*.parquet")) if folder else 0
        assert counts["raw"] == counts["validated"] + counts["quarantine"] > 0
    dirty = sorted((data / "quarantine").glob("2025-12-22..2025-12-23/*/rows"))
    rows = pq.read_table(dirty[-1]).to_pylist()
    assert len(rows) > 10
    assert all(row["broken_rules"] and json.loads(row["as_it_came"]) for row in rows)


def test_drift_was_detected_exactly_when_it_occurred(system: System) -> None:
    with sqlite3.connect(system.home / "titleholder.db") as database:
        query = "SELECT decision FROM retrain_decisions WHERE use_case = ? ORDER BY window_end"
        decisions = [json.loads(row[0]) for row in database.execute(query, (CASE,))]
    assert [one["cause"] for one in decisions] == ["no_champion", "none", "none", "drift"]
    assert [one["retrain"] for one in decisions] == [True, False, False, True]
    trainings = [run for run in system.airflow.runs(f"{CASE}.training") if run["run_type"] == "asset_triggered"]
    assert len(trainings) == 2
    last = system.airflow.runs(f"{CASE}.monitoring")[-1]["dag_run_id"]
    links = system.airflow.get(f"/dags/{CASE}.monitoring/dagRuns/{last}/taskInstances/monitor/links")["extra_links"]
    assert links == {"Drift report": decisions[-1]["report_uri"]}


def test_each_promotion_has_a_bake_period_and_the_rollback_none(system: System) -> None:
    """Both bake periods ended early, because the champion changed, and neither caused a rollback."""
    dag = f"{CASE}.rollback"
    watched = []
    for run in system.airflow.runs(dag):
        if run["run_type"] == "asset_triggered":
            assert system.airflow.await_run(dag, run["dag_run_id"], timeout=180) == "success"
            states = {task["task_id"]: task["state"] for task in system.airflow.tasks(dag, run["dag_run_id"])}
            assert (states["roll_back"], states["withdraw"]) == ("skipped", "skipped")
            watched.append(states["watch"])
    assert watched.count("success") == 2, "the event of the rollback started a run that watched nothing"


def test_an_alias_moved_by_hand_is_detected_and_restored(system: System) -> None:
    rows = ledger_rows(system)
    body = {"name": CASE, "alias": "champion", "version": str(rows[-2]["version"])}
    url = f"{system.settings.mlflow_tracking_uri}/api/2.0/mlflow/registered-models/alias"
    httpx.post(url, json=body, timeout=30).raise_for_status()
    deadline = time.monotonic() + 15
    while "disagrees" not in httpx.get(f"{system.settings.endpoint_url}/readyz", timeout=10).json()["use_cases"][CASE]["alias"]:
        assert time.monotonic() < deadline, "the endpoint compares every ten seconds"
        time.sleep(0.5)
    assert system.titleholder("doctor").returncode == 1
    (found,) = json.loads(system.titleholder("reconcile", CASE, "--json").stdout)
    assert f"the ledger says version {rows[-1]['version']}: restored" in found["found"]
    model = mlflow_get(system, "registered-models/get", name=CASE)["registered_model"]
    named = {one["alias"]: int(one["version"]) for one in model["aliases"]}
    assert named["champion"] == rows[-1]["version"]
    assert "alias_differed" in {tag["key"] for tag in model["tags"]}


def test_the_endpoint_serves_what_the_ledger_says(system: System) -> None:
    head = ledger_rows(system)[-1]
    served = httpx.get(f"{system.settings.endpoint_url}/v1/{CASE}/model", timeout=10).json()
    assert (served["version"], served["manifest_digest"]) == (head["version"], head["manifest_digest"])
    assert httpx.get(f"{system.settings.endpoint_url}/readyz", timeout=10).status_code == 200


def test_every_answer_is_logged_once_and_can_be_explained(system: System) -> None:
    answer = httpx.get(f"{system.settings.endpoint_url}/v1/{CASE}/recommendations/new-user", timeout=10).json()
    time.sleep(2.0)  # the log is written shortly after the answer
    rows = logged(system)
    counts = Counter(row["prediction_id"] for row in rows)
    assert max(counts.values()) == 1
    (row,) = [one for one in rows if one["prediction_id"] == answer["prediction_id"]]
    assert row["subject"] == "new-user"
    assert row["model_version"] == answer["model_version"] == ledger_rows(system)[-1]["version"]
    completed = system.titleholder("explain", CASE, answer["prediction_id"], "--json")
    explained = json.loads(completed.stdout)
    assert explained["approved_by"] == "demo"
    assert explained["manifest_digest"] == ledger_rows(system)[-1]["manifest_digest"]
    assert {row["channel"] for row in rows} == {"online", "batch"}


def test_commands_answer(system: System) -> None:
    status = json.loads(system.titleholder("status", "--json").stdout)
    (mine,) = [row for row in status if row["use_case"] == CASE]
    assert mine["champion"] == mine["endpoint_serves"] == ledger_rows(system)[-1]["version"]
    history = json.loads(system.titleholder("history", CASE, "--json").stdout)
    assert len(history["ledger"]) == 3
    assert history["broken_entries"] == []
    doctor = system.titleholder("doctor")
    assert doctor.returncode == 0, doctor.stdout


def test_running_everything_again_changes_nothing(system: System) -> None:
    before = snapshot_of_state(system)
    airflow = system.airflow
    ran = airflow.runs(f"{CASE}.features")[-1]["conf"]
    training = next(run for run in airflow.runs(f"{CASE}.training") if run["conf"].get("as_of"))
    for dag, conf in ((f"{CASE}.features", ran), (f"{CASE}.training", training["conf"])):
        known = {run["dag_run_id"] for run in airflow.runs(f"{CASE}.monitoring")}
        run = airflow.start(dag, conf)
        assert airflow.await_run(dag, run) == "success"
        if dag.endswith("features"):
            assert airflow.await_new_run(f"{CASE}.monitoring", known)["state"] == "success"
    for dag in ("monitoring", "promotion", "batch_scoring", "training"):
        last = airflow.runs(f"{CASE}.{dag}")[-1]
        cleared = {"dry_run": False, "only_failed": False}
        airflow.post(f"/dags/{CASE}.{dag}/dagRuns/{last['dag_run_id']}/clear", cleared)
        assert airflow.await_run(f"{CASE}.{dag}", last["dag_run_id"]) in {"success", "failed"}
    assert changes(system, before) == {}


def test_killed_programs_restart_and_state_survives(system: System) -> None:
    before = snapshot_of_state(system)
    failures: list[str] = []
    stop = threading.Event()

    def send_requests() -> None:
        while not stop.is_set():
            try:
                httpx.get(f"{system.settings.endpoint_url}/v1/{CASE}/recommendations/x", timeout=10).raise_for_status()
            except httpx.HTTPError as error:
                failures.append(repr(error))
            time.sleep(0.05)

    client = threading.Thread(target=send_requests)
    client.start()
    try:
        for program in ("mlflow", "spark", "airflow:scheduler", "airflow:api-server", "airflow:dag-processor"):
            _kill(system, program)
    finally:
        stop.set()
        client.join()
    assert not failures, f"the endpoint failed while other programs were killed: {failures[:3]}"
    _kill(system, "endpoint")
    deadline = time.monotonic() + 60
    while not all(service.answers() for service in services.services(system.settings)):
        assert time.monotonic() < deadline, services.table(system.settings)
        time.sleep(0.5)
    while httpx.get(f"{system.settings.endpoint_url}/readyz", timeout=10).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert changes(system, before) == {}
    run = system.airflow.start(f"{CASE}.features", system.airflow.runs(f"{CASE}.features")[-1]["conf"])
    assert system.airflow.await_run(f"{CASE}.features", run) == "success"


def _kill(system: System, program: str) -> None:
    pid = next(int(row[2].split()[1].rstrip(",")) for row in services.table(system.settings) if row[0] == program)
    psutil.Process(pid).kill()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        row = next(row for row in services.table(system.settings) if row[0] == program)
        if row[1] == "RUNNING" and int(row[2].split()[1].rstrip(",")) != pid:
            return
        time.sleep(0.5)
    raise AssertionError(f"{program} did not come back: {services.table(system.settings)}")


def test_a_failed_run_states_the_remedy(system: System) -> None:
    """With a file of another format, the run fails, the message names file and remedy, and no partial data is left."""
    before = snapshot_of_state(system)
    bad = system.home / "sources" / CASE / "2026-03-01.csv"
    bad.write_text("InvoiceNo;StockCode;Description\n1;2;3\n")
    run = system.airflow.start(f"{CASE}.features", {"window_start": "2026-03-01", "window_end": "2026-03-02"})
    assert system.airflow.await_run(f"{CASE}.features", run) == "failed"
    states = {task["task_id"]: (task["state"], task["try_number"]) for task in system.airflow.tasks(f"{CASE}.features", run)}
    assert states["ingest"] == ("failed", 1), "an error that a retry cannot fix is not retried"
    assert states["build_features"][0] == "upstream_failed"
    log = system.airflow.log(f"{CASE}.features", run, "ingest")
    assert "2026-03-01.csv" in log
    assert "docs/runbooks" in log
    bad.unlink()
    assert changes(system, before) == {}
    assert not list(Path(system.home / "data").rglob(".staging-*"))

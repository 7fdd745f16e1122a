"""The other shipped use cases in the same running system: one YAML file each, without code."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasks.io import tracking
from tests.archives import unpack
from tests.e2e.conftest import System

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2400)]


def first_version(system: System, case: str, start: str, end: str) -> dict[str, Any]:
    """Ingest one window in a manual run, and return the version that the following runs register."""
    known = {run["dag_run_id"] for run in system.airflow.runs(f"{case}.training")}
    run = system.airflow.start(f"{case}.features", {"window_start": start, "window_end": end})
    assert system.airflow.await_run(f"{case}.features", run) == "success", system.airflow.tasks(f"{case}.features", run)
    trained = system.airflow.await_new_run(f"{case}.training", known)
    assert trained["state"] == "success"
    version: dict[str, Any] = system.airflow.xcom(f"{case}.training", trained["dag_run_id"], "register")
    return version


def await_review(system: System, case: str) -> str:
    """Wait for the run of the promotion DAG whose review is open, and return its id."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for run in system.airflow.runs(f"{case}.promotion"):
            states = {task["task_id"]: task["state"] for task in system.airflow.tasks(f"{case}.promotion", run["dag_run_id"])}
            if states.get("review") == "deferred":
                return str(run["dag_run_id"])
        time.sleep(0.5)
    raise AssertionError(f"no review of {case} was opened: {system.airflow.runs(f'{case}.promotion')}")


def answer_in_airflow(system: System, case: str, run: str, option: str, why: str, who: str) -> None:
    """Send what the buttons of Airflow's Required Actions send."""
    path = f"/dags/{case}.promotion/dagRuns/{run}/taskInstances/review/-1/hitlDetails"
    system.airflow.patch(path, {"chosen_options": [option], "params_input": {"why": why, "who": who}})


def test_movie_rating_on_the_real_files(system: System, real_data: Path, tmp_path: Path) -> None:
    unpack(real_data / "ml-100k.tar.xz", tmp_path)
    folder = system.home / "sources" / "movie_rating"
    shutil.copytree(next(tmp_path.rglob("u.data")).parent, folder, dirs_exist_ok=True)
    version = first_version(system, "movie_rating", "1997-09-20", "1998-04-23")
    # In the last three weeks of these files, 138 viewers, no model is better than the baseline beyond chance.
    assert not version["passed"]
    reasons = tracking.version_tags("movie_rating", version["version"])["reasons"]
    assert reasons.startswith("minimum_metric: rmse") and "inconclusive" in reasons
    assert httpx.get(f"{system.settings.endpoint_url}/v1/movie_rating/model", timeout=10).status_code == 404
    form = {"version": version["version"], "reviewer": "grace", "reason": "not worse than the mean of each film"}
    refused = system.airflow.start("movie_rating.promotion", form)
    assert system.airflow.await_run("movie_rating.promotion", refused) == "failed", "only an override promotes it"
    run = system.airflow.start("movie_rating.promotion", form | {"override": True})
    assert system.airflow.await_run("movie_rating.promotion", run) == "success"
    (entry,) = json.loads(system.titleholder("history", "movie_rating", "--json").stdout)["ledger"]
    assert (entry["version"], entry["actor"], entry["trust"]) == (version["version"], "grace", "on_trust")
    assert entry["reason"] == form["reason"]
    url = f"{system.settings.endpoint_url}/v1/movie_rating"
    answer = httpx.post(f"{url}/predictions", json={"pairs": [{"user_id": "196", "item_id": "242"}]}, timeout=30).json()
    assert 1 <= answer["predictions"][0]["rating"] <= 5
    top = httpx.get(f"{url}/recommendations/196", timeout=30).json()
    assert len(top["items"]) == 10

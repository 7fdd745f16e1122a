"""The other shipped use cases, through the same running system: one YAML each, no code of their own."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import System

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]


def first_version(system: System, case: str, start: str, end: str) -> dict[str, Any]:
    """Ingest one window by hand; what assets start from it ends with a judged version."""
    known = {run["dag_run_id"] for run in system.airflow.runs(f"{case}.training")}
    run = system.airflow.trigger(f"{case}.features", {"window_start": start, "window_end": end})
    assert system.airflow.await_run(f"{case}.features", run) == "success", system.airflow.tasks(f"{case}.features", run)
    trained = system.airflow.await_new_run(f"{case}.training", known)
    assert trained["state"] == "success"
    version: dict[str, Any] = system.airflow.xcom(f"{case}.training", trained["dag_run_id"], "register")
    return version


def approve(system: System, case: str, version: int) -> None:
    """A person says yes, through the form."""
    automatic = system.airflow.await_new_run(f"{case}.promotion", set())
    states = {task["task_id"]: task["state"] for task in system.airflow.tasks(f"{case}.promotion", automatic["dag_run_id"])}
    assert states == {"review": "skipped", "promote": "skipped"}, "silence is no approval"
    assert httpx.get(f"{system.settings.endpoint_url}/v1/{case}/model", timeout=10).status_code == 404
    form = {"version": version, "reviewer": "ada", "reason": "looked at it"}
    run = system.airflow.trigger(f"{case}.promotion", form)
    assert system.airflow.await_run(f"{case}.promotion", run) == "success"


def test_breast_cancer_waits_for_a_person_and_then_answers(system: System) -> None:
    from sklearn.datasets import load_breast_cancer

    version = first_version(system, "breast_cancer", "2026-01-01", "2026-01-02")
    assert version["passed"]
    approve(system, "breast_cancer", version["version"])
    data = load_breast_cancer()
    rows = [dict(zip(data.feature_names.tolist(), map(float, row), strict=True)) for row in data.data]
    url = f"{system.settings.endpoint_url}/v1/breast_cancer"
    answer = httpx.post(f"{url}/predictions", json={"rows": rows}, timeout=30).json()
    said = [one["probability"] > 0.5 for one in answer["predictions"]]
    right = sum(told == (target == 0) for told, target in zip(said, data.target, strict=True)) / len(rows)
    assert right > 0.95
    assert httpx.get(f"{url}/model", timeout=10).json()["by"] == "ada"
    refused = httpx.post(f"{url}/predictions", json={"rows": [{"mean radius": 1.0}]}, timeout=30)
    assert refused.status_code == 422
    assert "missing columns" in refused.text


def test_movie_rating_on_the_real_files(system: System, real_data: Path, tmp_path: Path) -> None:
    with tarfile.open(real_data / "ml-100k.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    folder = system.home / "sources" / "movie_rating"
    shutil.copytree(next(tmp_path.rglob("u.data")).parent, folder, dirs_exist_ok=True)
    version = first_version(system, "movie_rating", "1997-09-20", "1998-04-23")
    assert version["passed"]
    approve(system, "movie_rating", version["version"])
    url = f"{system.settings.endpoint_url}/v1/movie_rating"
    answer = httpx.post(f"{url}/predictions", json={"pairs": [{"user_id": "196", "item_id": "242"}]}, timeout=30).json()
    assert 1 <= answer["predictions"][0]["rating"] <= 5
    top = httpx.get(f"{url}/recommendations/196", timeout=30).json()
    assert len(top["items"]) == 10

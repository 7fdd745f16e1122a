"""Parses dags/ as Airflow does, in a separate process, because Airflow reads its settings once, at import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks.settings import ROOT

PROBE = """
import json, sys, time
import airflow.sdk
from airflow.dag_processing.dagbag import DagBag
began = time.perf_counter()
bag = DagBag(dag_folder=sys.argv[1])
seconds = time.perf_counter() - began
heavy = ("pandas", "pyspark", "mlflow", "great_expectations", "evidently", "sklearn", "scipy", "matplotlib", "torch")
def told(task):
    calls = task.on_failure_callback or []
    return [call.__name__ for call in (calls if isinstance(calls, (list, tuple)) else [calls])]
def form(dag):
    return {name: dag.params.get_param(name).schema for name in dag.params}
print(json.dumps({
    "heavy": [name for name in heavy if name in sys.modules],
    "seconds": seconds,
    "errors": {str(path): text for path, text in bag.import_errors.items()},
    "dags": {dag.dag_id: {
        "tasks": {task.task_id: [task.retries, sorted(task.downstream_task_ids)] for task in dag.tasks},
        "mapped": [task.task_id for task in dag.tasks if task.is_mapped],
        "rules": {task.task_id: getattr(task.trigger_rule, "value", task.trigger_rule) for task in dag.tasks},
        "told": {task.task_id: told(task) for task in dag.tasks},
        "tags": sorted(dag.tags), "doc": dag.doc_md or "", "params": form(dag), "max_active_runs": dag.max_active_runs,
        "timetable": type(dag.timetable).__name__,
        "assets": sorted(asset.name for asset in getattr(getattr(dag.timetable, "asset_condition", None), "objects", [])),
        "outlets": sorted({outlet.name for task in dag.tasks for outlet in task.outlets}),
        "catchup": dag.catchup,
        "links": {task.task_id: [link.name for link in task.operator_extra_links] for task in dag.tasks},
    } for dag in bag.dags.values()},
}))
"""


def parse_dags(home: Path, **environment: str) -> dict[str, Any]:
    """What Airflow finds in dags/, as JSON."""
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "TITLEHOLDER"))},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "false",
        "PYTHONPATH": str(ROOT),
        **environment,
    }
    command = [sys.executable, "-c", PROBE, str(ROOT / "dags")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, cwd=home)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="session")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return parse_dags(tmp_path_factory.mktemp("airflow"))

"""The log of a task holds this project's lines and no chatter of libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.settings import ROOT

MOST_LINES = 15
START = """
import logging, sys
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(name)s | %(message)s")
logging.captureWarnings(True)
"""
VALIDATE = """
from tasks.jobs.features import ingest, validate
from tasks.jobs.run import Run
from tests.tasks.stages.ingestion.conftest import LINE, write_day
from tests.tasks.stages.validation.test_validate import DAY
run = Run.open("purchase_propensity", run_id="run", dag_id="dag")
lines = [LINE.replace("536365", str(536365 + place)) for place in range(60)]
write_day(run.use_case.source_path, "2010-12-01", *lines, ",,x,none,soon,-1,,")
raw = ingest(run, DAY)
validate(run, raw, show_page=lambda page: None)
"""


def log_of(home: Path, script: str) -> list[str]:
    """What a process with Airflow's way of logging writes: the root logger at INFO, Python's warnings, and prints."""
    (home / "in").mkdir(parents=True)
    sources = json.dumps({"purchase_propensity": str(home / "in")})
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TITLEHOLDER_HOME": str(home), "TITLEHOLDER_SOURCE_PATHS": sources}
    environment = {name: value for name, value in environment.items() if not name.startswith(("MLFLOW_", "TQDM_"))}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=home, env=environment, capture_output=True, text=True, check=False, timeout=570
    )
    assert done.returncode == 0, done.stderr[-3000:]
    java = ("WARN", "Setting default log level", "To adjust logging level", "Using Spark's default log4j")
    return done.stdout.splitlines() + [line for line in done.stderr.splitlines() if not any(word in line for word in java)]


@pytest.mark.servers
@pytest.mark.timeout(580)
def test_a_validation_logs_only_lines_of_this_project(store: Path, own_home: Path) -> None:
    lines = log_of(own_home, START + VALIDATE)
    text = "\n".join(lines)
    assert [line for line in lines if not line.startswith("tasks.")] == [], text
    assert len(lines) <= MOST_LINES, text
    for expected in ("61 rows in, 60 validated, 1 to quarantine", "published purchase_propensity/validated/", "MLflow run '"):
        assert expected in text, text


@pytest.mark.servers
def test_the_libraries_would_log_more(own_home: Path) -> None:
    """Only importing them, without the call: what the first test would miss if it captured nothing."""
    lines = log_of(own_home, START + "import great_expectations")
    assert len([line for line in lines if line.startswith("great_expectations")]) > MOST_LINES


@pytest.mark.servers
@pytest.mark.parametrize(("module", "is_shown"), [("tasks.io.storage", True), ("mlflow.models", False)])
def test_python_warnings_are_shown_for_our_modules_only(module: str, is_shown: bool) -> None:
    code = (
        "import warnings; from tasks.io.logs import quiet_libraries; quiet_libraries(); "
        f"warnings.warn_explicit('look here', UserWarning, 'file.py', 1, module={module!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ("look here" in done.stderr) is is_shown

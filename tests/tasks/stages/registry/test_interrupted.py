"""Runs of tasks that were killed and never tried again."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.io import tracking
from tasks.settings import ROOT, get_settings
from tasks.stages.registry import close_interrupted_runs

WRITER = """
import sys, time
from tasks.io import tracking
with tracking.start_run("shop", "als", sys.argv[1], {"dag_id": "shop.training", "run_id": "monday"}) as run:
    print(run.run_id, flush=True)
    time.sleep(300)
"""


def never(_dag_id: str, _run_id: str) -> bool:
    return False


def started(key: str) -> tuple[subprocess.Popen[str], str]:
    """A process that writes a run, and the run."""
    uri = get_settings().mlflow_tracking_uri
    environment = {**os.environ, "TITLEHOLDER_MLFLOW_TRACKING_URI": uri, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", WRITER, key], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def status(run_id: str) -> str:
    return str(tracking.get_client().get_run(run_id).info.status)


@pytest.mark.servers
def test_only_the_run_of_a_killed_process_is_closed(store: Path) -> None:
    now = datetime.now(UTC)
    process, run_id = started("key")
    try:
        assert close_interrupted_runs("shop", now, 24.0, never) == []
        assert status(run_id) == "RUNNING"
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now: its parent has not reaped it
        (line,) = close_interrupted_runs("shop", now, 24.0, never)
    finally:
        process.kill()
        process.wait(10)
    assert run_id in line
    assert line.endswith("closed, the process that wrote it is gone")
    assert status(run_id) == "KILLED"
    assert tracking.get_client().get_run(run_id).data.tags["titleholder.closed"] == "the process that wrote it is gone"
    assert close_interrupted_runs("shop", now, 24.0, never) == []


def test_runs_of_other_hosts_close_by_airflow_state_or_age(store: Path) -> None:
    """Processes of another host are not visible here. A reused pid does not count as the writer."""
    client = tracking.get_client()
    experiment = tracking.get_experiment(client, "shop")

    def run(process: str, **tags: str) -> str:
        return str(client.create_run(experiment, tags={tracking.PROCESS: process, **tags}).info.run_id)

    monday = {"dag_id": "shop.training", "run_id": "monday"}
    over, going = run("elsewhere 1 1", **monday), run("elsewhere 1 1", dag_id="shop.training", run_id="tuesday")
    by_hand, reused = run("elsewhere 1 1"), run(f"{socket.gethostname()} {os.getpid()} 1")
    now = datetime.now(UTC)
    close_interrupted_runs("shop", now, 24.0, lambda dag_id, run_id: (dag_id, run_id) == ("shop.training", "monday"))
    assert [status(one) for one in (over, going, by_hand, reused)] == ["KILLED", "RUNNING", "RUNNING", "KILLED"]
    close_interrupted_runs("shop", now + timedelta(hours=25), 24.0, never)
    assert [status(one) for one in (going, by_hand)] == ["KILLED", "KILLED"]
    assert client.get_run(going).data.tags["titleholder.closed"] == "it was still running after 24 hours"

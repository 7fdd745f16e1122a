"""The whole system, started once on ports of its own: the demo tells its story in it and leaves it up for the tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.settings import ROOT, Settings
from titleholder import services
from titleholder.airflow_api import AirflowApi

CASE = "purchase_propensity"


@dataclass(frozen=True)
class System:
    """A running installation and how its demo ended."""

    settings: Settings
    airflow: AirflowApi
    environment: dict[str, str]
    output: str

    @property
    def home(self) -> Path:
        return self.settings.home

    def titleholder(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The command, as a user would type it."""
        command = [str(Path(sys.executable).parent / "titleholder"), *words]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=120)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    home = tmp_path_factory.mktemp("e2e")
    airflow, mlflow, endpoint, spark = _free_ports(4)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("TITLEHOLDER_", "AIRFLOW"))},
        "TITLEHOLDER_HOME": str(home),
        "TITLEHOLDER_AIRFLOW_URL": f"http://127.0.0.1:{airflow}",
        "TITLEHOLDER_MLFLOW_TRACKING_URI": f"http://127.0.0.1:{mlflow}",
        "TITLEHOLDER_ENDPOINT_URL": f"http://127.0.0.1:{endpoint}",
        "TITLEHOLDER_SPARK_REMOTE": f"sc://127.0.0.1:{spark}",
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    settings = Settings(
        home=home / "demo",
        airflow_url=environment["TITLEHOLDER_AIRFLOW_URL"],
        mlflow_tracking_uri=environment["TITLEHOLDER_MLFLOW_TRACKING_URI"],
        endpoint_url=environment["TITLEHOLDER_ENDPOINT_URL"],
        spark_remote=environment["TITLEHOLDER_SPARK_REMOTE"],
        schedules="off",
    )
    command = [str(Path(sys.executable).parent / "titleholder"), "demo", "--keep"]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=1200, cwd=ROOT)
        assert done.returncode == 0, f"the demo failed:\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
        inside = {**environment, "TITLEHOLDER_HOME": str(home / "demo"), "TITLEHOLDER_SCHEDULES": "off"}
        yield System(settings, AirflowApi(settings), inside, done.stdout)
    finally:
        services.stop(settings, print)
        left = services.processes(settings.home)
        assert not left, f"processes were left behind: {left}"


@pytest.fixture(autouse=True)
def in_the_system(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """The seams of the test process speak to the running installation."""
    from tasks.settings import get_settings

    for name, value in system.environment.items():
        if name.startswith("TITLEHOLDER_"):
            monkeypatch.setenv(name, value)
    get_settings.cache_clear()

"""The whole system, started once on free ports: the demo runs in it and leaves it running for the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tasks.settings import ROOT, Settings
from tests.e2e.airflow_client import AirflowClient
from tests.ports import free_ports
from titleholder import services

CASE = "purchase_propensity"
ALERTED = "alerted_shop"


@dataclass(frozen=True)
class System:
    """A running installation and how its demo ended."""

    settings: Settings
    airflow: AirflowClient
    environment: dict[str, str]
    output: str

    @property
    def home(self) -> Path:
        return self.settings.home

    def titleholder(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the command, as a user types it."""
        command = [str(Path(sys.executable).parent / "titleholder"), *words]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=120)


def _use_cases(folder: Path) -> Path:
    """The shipped files, and a shop without drift checks, in which only an alert can request a retraining."""
    shutil.copytree(ROOT / "conf" / "use_cases", folder)
    shop = yaml.safe_load((folder / f"{CASE}.yaml").read_text())
    shop |= {"name": ALERTED, "schedule": None, "candidates": [{"kind": "popularity"}, {"kind": "propensity_regression"}]}
    shop["drift"]["checks"] = [{"kind": "missing_days"}]
    (folder / f"{ALERTED}.yaml").write_text(yaml.safe_dump(shop))
    return folder


@pytest.fixture(scope="package")  # its services must not compete with the tests that follow
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    home = tmp_path_factory.mktemp("e2e")
    airflow, mlflow, endpoint, spark, watch = free_ports(5)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("TITLEHOLDER_", "AIRFLOW"))},
        "TITLEHOLDER_HOME": str(home),
        "TITLEHOLDER_AIRFLOW_URL": f"http://127.0.0.1:{airflow}",
        "TITLEHOLDER_MLFLOW_TRACKING_URI": f"http://127.0.0.1:{mlflow}",
        "TITLEHOLDER_ENDPOINT_URL": f"http://127.0.0.1:{endpoint}",
        "TITLEHOLDER_SPARK_REMOTE": f"sc://127.0.0.1:{spark}",
        "TITLEHOLDER_WATCH_URL": f"http://127.0.0.1:{watch}",
        "TITLEHOLDER_USE_CASES": str(_use_cases(home / "use_cases")),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    settings = Settings(
        home=home / "demo",
        airflow_url=environment["TITLEHOLDER_AIRFLOW_URL"],
        mlflow_tracking_uri=environment["TITLEHOLDER_MLFLOW_TRACKING_URI"],
        endpoint_url=environment["TITLEHOLDER_ENDPOINT_URL"],
        spark_remote=environment["TITLEHOLDER_SPARK_REMOTE"],
        watch_url=environment["TITLEHOLDER_WATCH_URL"],
        use_cases=Path(environment["TITLEHOLDER_USE_CASES"]),
        schedules="off",
    )
    command = [str(Path(sys.executable).parent / "titleholder"), "demo", "--keep"]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=1800, cwd=ROOT)
        assert done.returncode == 0, f"the demo failed:\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
        inside = {**environment, "TITLEHOLDER_HOME": str(home / "demo"), "TITLEHOLDER_SCHEDULES": "off"}
        yield System(settings, AirflowClient(settings), inside, done.stdout)
    finally:
        services.stop(settings, print)
        left = services.processes(settings.home)
        assert not left, f"processes were left behind: {left}"


@pytest.fixture(autouse=True)
def in_the_system(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point the adapters of the test process to the running installation."""
    from tasks.settings import get_settings

    for name, value in system.environment.items():
        if name.startswith("TITLEHOLDER_"):
            monkeypatch.setenv(name, value)
    get_settings.cache_clear()

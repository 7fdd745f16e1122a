"""The processes of a backtest. Each has settings of its own, so that none of its jobs can reach the installation's state."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.backtest.plan import Plan, policy_folder
from tasks.code_version import get_code_version
from tasks.errors import TitleholderError
from tasks.settings import get_settings
from tasks.use_case import load_use_case

NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing answers there
KEPT = ("SPARK_MASTER", "SPARK_DRIVER_MEMORY")  # settings of the machine that change no result
# Each plan of Spark runs a few times only: optimizing its Java code takes longer than running it.
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC"


class BacktestFailed(TitleholderError):
    """A process of a backtest ended early. What it has done is kept: the same command goes on."""


def environment(folder: Path, plan: Plan, policy: str) -> dict[str, str]:
    """The environment of a policy's process: everything it writes is under the policy's folder."""
    settings, own = get_settings(), policy_folder(folder, policy).resolve()
    home = own / "home"
    foreign = ("TITLEHOLDER_", "AIRFLOW", "MLFLOW_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    kept |= {f"TITLEHOLDER_{name}": value for name in KEPT if (value := os.environ.get(f"TITLEHOLDER_{name}"))}
    sources = {plan.use_case: str(_source(own, plan))} if _source(own, plan) else {}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path if entry),
        "SPARK_SUBMIT_OPTS": kept.get("SPARK_SUBMIT_OPTS", JAVA_OPTIONS),
        "TITLEHOLDER_HOME": str(home),
        "TITLEHOLDER_USE_CASES": str(own / "use_cases"),
        "TITLEHOLDER_EXPECTATIONS": str(settings.expectations.resolve()),
        "TITLEHOLDER_SOURCE_PATHS": json.dumps(sources),
        "TITLEHOLDER_MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow.db'}",
        "TITLEHOLDER_AIRFLOW_URL": NOWHERE,
        "TITLEHOLDER_ENDPOINT_URL": NOWHERE,
        "TITLEHOLDER_WATCH_URL": NOWHERE,
        "TITLEHOLDER_SCHEDULES": "off",
        "TITLEHOLDER_CODE_VERSION": get_code_version(),
    }


def _source(own: Path, plan: Plan) -> Path | None:
    """The raw files: a folder of the policy for a generated world, else the installation's, which is only read."""
    if plan.world:
        return own / "source"
    path = load_use_case(plan.use_case).source_path
    return None if path is None else path.resolve()


def run_process(
    folder: Path,
    plan: Plan,
    policy: str,
    task: Sequence[str],
    *,
    tracking_uri: str = "",
    tell: Callable[[Mapping[str, Any]], None],
) -> None:
    """Run a task of `tasks.backtest.process` for a policy, and hand on each line of JSON that it prints.

    Parameters
    ----------
    task : its name, and its arguments.
    tracking_uri : an MLflow server to write to; empty: a store in the policy's folder.

    Raises
    ------
    BacktestFailed : the process failed.
    """
    variables = environment(folder, plan, policy)
    if tracking_uri:
        variables["TITLEHOLDER_MLFLOW_TRACKING_URI"] = tracking_uri
    home = Path(variables["TITLEHOLDER_HOME"])
    home.mkdir(parents=True, exist_ok=True)
    log = policy_folder(folder, policy) / f"{task[0]}.log"
    command = [sys.executable, "-P", "-m", "tasks.backtest.process", str(folder.resolve()), policy, *task]
    with (
        log.open("ab") as errors,
        subprocess.Popen(command, env=variables, cwd=home, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            for line in process.stdout or ():
                if line.startswith("{"):  # libraries print, too
                    tell(json.loads(line))
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        said = log.read_text(errors="replace").strip().splitlines()[-1:] or ["nothing"]
        raise BacktestFailed(
            f"policy {policy}: the process ended with {process.returncode}: {said[0][:500]}. The whole output is in {log}. "
            "The same command goes on with the window that was interrupted"
        )

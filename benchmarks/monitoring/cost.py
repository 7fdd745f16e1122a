"""The time and memory to monitor one large window. `measure_cost` starts this module as a process, twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import psutil

from benchmarks.monitoring.simulated import COLUMNS, make_week, week
from benchmarks.monitoring.year import CHECK_LIST
from tasks.settings import ROOT
from tasks.stages.monitoring.checks import CHECKS

HEAP = "768m"


def measure_cost(rows: int) -> dict[str, float]:
    """Monitor a window in a process of its own, after another process published it. Memory is that of all its processes."""
    with tempfile.TemporaryDirectory() as home:
        environment = {
            **os.environ,
            "TITLEHOLDER_HOME": home,
            "TITLEHOLDER_MLFLOW_TRACKING_URI": f"sqlite:///{home}/mlflow.db",
            "MLFLOW_ARTIFACT_ROOT": f"{home}/artifacts",
            "TITLEHOLDER_SPARK_REMOTE": "",
            "TITLEHOLDER_SPARK_DRIVER_MEMORY": HEAP,
        }
        command, root = [sys.executable, "-m", "benchmarks.monitoring.cost"], ROOT
        subprocess.run([*command, "publish", str(rows)], env=environment, cwd=root, check=True)
        process = subprocess.Popen([*command, "one-window"], env=environment, cwd=root, stdout=subprocess.PIPE, text=True)
        peak = 0.0
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                family = [watched, *watched.children(recursive=True)]
                peak = max(peak, sum(one.memory_full_info().pss for one in family) / 1e6)
            except psutil.Error:
                pass
            time.sleep(0.2)
        output = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise RuntimeError("the process that monitors the window failed; its error is above")
    return {"monitor_seconds": float(json.loads(output.splitlines()[-1])["seconds"]), "monitor_mb": peak}


_MORE = [f"x{place}" for place in range(20 - len(COLUMNS) - 1)]


def _publish(rows: int) -> None:
    """A reference and a window, each of `rows` rows of 20 columns and as many predictions."""
    from tasks.columns import PREDICTION, PREDICTIONS, ROW_ID, VALIDATED
    from tasks.io.storage import Storage, frame_writer
    from tasks.io.tracking import find_finished_run
    from tasks.settings import get_settings

    find_finished_run("bench", "none")  # makes MLflow's tables
    storage = Storage(get_settings().data_root)
    for number in (0, 1):
        random, frame = np.random.default_rng(number), make_week(number, 1, rows)
        answers = frame[[ROW_ID]].assign(**{PREDICTION: random.beta(2, 5, rows)})
        known = frame.assign(**{name: random.normal(size=rows) for name in _MORE})
        window = week(number)
        for layer, partition, table in (
            (VALIDATED, window.label, known),
            (PREDICTIONS, f"v1.{window.start}", answers),
        ):
            storage.publish(use_case="bench", layer=layer, partition=partition, tables={"rows": frame_writer(table)})


def _monitor_one_window() -> None:
    """Time `monitor` as the DAG calls it, from what is published to the report in MLflow."""
    from tasks.columns import PREDICTIONS, VALIDATED
    from tasks.io.storage import Storage
    from tasks.settings import get_settings
    from tasks.stages.monitoring import Side, WindowPair, monitor

    storage = Storage(get_settings().data_root)

    def side(number: int) -> Side:
        found = (
            storage.current("bench", VALIDATED, week(number).label),
            storage.current("bench", PREDICTIONS, f"v1.{week(number).start}"),
        )
        rows, answers = ([ref] for ref in found if ref is not None)
        return Side(rows, answers)

    reference, current = side(0), side(1)
    checks = [
        CHECKS.parse({"kind": "column_drift", "columns": [*COLUMNS, *_MORE], "method": "jensenshannon", "threshold": 0.1}, ""),
        CHECKS.parse({"kind": "prediction_drift", "method": "psi", "threshold": 0.1}, ""),
        *CHECK_LIST[1:],
    ]
    began = time.perf_counter()
    pair = WindowPair(week(1), current, reference, "bench", previous=reference.rows[0])
    monitor("bench", checks, pair, storage, seed=7, run_tags={})
    print(json.dumps({"seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    if sys.argv[1] == "publish":
        _publish(int(sys.argv[2]))
    else:
        _monitor_one_window()

"""Does it retrain when it should, and only then? Checks and controller over simulated years, and what a large window costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

from benchmarks.monitoring.simulated import BREAKS, COLUMNS, DRIFTS, FIRST, make_week, week
from tasks.columns import TARGET
from tasks.contracts.base import Window
from tasks.contracts.monitoring import DriftReport, RetrainDecision, RetrainRequest
from tasks.contracts.promotion import Action, LedgerEntry, Trust
from tasks.stages.monitoring.checks import CHECKS, DriftCheck
from tasks.stages.monitoring.decision import RetrainPolicy, decide_retrain
from tasks.stages.monitoring.evidence import gather
from tasks.stages.monitoring.judging import judge

SEEDS, WEEKS, ROWS, REFERENCE_WEEKS = 20, 52, 2_000, 8
HEAP = "768m"
SIZES = (1_000, 10_000, 100_000, 1_000_000)
POLICY = RetrainPolicy(violations=2, of_last=3, cooldown_days=7, at_most_per_week=1)
NUMBERS = ["amount", "age", "visits"]
DISTANCES = [
    {"kind": "column_drift", "columns": list(COLUMNS), "method": "jensenshannon", "threshold": 0.1},
    {"kind": "label_drift", "column": TARGET, "method": "psi", "threshold": 0.1},
]
CHECK_LIST = [
    CHECKS.parse(entry, "here")
    for entry in (
        *DISTANCES,
        {"kind": "unit_change", "columns": NUMBERS},
        {"kind": "missing_values", "columns": NUMBERS},
        {"kind": "missing_days"},
        {"kind": "volume"},
        {"kind": "doubled_rows"},
        {"kind": "frozen_rows"},
    )
]
MEANING = {
    "false_retrains_per_year": f"requests in {WEEKS} weeks without drift, mean of {SEEDS} seeds",
    "drift_detected_share": f"years with drift, {SEEDS} seeds a kind: the share that asked within so many windows",
    "fault_retrains": f"requests because of broken data: {len(BREAKS)} kinds, {SEEDS} seeds, four weeks each",
    "fault_alert_share": "of those years, the share with an alert in the first broken week",
    "verdict_by_rows": f"1: the verdicts at {', '.join(f'{size:,}' for size in SIZES)} rows are all the same",
    "monitor_seconds": "a million rows of 20 columns with a million predictions, from Spark's start to the report in MLflow",
    "monitor_mb": f"the same: peak memory of Python and Spark's JVM together, whose heap is {HEAP}",
    "webhook_duplicates": "retrainings beyond the first, started by 100 replayed, repeated and forged webhooks",
}


def week_of(first: date, number: int) -> Window:
    return Window.before(first + timedelta(days=7 * (number + 1)), 7)


@dataclass
class Year:
    """One simulated installation: its champion learns from the weeks before a yes, and is in service from the next one on."""

    first: date
    checks: Sequence[DriftCheck]
    policy: RetrainPolicy
    learned: int = REFERENCE_WEEKS
    version: int = 1
    past: list[RetrainDecision] = field(default_factory=list)
    reports: list[DriftReport] = field(default_factory=list)
    requests: list[RetrainRequest] = field(default_factory=list)
    weeks: dict[int, pd.DataFrame] = field(default_factory=dict)

    def look(
        self, number: int, current: pd.DataFrame, figures: dict[str, float] | None = None, accepted_by: str = ""
    ) -> RetrainDecision:
        """What the real checks and the real controller say of one week."""
        self.weeks[number] = current
        learned = [self.weeks[n] for n in range(self.learned - REFERENCE_WEEKS, self.learned)]
        reference, window = pd.concat(learned, ignore_index=True), week_of(self.first, number)
        tables = {"rows": reference}, {"rows": current}
        seen = gather(self.checks, window, *tables, self.weeks[number - 1], window.start, figures)
        results = judge(self.checks, seen)
        report = DriftReport(
            use_case="shop",
            window=window,
            reference="",
            current_rows=len(current),
            reference_rows=len(reference),
            checks=results,
            violated=any(one.violated for one in results),
            report_uri="",
            run_id="",
            figures=figures or {},
            new_labels=sum(len(self.weeks[n]) for n in range(self.learned, number + 1)),
        )
        as_of = week_of(self.first, self.learned - 1).end
        decision = decide_retrain(
            "shop", self.policy, window, report, self.past, self._champion(), as_of, self.requests, None, accepted_by
        )
        self.past.append(decision)
        self.reports.append(report)
        if decision.retrain:
            self.version, self.learned = self.version + 1, number + 1
            key = decision.idempotency_key
            self.requests.append(
                RetrainRequest(idempotency_key=key, as_of=window.end, taken_by="run", version=self.version, passed=True)
            )
        return decision

    def _champion(self) -> LedgerEntry:
        empty = "0" * 64
        return LedgerEntry(
            sequence=self.version,
            use_case="shop",
            action=Action.PROMOTE,
            version=self.version,
            previous_version=None,
            manifest_digest=empty,
            data_digest=empty,
            report_digest=empty,
            code_version="",
            actor="bench",
            trust=Trust.POLICY,
            reason="",
            dag_run="",
            at=datetime(2026, 1, 1, tzinfo=UTC),
            entry_digest=empty,
            previous_digest=empty,
        )


def _begin(seed: int) -> Year:
    year = Year(FIRST, CHECK_LIST, POLICY)
    year.weeks = {number: make_week(number, seed, ROWS) for number in range(REFERENCE_WEEKS)}
    return year


def measure_false_retrains(seeds: int = SEEDS, weeks: int = WEEKS) -> dict[str, float]:
    asked = []
    for seed in range(seeds):
        year = _begin(seed)
        for number in range(REFERENCE_WEEKS, REFERENCE_WEEKS + weeks):
            year.look(number, make_week(number, seed, ROWS))
        asked.append(sum(one.retrain for one in year.past) * 52 / weeks)
    return {"false_retrains_per_year": float(np.mean(asked))}


def measure_detection(seeds: int = SEEDS) -> dict[str, Any]:
    found = {}
    for kind, within in DRIFTS.items():
        hits = 0
        for seed in range(seeds):
            year, since = _begin(100 + seed), REFERENCE_WEEKS + 3
            for number in range(REFERENCE_WEEKS, since + within):
                decision = year.look(number, make_week(number, 100 + seed, ROWS, kind, since))
                if decision.retrain and number >= since:
                    hits += 1
                    break
        found[kind] = {"share": hits / seeds, "windows": float(within)}
    return {"drift_detected_share": found}


def measure_faults(seeds: int = SEEDS) -> dict[str, float]:
    retrains, alerts, years = 0, 0, 0
    for how in BREAKS.values():
        for seed in range(seeds):
            year, since = _begin(200 + seed), REFERENCE_WEEKS + 2
            for number in range(REFERENCE_WEEKS, since + 4):
                rows = make_week(number, 200 + seed, ROWS)
                if number >= since:
                    rows = how(rows, year.weeks[number - 1])
                decision = year.look(number, rows)
                retrains += decision.retrain and number >= since
                alerts += decision.alert and number == since
            years += 1
    return {"fault_retrains": float(retrains), "fault_alert_share": alerts / years}


def measure_verdicts(sizes: tuple[int, ...] = SIZES) -> dict[str, float]:
    """Calm and drifted weeks of the same distributions at each size; in memory up to 100,000 rows, by Spark beyond."""
    checks = CHECK_LIST[: len(DISTANCES)]
    verdicts = set()
    for size in sizes:
        told: list[tuple[str, bool]] = []
        for drift in ("", "sudden"):
            sides = make_week(0, 1, size), make_week(1, 1, size, drift, 0)
            with tempfile.TemporaryDirectory() as folder:
                tables: list[Any] = list(sides)
                if size > 100_000:
                    tables = [_as_spark(rows, Path(folder) / f"{place}.parquet") for place, rows in enumerate(sides)]
                seen = gather(checks, week(1), {"rows": tables[0]}, {"rows": tables[1]})
            told += [(f"{drift} {one.column} {one.method}", one.violated) for one in judge(checks, seen)]
        verdicts.add(tuple(told))
    return {"verdict_by_rows": float(len(verdicts) == 1)}


def _as_spark(rows: pd.DataFrame, path: Path) -> Any:
    from tasks.io.spark import get_spark

    rows.to_parquet(path)
    return get_spark("benchmarks").read.parquet(str(path))


def measure_cost(rows: int = 1_000_000) -> dict[str, float]:
    """Monitoring in a process of its own, over what another one published; peak memory is of it and all its children."""
    with tempfile.TemporaryDirectory() as home:
        environment = {
            **os.environ,
            "TITLEHOLDER_HOME": home,
            "TITLEHOLDER_MLFLOW_TRACKING_URI": f"sqlite:///{home}/mlflow.db",
            "MLFLOW_ARTIFACT_ROOT": f"{home}/artifacts",
            "TITLEHOLDER_SPARK_REMOTE": "",
            "TITLEHOLDER_SPARK_DRIVER_MEMORY": HEAP,
        }
        command, root = [sys.executable, "-m", "benchmarks.monitoring.monitoring"], Path(__file__).parents[2]
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
        told = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise RuntimeError("the window could not be monitored; see above")
    return {"monitor_seconds": float(json.loads(told.splitlines()[-1])["seconds"]), "monitor_mb": peak}


_MORE = [f"x{place}" for place in range(20 - len(COLUMNS) - 1)]


def _publish(rows: int) -> None:
    """A reference and a window, each of `rows` rows of 20 columns and as many predictions."""
    from tasks.columns import PREDICTION, PREDICTIONS, ROW_ID, VALIDATED
    from tasks.io.storage import Storage, frame_writer
    from tasks.io.tracking import find_finished_run
    from tasks.settings import get_settings

    find_finished_run("bench", "none")  # MLflow's tables are there, as in an installation
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
    from tasks.stages.monitoring import Side, monitor

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
    monitor("bench", checks, week(1), current, reference, "bench", storage, 7, {}, previous=reference.rows[0])
    print(json.dumps({"seconds": time.perf_counter() - began}))


def measure_webhooks() -> dict[str, float]:
    """Through the real program and its token; Airflow's part, one run of a name, is played by a dictionary."""
    from concurrent.futures import ThreadPoolExecutor

    from starlette.testclient import TestClient

    from tasks.settings import get_settings
    from titleholder.watch import create_app

    started: dict[str, Any] = {}
    lock = threading.Lock()

    def ask(_case: str, run: str, form: dict[str, Any]) -> bool:
        with lock:
            return started.setdefault(run, form) is form

    with tempfile.TemporaryDirectory() as home:
        own = {"home": Path(home), "webhook_token": "right", "notify_urls": ()}
        clients = [TestClient(create_app(get_settings().model_copy(update=own), ask)) for _ in range(4)]
        labels = {"alertname": "QualityLost", "use_case": "purchase_propensity", "action": "retrain"}

        def send(place: int) -> None:
            token = ("right", "right", "wrong")[place % 3]
            start = ("2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", f"2026-02-{1 + place % 28:02d}T00:00:00Z")[place % 3]
            alert = {"status": "firing", "labels": labels, "annotations": {}, "startsAt": start}
            clients[place % 4].post("/alerts", json={"alerts": [alert] * 2}, headers={"Authorization": f"Bearer {token}"})

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(send, range(100)))
    return {"webhook_duplicates": float(len(started) - 1)}


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "false": measure_false_retrains,
    "detection": measure_detection,
    "faults": measure_faults,
    "verdicts": measure_verdicts,
    "cost": measure_cost,
    "webhooks": measure_webhooks,
}


def measure() -> dict[str, Any]:
    """All figures."""
    return {name: figure for part in PARTS.values() for name, figure in part().items()}


def main() -> None:
    """All figures, or those of the parts that are named; written to build/bench/monitoring.json as they come."""
    path = Path("build/bench/monitoring.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:] or PARTS:
        figures = PARTS[name]()
        known = json.loads(path.read_text()) if path.is_file() else {}
        path.write_text(json.dumps({**known, **figures}, indent=1))
        print(figures, flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["publish"]:
        _publish(int(sys.argv[2]))
    elif sys.argv[1:2] == ["one-window"]:
        _monitor_one_window()
    else:
        main()

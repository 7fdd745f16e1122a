"""Whether monitoring retrains when it should, and only then, over simulated years; and the cost of a large window."""

from __future__ import annotations

import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.monitoring.cost import HEAP, measure_cost
from benchmarks.monitoring.shop import DRIFTING, measure_calm_shops, measure_missed_drift
from benchmarks.monitoring.simulated import BREAKS, DRIFTS, make_week, week
from benchmarks.monitoring.year import CHECK_LIST, DISTANCES, REFERENCE_WEEKS, begin_year
from benchmarks.runner import Benchmark, Figures, Part
from tasks.stages.monitoring.evidence import ComparedRows, gather
from tasks.stages.monitoring.judging import judge


@dataclass(frozen=True)
class Size:
    """`rows` of a simulated week, `sizes` whose verdicts are compared, `cost_rows` of the large window.

    shop_seeds, shop_days : of small shops without drift. drifting, drifting_seeds : those with drift.
    """

    seeds: int = 20
    weeks: int = 52
    rows: int = 2_000
    sizes: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    in_memory_rows: int = 100_000
    cost_rows: int = 1_000_000
    shop_seeds: int = 5
    shop_days: int = 364
    drifting: tuple[str, ...] = tuple(DRIFTING)
    drifting_seeds: int = 20


FULL = Size()


def measure_false_retrains(size: Size) -> Figures:
    """Years without drift, and the retrain requests in them."""
    requests = []
    for seed in range(size.seeds):
        year = begin_year(seed, size.rows)
        for number in range(REFERENCE_WEEKS, REFERENCE_WEEKS + size.weeks):
            year.monitor_week(number, make_week(number, seed, size.rows))
        requests.append(sum(one.retrain for one in year.past) * 52 / size.weeks)
    return {"false_retrains_per_year": float(np.mean(requests))}


def measure_detection(size: Size) -> Figures:
    """Years with each kind of drift, and whether a retrain request follows."""
    found = {}
    for kind, within in DRIFTS.items():
        hits = 0
        for seed in range(size.seeds):
            year, since = begin_year(100 + seed, size.rows), REFERENCE_WEEKS + 3
            for number in range(REFERENCE_WEEKS, since + within):
                decision = year.monitor_week(number, make_week(number, 100 + seed, size.rows, kind, since))
                if decision.retrain and number >= since:
                    hits += 1
                    break
        found[kind] = {"share": hits / size.seeds, "windows": float(within)}
    return {"drift_detected_share": found}


def measure_faults(size: Size) -> Figures:
    """Years with each kind of broken data, and the retrain requests and alerts that follow."""
    retrains, alerts, years = 0, 0, 0
    for how in BREAKS.values():
        for seed in range(size.seeds):
            year, since = begin_year(200 + seed, size.rows), REFERENCE_WEEKS + 2
            for number in range(REFERENCE_WEEKS, since + 4):
                rows = make_week(number, 200 + seed, size.rows)
                if number >= since:
                    rows = how(rows, year.weeks[number - 1])
                decision = year.monitor_week(number, rows)
                retrains += decision.retrain and number >= since
                alerts += decision.alert and number == since
            years += 1
    return {"fault_retrains": float(retrains), "fault_alert_share": alerts / years}


def measure_shops(size: Size) -> Figures:
    """Small shops without drift, and with drift that must be found."""
    calm = measure_calm_shops(size.shop_seeds, size.shop_days)
    missed = measure_missed_drift(size.drifting, size.drifting_seeds)
    return {
        "small_shops": calm,
        "small_shop_retrains_per_year": max(one["retrains"] for one in calm.values()),
        "small_shop_missed": missed,
        "small_shop_missed_share": float(np.mean([one["missed_share"] for one in missed.values()])),
    }


def measure_verdicts(size: Size) -> Figures:
    """Weeks with and without drift, of the same distributions at each size: in memory up to `in_memory_rows`, then by Spark."""
    checks = CHECK_LIST[: len(DISTANCES)]
    verdicts = set()
    for rows in size.sizes:
        found: list[tuple[str, bool]] = []
        for drift in ("", "sudden"):
            sides = make_week(0, 1, rows), make_week(1, 1, rows, drift, 0)
            with tempfile.TemporaryDirectory() as folder:
                tables: list[Any] = list(sides)
                if rows > size.in_memory_rows:
                    tables = [_as_spark(side, Path(folder) / f"{place}.parquet") for place, side in enumerate(sides)]
                evidence = gather(checks, ComparedRows(week(1), {"rows": tables[0]}, {"rows": tables[1]}))
            found += [(f"{drift} {one.column} {one.method}", one.violated) for one in judge(checks, evidence)]
        verdicts.add(tuple(found))
    return {"verdict_by_rows": float(len(verdicts) == 1)}


def _as_spark(rows: pd.DataFrame, path: Path) -> Any:
    from tasks.io.spark import get_spark

    rows.to_parquet(path)
    return get_spark("benchmarks").read.parquet(str(path))


def measure_webhooks() -> dict[str, float]:
    """Send webhooks to the real program. A dictionary replaces Airflow: it holds one run of each name."""
    from concurrent.futures import ThreadPoolExecutor

    from starlette.testclient import TestClient

    from tasks.settings import get_settings
    from titleholder.watch import create_app

    started: dict[str, Any] = {}
    lock = threading.Lock()

    def start_run(_case: str, run: str, form: dict[str, Any]) -> bool:
        with lock:
            return started.setdefault(run, form) is form

    with tempfile.TemporaryDirectory() as home:
        own = {"home": Path(home), "webhook_token": "right", "notify_urls": ()}
        clients = [TestClient(create_app(get_settings().model_copy(update=own), start_run)) for _ in range(4)]
        labels = {"alertname": "QualityLost", "use_case": "purchase_propensity", "action": "retrain"}

        def send(place: int) -> None:
            token = ("right", "right", "wrong")[place % 3]
            start = ("2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", f"2026-02-{1 + place % 28:02d}T00:00:00Z")[place % 3]
            alert = {"status": "firing", "labels": labels, "annotations": {}, "startsAt": start}
            clients[place % 4].post("/alerts", json={"alerts": [alert] * 2}, headers={"Authorization": f"Bearer {token}"})

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(send, range(100)))
    return {"webhook_duplicates": float(len(started) - 1)}


MEANING = {
    "false_retrains_per_year": f"retrain requests in {FULL.weeks} weeks without drift, mean of {FULL.seeds} seeds",
    "drift_detected_share": f"years with drift, {FULL.seeds} seeds a kind: the share with a request within so many windows",
    "fault_retrains": f"retrain requests because of broken data: {len(BREAKS)} kinds, {FULL.seeds} seeds, four weeks each",
    "fault_alert_share": "of those years, the share with an alert in the first broken week",
    "small_shops": f"shops of 20 invoices of 8 lines a day, {FULL.shop_seeds} seeds: what happens in a year without drift",
    "small_shop_retrains_per_year": "the largest number of requests of these shops",
    "small_shop_missed": f"such shops with drift, {FULL.drifting_seeds} seeds: the share without a request within so many days",
    "small_shop_missed_share": "the mean of these shares",
    "verdict_by_rows": f"1: the verdicts at {', '.join(f'{size:,}' for size in FULL.sizes)} rows are all the same",
    "monitor_seconds": "a million rows of 20 columns with a million predictions, from Spark's start to the report in MLflow",
    "monitor_mb": f"the same: peak memory of Python and Spark's JVM together, whose heap is {HEAP}",
    "webhook_duplicates": "retrainings beyond the first, started by 100 replayed, repeated and forged webhooks",
}

BENCHMARK = Benchmark(
    name="monitoring",
    parts={
        "false": Part(measure_false_retrains),
        "detection": Part(measure_detection),
        "faults": Part(measure_faults),
        "shops": Part(measure_shops),
        "verdicts": Part(measure_verdicts, starts=("jvm",)),
        "cost": Part(lambda size: measure_cost(size.cost_rows), starts=("jvm",)),
        "webhooks": Part(lambda size: measure_webhooks()),
    },
    full=FULL,
    smallest=Size(
        seeds=1,
        weeks=2,
        rows=200,
        sizes=(1_000, 2_000),
        in_memory_rows=1_000,
        cost_rows=1_000,
        shop_seeds=1,
        shop_days=3,
        drifting=("weekly_sudden",),
        drifting_seeds=1,
    ),
    meaning=MEANING,
)

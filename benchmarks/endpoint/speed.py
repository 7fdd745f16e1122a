"""The endpoint under load, beside its peers: in turn, in the same run, one worker each. Load is made by wrk (Debian: wrk).

BENCH_ONLY names some of its parts (speed, top_k, swaps, kills, memory, schema), BENCH_SECONDS and BENCH_ROUNDS the length and
number of runs. Without MLflow the figures that need it are left out.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.endpoint.faults import kills, memory, schema, swaps
from benchmarks.endpoint.load import (
    COLUMNS,
    ROUNDS,
    ROW,
    House,
    Load,
    bare,
    catalogue,
    endpoint_words,
    load,
    server,
    tumours,
)
from tests.ports import free_port

MEANING = {
    "rps_c8": "requests a second, logistic regression on 30 features, one row, 8 connections",
    "rps_c64": "the same, 64 connections",
    "p99_ms_c8": "its p99",
    "p99_ms_c64": "the same at 64 connections",
    "rps_ratio_mlflow_c8": "requests a second over `mlflow models serve` of the same model with its signature (at least 40)",
    "rps_ratio_mlflow_c64": "the same at 64 connections (at least 40)",
    "p99_ratio_mlflow_c8": "p99 over that of `mlflow models serve` (at most 0.1)",
    "p99_ratio_mlflow_c64": "the same at 64 connections (at most 0.1)",
    "rps_ratio_mlflow_unchecked_c8": "requests a second over `mlflow models serve` without a signature: it checks nothing",
    "rps_ratio_mlflow_unchecked_c64": "the same at 64 connections",
    "p99_ratio_mlflow_unchecked_c8": "p99 over that of `mlflow models serve` without a signature",
    "p99_ratio_mlflow_unchecked_c64": "the same at 64 connections",
    "bare_ratio": "requests a second of a bare Starlette route with bodies of the same size, over ours (at most 3)",
    "topk_100k_rps": "top 10 of 100,000 items of 64 factors, folded in, 8 connections: requests a second",
    "topk_100k_p99_ms": "its p99 (at most 10)",
    "topk_100k_recall": "share of the exact top 10 that is answered (at least 0.99)",
    "swaps": "swaps under load at 64 connections",
    "swap_failed": "requests that failed meanwhile (0)",
    "swap_mixed": "answers that mix two models (0)",
    "swap_p99_ratio": "p99 with swaps over p99 without (at most 2)",
    "kill_rows": "rows that were acknowledged in all lives",
    "kill_lost_rows": "acknowledged rows that are lost beyond the stated window (0)",
    "kill_lost_within_window": "rows that are lost within it",
    "kill_oldest_lost_ms": "how long before the kill the oldest lost row was acknowledged",
    "kill_doubled_rows": "rows that are in the log twice (0)",
    "schemathesis_requests": "requests that schemathesis made of the OpenAPI document",
    "schemathesis_5xx": "answers of 500 and more among them, without those of training runs: there is no Airflow (0)",
    "schemathesis_undocumented": "kinds of answers that the document does not describe (0)",
    "rss_growth_mb": "growth of memory over the requests, good and bad (at most 20)",
}


def speed(work: Path) -> dict[str, float]:
    """Ours, the peers, in turn."""
    house = House(work / "speed")
    pipeline = tumours(house)
    ours, plain = free_port(), free_port()
    split = {"dataframe_split": {"columns": COLUMNS, "data": [list(ROW.values())]}}
    found: dict[str, list[Load]] = {}
    with (
        server(endpoint_words(ours), ours, "/readyz", house.home),
        server(bare(plain), plain, "/"),
        mlflow_peers(work, pipeline) as peers,
    ):
        asked: dict[str, tuple[str, dict[str, Any]]] = {
            "ours": (f"http://127.0.0.1:{ours}/v1/tumours/predictions", {"rows": [ROW]}),
            "bare": (f"http://127.0.0.1:{plain}/", {"rows": [ROW]}),
            **{name: (f"http://127.0.0.1:{port}/invocations", split) for name, port in peers.items()},
        }
        for _ in range(ROUNDS):
            for connections in (8, 64):
                for name, (url, body) in asked.items():
                    found.setdefault(f"{name}_c{connections}", []).append(load(url, connections, body, key=house.key))
    if errors := {name: run.errors for name, runs in found.items() for run in runs if run.errors and "ours" in name}:
        raise RuntimeError(f"not all was answered: {errors}")
    rps = {name: statistics.median(run.rps for run in runs) for name, runs in found.items()}
    p99 = {name: statistics.median(run.p99_ms for run in runs) for name, runs in found.items()}
    figures = {"bare_ratio": rps["bare_c8"] / rps["ours_c8"]}
    for n in (8, 64):
        figures |= {f"rps_c{n}": rps[f"ours_c{n}"], f"p99_ms_c{n}": p99[f"ours_c{n}"]}
        for name in peers:
            figures[f"rps_ratio_{name}_c{n}"] = rps[f"ours_c{n}"] / rps[f"{name}_c{n}"]
            figures[f"p99_ratio_{name}_c{n}"] = p99[f"ours_c{n}"] / p99[f"{name}_c{n}"]
    return figures


@contextmanager
def mlflow_peers(work: Path, pipeline: Any) -> Iterator[dict[str, int]]:
    """Ports of `mlflow models serve`, one worker, of scikit-learn's model with a signature, by which it checks what it is
    asked as ours does, and without one. None where MLflow is not installed.
    """
    try:
        import mlflow.sklearn
    except ImportError:
        yield {}
        return
    import pandas as pd

    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    asked = pd.DataFrame([ROW])
    signature = mlflow.models.infer_signature(asked, pipeline.predict(asked))
    peers: dict[str, int] = {}
    with ExitStack() as running:
        for name, known in (("mlflow", signature), ("mlflow_unchecked", None)):
            path, port = work / name, free_port()
            mlflow.sklearn.save_model(pipeline, str(path), signature=known, pip_requirements=["scikit-learn"])
            words = ["mlflow", "models", "serve", "-m", str(path), "--env-manager", "local", "-h", "127.0.0.1", "-w", "1"]
            running.enter_context(server([*words, "-p", str(port)], port, "/health"))
            peers[name] = port
        yield peers


def top_k(work: Path) -> dict[str, float]:
    """100,000 items, every user folded in, and how much of the exact answer is given."""
    house = House(work / "topk")
    model, tables = catalogue(house, 100_000, 2000)
    from tasks.models.base import FeatureTables, top_places

    features = FeatureTables(tables["users"], tables["items"], tables["pairs"])
    port = free_port()
    with server(endpoint_words(port), port, "/readyz", house.home):
        users = [f"u{n}" for n in range(2000)]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        hits = 0
        for user in users[::20]:
            connection.request("GET", f"/v1/shop/recommendations/{user}?k=10", headers=house.headers)
            given = {item["item_id"] for item in json.loads(connection.getresponse().read())["items"]}
            scores, _ = model.score_items(user, features)
            hits += len(given & set(features.item_ids[top_places(scores, 10)]))
        paths = [f"/v1/shop/recommendations/{user}?k=10" for user in users]
        runs = [load(f"http://127.0.0.1:{port}", 8, paths=paths, key=house.key) for _ in range(ROUNDS)]
    return {
        "topk_100k_rps": statistics.median(run.rps for run in runs),
        "topk_100k_p99_ms": statistics.median(run.p99_ms for run in runs),
        "topk_100k_recall": hits / (len(users[::20]) * 10),
    }


def measure() -> dict[str, float]:
    """All figures that this machine can give."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk makes the load: apt-get install wrk")
    parts: dict[str, Callable[[Path], dict[str, float]]] = {
        "speed": speed,
        "top_k": top_k,
        "swaps": swaps,
        "kills": kills,
        "memory": memory,
        "schema": schema,
    }
    wanted = [name for name in os.environ.get("BENCH_ONLY", ",".join(parts)).split(",") if name]
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="titleholder-bench-") as work:
        for name in wanted:
            figures |= parts[name](Path(work))
    return figures

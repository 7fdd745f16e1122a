"""The endpoint's speed beside its peers: in turn, in the same run, one worker each."""

from __future__ import annotations

import http.client
import json
import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.endpoint.load import (
    COLUMNS,
    ROW,
    Installation,
    Load,
    Size,
    bare_command,
    endpoint_command,
    load,
    serve_catalogue,
    serve_tumours,
    server,
)
from benchmarks.runner import Figures
from tests.ports import free_port


def measure_speed(size: Size) -> Figures:
    """One row of 30 features: the endpoint, a bare route and MLflow in turn. Without MLflow its figures are left out."""
    with tempfile.TemporaryDirectory(prefix="titleholder-bench-") as folder:
        return _compare_servers(size, Path(folder))


def _compare_servers(size: Size, work: Path) -> Figures:
    installation = Installation(work / "speed")
    pipeline = serve_tumours(installation)
    ours, plain = free_port(), free_port()
    split = {"dataframe_split": {"columns": COLUMNS, "data": [list(ROW.values())]}}
    found: dict[str, list[Load]] = {}
    with (
        server(endpoint_command(ours), ours, "/readyz", home=installation.home),
        server(bare_command(plain), plain, "/"),
        mlflow_peers(work, pipeline) as peers,
    ):
        targets: dict[str, tuple[str, dict[str, Any]]] = {
            "ours": (f"http://127.0.0.1:{ours}/v1/tumours/predictions", {"rows": [ROW]}),
            "bare": (f"http://127.0.0.1:{plain}/", {"rows": [ROW]}),
            **{name: (f"http://127.0.0.1:{port}/invocations", split) for name, port in peers.items()},
        }
        for _ in range(size.rounds):
            for connections in (8, 64):
                for name, (url, body) in targets.items():
                    run = load(url, connections, seconds=size.seconds, key=installation.key, body=body)
                    found.setdefault(f"{name}_c{connections}", []).append(run)
    if errors := {name: run.errors for name, runs in found.items() for run in runs if run.errors and "ours" in name}:
        raise RuntimeError(f"the endpoint failed to answer some requests: {errors}")
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
    """Ports of two `mlflow models serve`: one whose model has a signature, so that it checks rows as the endpoint does, and one
    without. Empty where MLflow is not installed.
    """
    try:
        import mlflow.sklearn
    except ImportError:
        yield {}
        return
    import pandas as pd

    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    rows = pd.DataFrame([ROW])
    signature = mlflow.models.infer_signature(rows, pipeline.predict(rows))
    peers: dict[str, int] = {}
    with ExitStack() as running:
        for name, known in (("mlflow", signature), ("mlflow_unchecked", None)):
            path, port = work / name, free_port()
            mlflow.sklearn.save_model(pipeline, str(path), signature=known, pip_requirements=["scikit-learn"])
            command = ["mlflow", "models", "serve", "-m", str(path), "--env-manager", "local", "-h", "127.0.0.1", "-w", "1"]
            running.enter_context(server([*command, "-p", str(port)], port, "/health"))
            peers[name] = port
        yield peers


def measure_top_k(size: Size) -> Figures:
    """Top 10 of a large catalogue, every user folded in, and the recall of the exact top 10."""
    with tempfile.TemporaryDirectory(prefix="titleholder-bench-") as folder:
        return _load_top_k(size, Path(folder))


def _load_top_k(size: Size, work: Path) -> Figures:
    from tasks.models.base import FeatureTables, top_places

    installation = Installation(work / "topk")
    model, tables = serve_catalogue(installation, size.top_k_items, size.top_k_users)
    features = FeatureTables(tables["users"], tables["items"], tables["pairs"])
    port = free_port()
    with server(endpoint_command(port), port, "/readyz", home=installation.home):
        users = [f"u{n}" for n in range(size.top_k_users)]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        hits = 0
        for user in users[::20]:
            connection.request("GET", f"/v1/shop/recommendations/{user}?k=10", headers=installation.headers)
            listed = {item["item_id"] for item in json.loads(connection.getresponse().read())["items"]}
            scores, _ = model.score_items(user, features)
            hits += len(listed & set(features.item_ids[top_places(scores, 10)]))
        paths = [f"/v1/shop/recommendations/{user}?k=10" for user in users]
        url = f"http://127.0.0.1:{port}"
        runs = [load(url, 8, seconds=size.seconds, key=installation.key, paths=paths) for _ in range(size.rounds)]
    return {
        "topk_100k_rps": statistics.median(run.rps for run in runs),
        "topk_100k_p99_ms": statistics.median(run.p99_ms for run in runs),
        "topk_100k_recall": hits / (len(users[::20]) * 10),
    }

"""The endpoint during promotions under load, during kills, after many requests, and under generated requests."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from benchmarks.endpoint.load import (
    ROW,
    Installation,
    Load,
    Size,
    endpoint_command,
    load,
    serve_catalogue,
    serve_tumours,
    server,
)
from benchmarks.runner import Figures
from tests.ports import free_port

SWAP_PAUSE = 0.1  # seconds from one swap to the next


def measure_swaps(size: Size) -> Figures:
    """Promote under load. Each model's predictions identify it, so that a mixed answer is seen."""
    with tempfile.TemporaryDirectory(prefix="titleholder-bench-") as folder:
        return _swap_under_load(size, Path(folder))


def _swap_under_load(size: Size, work: Path) -> Figures:
    from tasks.models.prior import PriorModel

    installation = Installation(work / "swaps")
    terms = {"task": "classification", "row_columns": ["x"]}
    digests = {
        version: installation.cache_model("tumours", PriorModel(version / 1000), terms) for version in range(1, size.swaps + 2)
    }
    installation.promote("tumours", 1, digests[1])
    port = free_port()
    body = {"rows": [{"x": 1.0}] * 3}
    url = f"http://127.0.0.1:{port}/v1/tumours/predictions"
    mixed, failed = [0], [0]
    stop = threading.Event()

    def watch() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while not stop.is_set():
            try:
                connection.request("POST", "/v1/tumours/predictions", json.dumps(body), installation.headers)
                answer = json.loads(connection.getresponse().read())
                version = answer["model_version"]
                one = {round(row["probability"] * 1000) for row in answer["predictions"]} == {version}
                mixed[0] += not (one and answer["manifest_digest"] == digests[version])
            except (OSError, KeyError, ValueError, http.client.HTTPException):
                failed[0] += 1
                return

    with server(endpoint_command(port), port, "/readyz", home=installation.home, poll_seconds=0.02):
        once = partial(load, url, 64, seconds=size.seconds, key=installation.key, body=body)
        calm = [once() for _ in range(size.rounds)]
        threading.Thread(target=watch, daemon=True).start()
        runs: list[Load] = []
        loading = threading.Thread(target=_load_until, args=(stop, runs, once))
        loading.start()
        for version in range(2, size.swaps + 2):
            installation.promote("tumours", version, digests[version])
            while _version(port) != version:
                time.sleep(0.01)
            time.sleep(SWAP_PAUSE)
        stop.set()
        loading.join()
        calm += [once() for _ in range(size.rounds)]  # the machine may have become busier
    return {
        "swaps": float(size.swaps),
        "swap_failed": float(sum(run.errors for run in runs) + failed[0]),
        "swap_mixed": float(mixed[0]),
        "swap_p99_ratio": statistics.median(run.p99_ms for run in runs) / statistics.median(run.p99_ms for run in calm),
    }


def _load_until(stop: threading.Event, runs: list[Load], once: Callable[[], Load]) -> None:
    while not stop.is_set():
        runs.append(once())


def _version(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/readyz")
    version: int = json.loads(connection.getresponse().read())["use_cases"]["tumours"]["version"]
    return version


def measure_kills(size: Size) -> Figures:
    """Kill the endpoint under load with SIGKILL, and look for each acknowledged row with an independent reader."""
    with tempfile.TemporaryDirectory(prefix="titleholder-bench-") as folder:
        return _kill_under_load(size, Path(folder))


def _kill_under_load(size: Size, work: Path) -> Figures:
    from serving.telemetry.prediction_writer import LOST_SECONDS

    installation = Installation(work / "kills")
    serve_tumours(installation)
    acknowledged: dict[str, float] = {}
    ended_at: dict[str, float] = {}  # prediction -> when its process ended

    def send_rows(port: int, mine: dict[str, float]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        body = json.dumps({"rows": [ROW]})
        with suppress(OSError, ValueError, http.client.HTTPException):
            while True:
                connection.request("POST", "/v1/tumours/predictions", body, installation.headers)
                answer = json.loads(connection.getresponse().read())
                mine[answer["predictions"][0]["prediction_id"]] = time.monotonic()

    for _ in range(size.kills):
        port = free_port()
        parts: list[dict[str, float]] = [{} for _ in range(8)]
        with server(endpoint_command(port), port, "/readyz", home=installation.home) as process:
            threads = [threading.Thread(target=send_rows, args=(port, part)) for part in parts]
            for thread in threads:
                thread.start()
            time.sleep(1.0)
            os.killpg(process.pid, signal.SIGKILL)
            ended = time.monotonic()
            for thread in threads:
                thread.join()
        for part in parts:
            acknowledged |= part
            ended_at |= dict.fromkeys(part, ended)
    logged: dict[str, int] = {}
    for path in installation.home.glob("predictions/tumours/online/*"):
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            names = pq.read_table(path)["prediction_id"].to_pylist()
        elif path.with_suffix(".parquet").exists():
            continue
        else:
            names = re.findall(r'"prediction_id":"([^"]+)"[^\n]*\}\n', path.read_text(errors="replace"))
        for name in names:
            logged[name] = logged.get(name, 0) + 1
    lost = [name for name in acknowledged if name not in logged]
    window = [name for name in lost if ended_at[name] - acknowledged[name] <= LOST_SECONDS]
    return {
        "kill_rows": float(len(acknowledged)),
        "kill_lost_rows": float(len(lost) - len(window)),
        "kill_lost_within_window": float(len(window)),
        "kill_oldest_lost_ms": 1000 * max((ended_at[name] - acknowledged[name] for name in lost), default=0.0),
        "kill_doubled_rows": float(sum(count > 1 for count in logged.values())),
    }


def measure_memory(size: Size) -> Figures:
    """Good and bad requests in turn, and the memory of the process before and after."""
    with tempfile.TemporaryDirectory(prefix="titleholder-bench-") as folder:
        return _grow(size, Path(folder))


def _grow(size: Size, work: Path) -> Figures:
    import psutil

    installation = Installation(work / "memory")
    serve_tumours(installation)
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1/tumours/predictions"
    with server(endpoint_command(port), port, "/readyz", home=installation.home) as process:
        good, bad = {"rows": [ROW]}, {"rows": [{"x" * 5000: 1}]}
        for body in (good, bad, good):
            load(url, 8, seconds=size.seconds, key=installation.key, body=body)
        before = psutil.Process(process.pid).memory_info().rss
        done = 0.0
        while done < size.requests:
            for body in (good, bad):
                done += load(url, 8, seconds=size.seconds, key=installation.key, body=body).rps * size.seconds
        after = psutil.Process(process.pid).memory_info().rss
    return {"rss_growth_mb": (after - before) / 2**20}


def measure_schema(size: Size) -> Figures:
    """Schemathesis requests every route of the OpenAPI document. The statuses come from the endpoint's own counters."""
    with tempfile.TemporaryDirectory(prefix="titleholder-bench-") as folder:
        return _run_schemathesis(size, Path(folder))


def _run_schemathesis(size: Size, work: Path) -> Figures:
    installation = Installation(work / "schema")
    serve_tumours(installation)
    serve_catalogue(installation, 500, 50)
    port = free_port()
    report = work / "schemathesis.xml"
    with server(endpoint_command(port), port, "/readyz", home=installation.home):
        command = [
            "schemathesis",
            "run",
            f"http://127.0.0.1:{port}/openapi.json",
            "--header",
            f"Authorization: Bearer {installation.key}",
            "--checks",
            "status_code_conformance,content_type_conformance,response_schema_conformance",
            "--max-examples",
            str(size.schema_examples),
            "--report",
            "junit",
            "--report-junit-path",
            str(report),
            "--seed",
            "7",
            "--no-color",
            "--continue-on-failure",
            "--phases",
            "examples,coverage,fuzzing",
        ]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        before = _count_answers(port)  # the readiness probes
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=work, env={**os.environ, "PATH": path})
        counts = _count_answers(port) - before
    if not report.exists():
        raise RuntimeError(f"schemathesis wrote no report: {done.stdout[-1000:]} {done.stderr[-1000:]}")
    return {
        "schemathesis_requests": float(counts.total()),
        # There is no Airflow, so that a training run is refused with 502 or 503, as documented.
        "schemathesis_5xx": float(
            sum(n for (route, status), n in counts.items() if status[0] == "5" and "/training-" not in route)
        ),
        "schemathesis_undocumented": float(report.read_text().count("<failure")),
    }


def _count_answers(port: int) -> Counter[tuple[str, str]]:
    """How often each route answered with each status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    found = re.findall(r'titleholder_requests_total{route="([^"]+)",status="(\d+)"} (\d+)', text)
    return Counter({(route, status): int(count) for route, status, count in found})

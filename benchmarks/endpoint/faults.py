"""The endpoint while titles change hands under load, while it is killed, and after half a million requests."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.endpoint.load import (
    ROUNDS,
    ROW,
    SECONDS,
    House,
    Load,
    catalogue,
    endpoint_words,
    load,
    server,
    tumours,
)
from tests.ports import free_port

SWAPS = int(os.environ.get("BENCH_SWAPS", "200"))
SWAP_PAUSE = 0.1  # seconds from one swap to the next
KILLS = int(os.environ.get("BENCH_KILLS", "10"))
EXAMPLES = int(os.environ.get("BENCH_EXAMPLES", "50"))
REQUESTS = int(os.environ.get("BENCH_REQUESTS", "500000"))


def swaps(work: Path) -> dict[str, float]:
    """Titles change hands under load; every model's answers tell whose they are."""
    from tasks.models.prior import PriorModel

    house = House(work / "swaps")
    digests = {
        version: house.keep("tumours", PriorModel(version / 1000), {"task": "classification", "row_columns": ["x"]})
        for version in range(1, SWAPS + 2)
    }
    house.promote("tumours", 1, digests[1])
    port = free_port()
    body = {"rows": [{"x": 1.0}] * 3}
    url = f"http://127.0.0.1:{port}/v1/tumours/predictions"
    mixed, asked, failed = [0], [0], [0]
    stop = threading.Event()

    def watch() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while not stop.is_set():
            try:
                connection.request("POST", "/v1/tumours/predictions", json.dumps(body), house.headers)
                answer = json.loads(connection.getresponse().read())
                version = answer["model_version"]
                asked[0] += 1
                one = {round(row["probability"] * 1000) for row in answer["predictions"]} == {version}
                mixed[0] += not (one and answer["manifest_digest"] == digests[version])
            except (OSError, KeyError, ValueError, http.client.HTTPException):
                failed[0] += 1
                return

    with server(endpoint_words(port), port, "/readyz", house.home, poll_seconds=0.02):
        calm = [load(url, 64, body, key=house.key) for _ in range(ROUNDS)]
        threading.Thread(target=watch, daemon=True).start()
        runs: list[Load] = []
        loading = threading.Thread(target=lambda: _load_until(stop, runs, url, body, house.key))
        loading.start()
        for version in range(2, SWAPS + 2):
            house.promote("tumours", version, digests[version])
            while _version(port) != version:
                time.sleep(0.01)
            time.sleep(SWAP_PAUSE)
        stop.set()
        loading.join()
        calm += [load(url, 64, body, key=house.key) for _ in range(ROUNDS)]  # the machine may have become busier
    return {
        "swaps": float(SWAPS),
        "swap_failed": float(sum(run.errors for run in runs) + failed[0]),
        "swap_mixed": float(mixed[0]),
        "swap_p99_ratio": statistics.median(run.p99_ms for run in runs) / statistics.median(run.p99_ms for run in calm),
    }


def _load_until(stop: threading.Event, runs: list[Load], url: str, body: dict[str, Any], key: str) -> None:
    while not stop.is_set():
        runs.append(load(url, 64, body, key=key))


def _version(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/readyz")
    version: int = json.loads(connection.getresponse().read())["use_cases"]["tumours"]["version"]
    return version


def kills(work: Path) -> dict[str, float]:
    """kill -9 under load; what was acknowledged is looked for by a reader of our own."""
    from serving.telemetry.prediction_writer import LOST_SECONDS

    house = House(work / "kills")
    tumours(house)
    acknowledged: dict[str, float] = {}
    latest: dict[str, float] = {}  # prediction -> when its life ended

    def ask(port: int, mine: dict[str, float]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        body = json.dumps({"rows": [ROW]})
        with suppress(OSError, ValueError, http.client.HTTPException):
            while True:
                connection.request("POST", "/v1/tumours/predictions", body, house.headers)
                answer = json.loads(connection.getresponse().read())
                mine[answer["predictions"][0]["prediction_id"]] = time.monotonic()

    for _ in range(KILLS):
        port = free_port()
        parts: list[dict[str, float]] = [{} for _ in range(8)]
        with server(endpoint_words(port), port, "/readyz", house.home) as process:
            threads = [threading.Thread(target=ask, args=(port, part)) for part in parts]
            for thread in threads:
                thread.start()
            time.sleep(1.0)
            os.killpg(process.pid, signal.SIGKILL)
            ended = time.monotonic()
            for thread in threads:
                thread.join()
        for part in parts:
            acknowledged |= part
            latest |= dict.fromkeys(part, ended)
    logged: dict[str, int] = {}
    for path in house.home.glob("predictions/tumours/online/*"):
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
    window = [name for name in lost if latest[name] - acknowledged[name] <= LOST_SECONDS]
    return {
        "kill_rows": float(len(acknowledged)),
        "kill_lost_rows": float(len(lost) - len(window)),
        "kill_lost_within_window": float(len(window)),
        "kill_oldest_lost_ms": 1000 * max((latest[name] - acknowledged[name] for name in lost), default=0.0),
        "kill_doubled_rows": float(sum(count > 1 for count in logged.values())),
    }


def memory(work: Path) -> dict[str, float]:
    """Good and bad requests in turn, and what the process holds before and after."""
    import psutil

    house = House(work / "memory")
    tumours(house)
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1/tumours/predictions"
    with server(endpoint_words(port), port, "/readyz", house.home) as process:
        good, bad = {"rows": [ROW]}, {"rows": [{"x" * 5000: 1}]}
        done = 0.0
        for body in (good, bad, good):
            done += load(url, 8, body, key=house.key).rps * SECONDS
        before = psutil.Process(process.pid).memory_info().rss
        done = 0.0
        while done < REQUESTS:
            for body in (good, bad):
                done += load(url, 8, body, key=house.key).rps * SECONDS
        after = psutil.Process(process.pid).memory_info().rss
    return {"rss_growth_mb": (after - before) / 2**20}


def schema(work: Path) -> dict[str, float]:
    """Schemathesis asks every address of the OpenAPI document; what was answered is read from the endpoint's own counts."""
    house = House(work / "schema")
    tumours(house)
    catalogue(house, 500, 50)
    port = free_port()
    told = work / "schemathesis.xml"
    with server(endpoint_words(port), port, "/readyz", house.home):
        words = [
            "schemathesis",
            "run",
            f"http://127.0.0.1:{port}/openapi.json",
            "--header",
            f"Authorization: Bearer {house.key}",
            "--checks",
            "status_code_conformance,content_type_conformance,response_schema_conformance",
            "--max-examples",
            str(EXAMPLES),
            "--report",
            "junit",
            "--report-junit-path",
            str(told),
            "--seed",
            "7",
            "--no-color",
            "--continue-on-failure",
            "--phases",
            "examples,coverage,fuzzing",
        ]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        before = _counted(port)  # it was asked for its readiness until it was ready
        done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=work, env={**os.environ, "PATH": path})
        counts = _counted(port) - before
    if not told.exists():
        raise RuntimeError(f"schemathesis wrote no report: {done.stdout[-1000:]} {done.stderr[-1000:]}")
    return {
        "schemathesis_requests": float(counts.total()),
        # Without Airflow a training run is rightly refused with 502 or 503, as documented.
        "schemathesis_5xx": float(
            sum(n for (route, status), n in counts.items() if status[0] == "5" and "/training-" not in route)
        ),
        "schemathesis_undocumented": float(told.read_text().count("<failure")),
    }


def _counted(port: int) -> Counter[tuple[str, str]]:
    """How often each route answered with each status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/metrics")
    told = connection.getresponse().read().decode()
    found = re.findall(r'titleholder_requests_total{route="([^"]+)",status="(\d+)"} (\d+)', told)
    return Counter({(route, status): int(count) for route, status, count in found})

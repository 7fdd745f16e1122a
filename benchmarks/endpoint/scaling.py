"""Requests against workers, with Amdahl's law, and against the size of the catalogue. The load shares the machine with both."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import psutil

from benchmarks.endpoint.load import ROUNDS, House, answers, catalogue, endpoint_words, load, server
from tests.ports import free_port

WORKERS = (1, 2, 3, 4)
SIZES = (1_000, 5_000, 20_000, 50_000, 100_000, 300_000)
USERS = 500
PATHS = [f"/v1/shop/recommendations/u{n}?k=10" for n in range(USERS)]
MEANING = {
    "workers": "top 10 of 100,000 items, 32 connections: requests a second, times one worker, memory of each that it shares",
    "parallel_share": "share of the work that workers do side by side, fitted by Amdahl's law",
    "catalogue": "top 10, one worker, 8 connections, by the number of items",
    "cores": "of the machine; the load takes a part of them",
}


def parallel_share(speedups: dict[int, float], cores: int) -> float:
    """The p of Amdahl's law, 1 / (1 - p + p / n), that is nearest to what was measured; n ends at the cores (least squares)."""
    shares = np.linspace(0.0, 1.0, 1001)
    errors = sum((1 / (1 - shares + shares / min(n, cores)) - speedup) ** 2 for n, speedup in speedups.items())
    return float(shares[np.argmin(errors)])


def workers(work: Path) -> dict[str, dict[str, float]]:
    """Requests a second for each number of workers, in turn, and what of their memory is one for all."""
    house = House(work / "workers")
    catalogue(house, 100_000, USERS)
    ports = {count: free_port() for count in WORKERS}
    runs: dict[int, list[float]] = {count: [] for count in WORKERS}
    found: dict[str, dict[str, float]] = {}
    with ExitStack() as running:
        pids = {}
        for count, port in ports.items():
            os.environ["WEB_CONCURRENCY"] = str(count)
            pids[count] = running.enter_context(server(endpoint_words(port), port, "/readyz", house.home)).pid
            while not all(answers(port, "/readyz") for _ in range(20 * count)):  # whichever of them is asked
                time.sleep(0.2)
        for _ in range(ROUNDS + 1):  # in the first one every user is folded in
            for count, port in ports.items():
                runs[count].append(load(f"http://127.0.0.1:{port}", 32, paths=PATHS, key=house.key).rps)
        for count, pid in pids.items():
            at_work = [one for one in (psutil.Process(pid), *psutil.Process(pid).children()) if mapped(one.pid)]
            found[str(count)] = {
                "rps": statistics.median(runs[count][1:]),
                "shared_mb": statistics.median(mapped(one.pid) for one in at_work),
                "own_mb": statistics.median(one.memory_full_info().uss for one in at_work) / 2**20,
            }
    del os.environ["WEB_CONCURRENCY"]
    return {count: {**cells, "speedup": cells["rps"] / found["1"]["rps"]} for count, cells in found.items()}


def mapped(pid: int) -> float:
    """Megabytes of a model's arrays that a process sees where they stand in the file."""
    told = Path(f"/proc/{pid}/smaps").read_text()
    pages = re.findall(r"arrays\.npz\n(?:\w+:.*\n)*?Rss:\s+(\d+) kB", told)
    return sum(map(int, pages)) / 1024


def sizes(work: Path) -> dict[str, dict[str, float]]:
    """Requests a second and p99 for each size of the catalogue."""
    found = {}
    for items in SIZES:
        house, port = House(work / f"items-{items}"), free_port()
        catalogue(house, items, USERS)
        with server(endpoint_words(port), port, "/readyz", house.home):
            load(f"http://127.0.0.1:{port}", 8, paths=PATHS, key=house.key)
            runs = [load(f"http://127.0.0.1:{port}", 8, paths=PATHS, key=house.key) for _ in range(ROUNDS)]
        found[str(items)] = {
            "rps": statistics.median(run.rps for run in runs),
            "p99_ms": statistics.median(run.p99_ms for run in runs),
        }
    return found


def measure() -> dict[str, object]:
    """Both, on this machine."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk makes the load: apt-get install wrk")
    with tempfile.TemporaryDirectory(prefix="titleholder-bench-") as work:
        by_workers = workers(Path(work))
        cores = os.cpu_count() or 1
        speedups = {int(count): cells["speedup"] for count, cells in by_workers.items()}
        return {
            "workers": by_workers,
            "parallel_share": parallel_share(speedups, cores),
            "catalogue": sizes(Path(work)),
            "cores": float(cores),
        }

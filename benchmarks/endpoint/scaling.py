"""Requests over the number of workers, with Amdahl's law, and over the size of the catalogue. The load shares the machine."""

from __future__ import annotations

import os
import re
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import psutil

from benchmarks.endpoint.load import Installation, Size, endpoint_command, is_ready, load, serve_catalogue, server
from benchmarks.runner import Figures
from tests.ports import free_port

USERS = 500
PATHS = [f"/v1/shop/recommendations/u{n}?k=10" for n in range(USERS)]


def parallel_share(speedups: dict[int, float], cores: int) -> float:
    """The p of Amdahl's law, 1 / (1 - p + p / n), with the least squared error. n is at most the number of cores."""
    shares = np.linspace(0.0, 1.0, 1001)
    errors = sum((1 / (1 - shares + shares / min(n, cores)) - speedup) ** 2 for n, speedup in speedups.items())
    return float(shares[np.argmin(errors)])


def measure_workers(size: Size) -> Figures:
    """Requests a second for each number of workers, in turn, and the memory that they share."""
    with tempfile.TemporaryDirectory(prefix="titleholder-bench-") as folder:
        by_workers = _load_workers(size, Path(folder))
    cores = os.cpu_count() or 1
    speedups = {int(count): cells["speedup"] for count, cells in by_workers.items()}
    return {"workers": by_workers, "parallel_share": parallel_share(speedups, cores), "cores": float(cores)}


def _load_workers(size: Size, work: Path) -> dict[str, dict[str, float]]:
    installation = Installation(work / "workers")
    serve_catalogue(installation, size.top_k_items, USERS)
    ports = {count: free_port() for count in size.workers}
    runs: dict[int, list[float]] = {count: [] for count in size.workers}
    found: dict[str, dict[str, float]] = {}
    with ExitStack() as running:
        pids = {}
        for count, port in ports.items():
            process = server(endpoint_command(port), port, "/readyz", home=installation.home, workers=count)
            pids[count] = running.enter_context(process).pid
            while not all(is_ready(port, "/readyz") for _ in range(20 * count)):  # any worker may answer
                time.sleep(0.2)
        for _ in range(size.rounds + 1):  # in the first round every user is folded in
            for count, port in ports.items():
                run = load(f"http://127.0.0.1:{port}", 32, seconds=size.seconds, key=installation.key, paths=PATHS)
                runs[count].append(run.rps)
        for count, pid in pids.items():
            processes = [psutil.Process(pid), *psutil.Process(pid).children()]
            serving = [one for one in processes if mapped_mb(one.pid)] or processes  # a small model is read, not mapped
            found[str(count)] = {
                "rps": statistics.median(runs[count][1:]),
                "shared_mb": statistics.median(mapped_mb(one.pid) for one in serving),
                "own_mb": statistics.median(one.memory_full_info().uss for one in serving) / 2**20,
            }
    first = found[str(size.workers[0])]["rps"]
    return {count: {**cells, "speedup": cells["rps"] / first} for count, cells in found.items()}


def mapped_mb(pid: int) -> float:
    """Megabytes of a model's arrays that a process maps from the file."""
    maps = Path(f"/proc/{pid}/smaps").read_text()
    pages = re.findall(r"arrays\.npz\n(?:\w+:.*\n)*?Rss:\s+(\d+) kB", maps)
    return sum(map(int, pages)) / 1024


def measure_catalogue(size: Size) -> Figures:
    """Requests a second and p99 for each number of items."""
    found = {}
    for items in size.catalogues:
        with tempfile.TemporaryDirectory(prefix="titleholder-bench-") as folder:
            installation, port = Installation(Path(folder)), free_port()
            serve_catalogue(installation, items, USERS)
            url = f"http://127.0.0.1:{port}"
            with server(endpoint_command(port), port, "/readyz", home=installation.home):
                runs = [load(url, 8, seconds=size.seconds, key=installation.key, paths=PATHS) for _ in range(size.rounds + 1)][
                    1:
                ]
        found[str(items)] = {
            "rps": statistics.median(run.rps for run in runs),
            "p99_ms": statistics.median(run.p99_ms for run in runs),
        }
    return {"catalogue": found}

"""The cost of parsing all DAGs beyond importing Airflow, which the scheduler pays on every parse."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.runner import Benchmark, Figures, Part
from tests.dags.conftest import parse_dags


@dataclass(frozen=True)
class Size:
    rounds: int = 5


def measure_parsing(size: Size) -> Figures:
    """Parse in fresh processes. The first one only warms the caches."""
    with tempfile.TemporaryDirectory() as home:
        rounds = [parse_dags(Path(home)) for _ in range(size.rounds + 1)][1:]
    return {"seconds": median(one["seconds"] for one in rounds), "dags": len(rounds[-1]["dags"])}


BENCHMARK = Benchmark(
    name="dags",
    parts={"parsing": Part(measure_parsing, starts=("servers",))},
    full=Size(),
    smallest=Size(rounds=1),
    meaning={"seconds": "parsing all DAG files in a fresh process, after importing Airflow", "dags": "DAGs found"},
)

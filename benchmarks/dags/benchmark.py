"""What parsing all DAGs costs beyond importing Airflow, which the scheduler pays on every parse."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median

from tests.dags.conftest import parse_dags

ROUNDS = 5
MEANING = {"seconds": "parsing all DAG files in a fresh process, after importing Airflow", "dags": "DAGs found"}


def measure() -> dict[str, float]:
    """Parse in fresh processes; the first one only warms the caches."""
    with tempfile.TemporaryDirectory() as home:
        rounds = [parse_dags(Path(home)) for _ in range(ROUNDS + 1)][1:]
    return {"seconds": median(one["seconds"] for one in rounds), "dags": len(rounds[-1]["dags"])}

"""A `Run` without Airflow, and small snapshots to run on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.data import DatasetRef
from tasks.io.storage import Storage, frame_writer
from tasks.jobs.run import Run

CASE = "breast_cancer"


@dataclass
class Recorder:
    """A function that keeps the arguments of its calls, and returns one value."""

    returns: Any = None
    calls: list[tuple[Any, ...]] = field(default_factory=list)

    def __call__(self, *given: Any) -> Any:
        self.calls.append(given)
        return self.returns


Publish = Callable[..., DatasetRef]


@pytest.fixture
def run(own_home: Path) -> Run:
    return Run.open(CASE, run_id="run", dag_id=f"{CASE}.training")


@pytest.fixture
def publish(storage: Storage) -> Publish:
    """Publish one row as a snapshot of the use case; `value` makes it another version."""

    def publish_row(layer: str, partition: str, value: float = 1.0, **made_from: DatasetRef) -> DatasetRef:
        frame = pd.DataFrame({c.ROW_ID: ["r1"], "x": [value]})
        return storage.publish(
            use_case=CASE,
            layer=layer,
            partition=partition,
            tables={c.ROWS: frame_writer(frame)},
            inputs=list(made_from.values()),
        )

    return publish_row

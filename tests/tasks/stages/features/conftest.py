"""A validated layer in miniature, written as Spark writes it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.data import DatasetRef
from tasks.io.storage import Storage

USE_CASE = "shop"
_TIME, _TEXT, _NUMBER = pa.timestamp("us", tz="UTC"), pa.string(), pa.float64()
_SCHEMA = pa.schema(
    [
        (c.ROW_ID, _TEXT),
        (c.SOURCE_FILE, _TEXT),
        (c.EVENT_AT, _TIME),
        (c.INGESTED_AT, _TIME),
        (c.AS_IT_CAME, _TEXT),
        (c.EVENT_ID, _TEXT),
        (c.EVENT_TYPE, _TEXT),
        (c.USER_ID, _TEXT),
        (c.ITEM_ID, _TEXT),
        (c.ITEM_TEXT, _TEXT),
        (c.QUANTITY, _NUMBER),
        (c.UNIT_PRICE, _NUMBER),
        (c.VALUE, _NUMBER),
        (c.SEGMENT, _TEXT),
        (c.USER_ATTRIBUTES, _TEXT),
        (c.ITEM_ATTRIBUTES, _TEXT),
    ]
)

Row = dict[str, Any]
Publish = Callable[..., DatasetRef]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def row(user: str | None, item: str, at: str, event: str, **changes: Any) -> Row:
    """One purchase of two pieces at 1.5, known at once; `changes` make it something else."""
    made: Row = {
        c.USER_ID: user,
        c.ITEM_ID: item,
        c.EVENT_AT: moment(at),
        c.EVENT_ID: event,
        c.EVENT_TYPE: c.PURCHASE,
        c.QUANTITY: 2.0,
        c.UNIT_PRICE: 1.5,
        c.VALUE: 3.0,
        c.SEGMENT: "Norway",
        **changes,
    }
    made.setdefault(c.INGESTED_AT, made[c.EVENT_AT])
    made.setdefault(c.SOURCE_FILE, made[c.EVENT_AT].date().isoformat() + ".csv")
    made.setdefault(c.ROW_ID, f"{made[c.SOURCE_FILE]}:{event}:{item}")
    return made


@pytest.fixture
def publish(storage: Storage) -> Publish:
    """Publish rows as the validated snapshot of a window `start..end`."""

    def write_snapshot(rows: list[Row], start: str = "2011-01-01", end: str = "2012-01-01") -> DatasetRef:
        def write(folder: Path) -> None:
            folder.mkdir()
            pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), folder / "part-0.parquet")

        window = Window.from_label(f"{start}..{end}")
        return storage.publish(use_case=USE_CASE, layer=c.VALIDATED, partition=window.label, tables={c.ROWS: write})

    return write_snapshot

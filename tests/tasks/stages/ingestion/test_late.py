"""Late deliveries: what a later run finds, and from when on their rows are known."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.data import DatasetRef
from tasks.io.storage import Storage, frame_writer
from tasks.stages.ingestion import find_late_windows, ingest
from tasks.stages.ingestion.base import Source
from tasks.stages.ingestion.sources import SOURCES

FIRST = date(2026, 1, 5)  # a Monday
CASE = "shop"


def day(place: int) -> date:
    return FIRST + timedelta(days=place)


def window(first: int, days: int = 1) -> Window:
    return Window(start=day(first), end=day(first + days))


def deliver(folder: Path, place: int, rows: int = 1, name: str = "{}.csv") -> None:
    folder.mkdir(exist_ok=True)
    lines = [f"{day(place)} 10:00:00,mug{n}" for n in range(rows)]
    (folder / name.format(day(place))).write_text("\n".join(["event_at,item_id", *lines]) + "\n")


@pytest.fixture
def source() -> Source:
    entry = {"kind": "daily_files", "cells": {"event_at": "string", "item_id": "string"}}
    made: Source = SOURCES.parse(entry, "here")
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "files"


def publish(storage: Storage, source: Source, folder: Path, *windows: Window) -> None:
    """Raw snapshots as `ingest` leaves them, without Spark."""
    for one in windows:
        files = {file.name: file.sha256 for file in source.files(folder, one)}
        table = {c.ROWS: frame_writer(pd.DataFrame({c.ROW_ID: ["r1"]}))}
        storage.publish(use_case=CASE, layer=c.RAW, partition=one.label, tables=table, facts={"files": files})


def find(storage: Storage, source: Source, folder: Path, of: Window, within_days: int = 14) -> list[str]:
    return [one.label for one in find_late_windows(CASE, source, folder, of, storage, within_days=within_days)]


def test_a_file_that_came_after_its_run_is_found_by_the_next(storage: Storage, source: Source, folder: Path) -> None:
    for place in (0, 1, 3):
        deliver(folder, place)
    publish(storage, source, folder, window(0), window(1), window(3))
    assert find(storage, source, folder, window(4)) == [], "nothing is late, day 2 was closed"
    deliver(folder, 2)
    assert find(storage, source, folder, window(4)) == [window(2).label]
    assert find(storage, source, folder, window(16)) == [window(2).label], "after fourteen days"
    assert find(storage, source, folder, window(17)) == [], "later than that it is not looked for"
    assert find(storage, source, folder, window(17), within_days=15) == [window(2).label]
    assert find(storage, source, folder, window(4), within_days=0) == []
    assert find(storage, source, folder, window(2)) == [], "a run does not read its own or later days as late"


def test_a_changed_file_and_a_revision_are_found_and_a_removed_one_is_not(
    storage: Storage, source: Source, folder: Path
) -> None:
    for place in range(4):
        deliver(folder, place)
    publish(storage, source, folder, *map(window, range(4)))
    deliver(folder, 1, rows=2)
    deliver(folder, 2, rows=3, name="{}.r2.csv")
    (folder / f"{day(3)}.csv").unlink()
    assert find(storage, source, folder, window(4)) == [window(1).label, window(2).label]


def test_days_before_the_first_window_were_never_expected(storage: Storage, source: Source, folder: Path) -> None:
    for place in range(5):
        deliver(folder, place)
    assert find(storage, source, folder, window(5)) == [], "nothing was ingested yet"
    publish(storage, source, folder, window(3))
    assert find(storage, source, folder, window(5)) == [window(4).label]


def test_a_late_file_of_a_longer_window_reads_its_whole_window_again(storage: Storage, source: Source, folder: Path) -> None:
    for place in (0, 1, 2):
        deliver(folder, place)
    publish(storage, source, folder, window(0, 7))
    deliver(folder, 4)
    deliver(folder, 9)  # of the second week, whose run found no file
    assert find(storage, source, folder, window(14, 7)) == [window(0, 7).label, window(7, 7).label]


def test_what_is_broken_is_reported_by_whoever_reads_it(storage: Storage, source: Source, folder: Path) -> None:
    deliver(folder, 0)
    publish(storage, source, folder, window(0))
    (folder / f"{day(1)}.csv").write_text("")
    assert find(storage, source, folder, window(2)) == [window(1).label]


@pytest.mark.parametrize(
    ("entry", "may"),
    [
        ({"kind": "invoice_files"}, True),
        ({"kind": "event_log", "of": "shop"}, False),
        ({"kind": "movielens"}, False),
        ({"kind": "breast_cancer"}, False),
    ],
)
def test_only_sources_of_days_deliver_late(entry: dict[str, Any], may: bool) -> None:
    assert SOURCES.parse(entry, "here").may_deliver_late is may


def test_a_table_delivers_late_unless_it_says_when_rows_arrived() -> None:
    base = {"kind": "table", "url": "postgresql://db/shop", "table": "orders", "order_by": ["id"]}
    cells = {"id": "long", "event_at": "timestamp", "item_id": "string"}
    assert SOURCES.parse({**base, "cells": cells}, "here").may_deliver_late
    assert not SOURCES.parse({**base, "cells": {**cells, "ingested_at": "timestamp"}}, "here").may_deliver_late


def known_from(storage: Storage, ref: DatasetRef | None) -> dict[str, datetime]:
    """Day -> when its rows are known."""
    assert ref is not None
    rows = storage.read(ref, c.ROWS, [c.SOURCE_FILE, c.INGESTED_AT])
    moments = pd.to_datetime(rows[c.INGESTED_AT], utc=True)
    return {name[:10]: moment.to_pydatetime() for name, moment in zip(rows[c.SOURCE_FILE], moments, strict=True)}


@pytest.mark.usefixtures("spark")
def test_late_rows_are_known_from_the_run_that_found_them(storage: Storage, source: Source, folder: Path) -> None:
    """Also when their window is read again by hand; a correction keeps the time of its first delivery."""
    deliver(folder, 0)
    week = window(0, 7)
    assert known_from(storage, ingest(CASE, source, folder, week, storage)) == {str(day(0)): datetime(2026, 1, 6, tzinfo=UTC)}
    deliver(folder, 1)
    deliver(folder, 0, rows=2)
    expected = {str(day(0)): datetime(2026, 1, 6, tzinfo=UTC), str(day(1)): datetime(2026, 1, 19, tzinfo=UTC)}
    found = ingest(CASE, source, folder, week, storage, found_by=day(14))
    assert known_from(storage, found) == expected
    assert ingest(CASE, source, folder, week, storage, found_by=day(21)) == found, "found once"
    deliver(folder, 2, name="{}.r2.csv")
    deliver(folder, 1, rows=3, name="{}.r2.csv")
    again = ingest(CASE, source, folder, week, storage)
    assert known_from(storage, again) == {**expected, str(day(2)): datetime(2026, 1, 8, tzinfo=UTC)}

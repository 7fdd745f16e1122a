"""One file that holds many days is cut into the days on which its rows arrived."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.errors import ConfigurationError, SourceError
from tasks.io.storage import Storage
from tasks.stages.ingestion import ingest
from tasks.stages.ingestion.sources import SOURCES
from tasks.stages.ingestion.whole_files import WholeFiles
from tests.tasks.stages.ingestion.source_examples import sample

SETTINGS = {"cells": {"event_at": "string", "item_id": "string"}}
LINES = ["2026-01-05 10:00:00,mug", "2026-01-04 10:00:00,tea", "2026-01-05 11:00:00,pen", "2026-01-06 00:00:00,cup"]


def day(number: int) -> Window:
    return Window(start=date(2026, 1, number), end=date(2026, 1, number + 1))


def write(folder: Path, *lines: str, name: str = "export.csv") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("event_at,item_id\n" + "".join(f"{line}\n" for line in lines))
    return folder


@sample("files", faults={"a_column_lost": ("export.csv", ",item_id", "")}, **SETTINGS)
def whole_folder(folder: Path) -> tuple[Path, Window]:
    folder.mkdir(parents=True)
    return write(folder, *LINES), day(5)


def source(**settings: Any) -> WholeFiles:
    found = SOURCES.parse({"kind": "files", **SETTINGS, **settings}, "test")
    assert isinstance(found, WholeFiles)
    return found


def items(ref: Any, storage: Storage) -> list[str]:
    return list(storage.read(ref).sort_values(c.ROW_ID)[c.ITEM_ID])


def test_a_window_has_the_rows_that_arrived_in_it(tmp_path: Path, storage: Storage, spark: SparkSession) -> None:
    folder = write(tmp_path / "files", *LINES, "soon,jar")
    ref = ingest("test", source(), folder, day(5), storage)
    assert ref is not None
    rows = storage.read(ref).sort_values(c.ROW_ID)
    assert rows[[c.ROW_ID, c.SOURCE_FILE, c.ITEM_ID]].to_numpy().tolist() == [
        ["export.csv@2026-01-05:1", "export.csv@2026-01-05", "mug"],
        ["export.csv@2026-01-05:3", "export.csv@2026-01-05", "pen"],
    ]
    assert set(rows[c.INGESTED_AT].dt.strftime("%Y-%m-%d %H:%M")) == {"2026-01-06 00:00"}
    newest = source().files(folder, day(6))
    assert [file.rows for file in newest] == [2], "a row without a time belongs to the newest day"
    assert ingest("test", source(), folder, day(7), storage) is None

    write(folder, *LINES, "soon,jar", "2026-01-07 09:00:00,bag")
    assert ingest("test", source(), folder, day(5), storage) == ref, "an export that adds a day changes no other"
    assert sorted(items(ingest("test", source(), folder, day(7), storage), storage)) == ["bag", "jar"]
    assert len(list((folder / ".days").iterdir())) == 1, "cuts of a former version are removed"
    write(folder, LINES[0].replace("mug", "jug"), *LINES[1:], "2026-01-07 09:00:00,bag")
    changed = ingest("test", source(), folder, day(5), storage)
    assert changed is not None and changed.version != ref.version and items(changed, storage) == ["jug", "pen"]


def test_days_are_local_and_json_stays_as_it_came(tmp_path: Path, storage: Storage, spark: SparkSession) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    table = pa.table({"event_at": pa.array([datetime(2026, 7, 5, 0, 30)], pa.timestamp("us")), "item_id": ["mug"]})  # noqa: DTZ001  local
    pq.write_table(table, folder / "a.parquet")
    typed = source(format="parquet", cells={"event_at": "timestamp", "item_id": "string"}).in_days_of(ZoneInfo("Europe/Berlin"))
    window = Window(start=date(2026, 7, 5), end=date(2026, 7, 6))
    ref = ingest("typed", typed, folder, window, storage)
    assert ref is not None
    assert storage.read(ref)[c.EVENT_AT].dt.strftime("%Y-%m-%d %H:%M").tolist() == ["2026-07-04 22:30"]

    line = json.dumps({"event_at": "2026-01-05 10:00:00", "item_id": "mug"})
    (folder / "b.jsonl").write_text(line + "\n")
    ref = ingest("json", source(format="jsonl", files_named="*.jsonl"), folder, day(5), storage)
    assert ref is not None and storage.read(ref)[c.AS_IT_CAME].tolist() == [line]


def test_what_cannot_be_cut_is_refused(tmp_path: Path, spark: SparkSession) -> None:
    folder = write(tmp_path / "files", "soon,mug", "later,tea")
    with pytest.raises(SourceError, match=r"export.csv: column 'event_at': no cell of 2 is a time; state its format"):
        source().files(folder, day(5))
    assert list((folder / ".days").iterdir()) == [], "no debris"
    with pytest.raises(SourceError, match=r"no file is named orders_\*.csv, there are: .days, export.csv"):
        source(files_named="orders_*.csv").files(folder, day(5))
    with pytest.raises(SourceError, match=r"expected a name that ends in .csv, .tsv, .txt"):
        source(files_named="*.jsonl").files(write(tmp_path / "other", *LINES, name="x.jsonl"), day(5))
    with pytest.raises(ConfigurationError, match="set ingested_at or event_at, which assigns rows to windows"):
        SOURCES.parse({"kind": "files", "cells": {"y": "int", "x": "double"}, "columns": {"target": "y"}}, "test")

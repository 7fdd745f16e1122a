"""Daily files in every format and packing give the same rows; deliveries that come again, late or corrected."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import fastavro
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import orc
from pyspark.sql import SparkSession

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.errors import ConfigurationError, SourceError
from tasks.io.storage import Storage
from tasks.stages.ingestion import ingest
from tasks.stages.ingestion.daily_files import DailyFiles
from tasks.stages.ingestion.sources import SOURCES
from tests.tasks.stages.ingestion.source_examples import sample

DAY = Window(start=date(2026, 1, 5), end=date(2026, 1, 6))
NAMES = ["order", "at", "customer", "sku", "pieces", "price"]
ROWS: list[list[Any]] = [
    ["o1", "2026-01-05 08:00:00", "ann", "mug", 2.0, 1.5],
    ["o1", "2026-01-05 08:00:00", "ann", 'tëa, "green"', -1.0, 4.25],
    ["o2", "2026-01-03 23:59:59", None, "pen", 3.0, None],  # late: it happened two days before its file
]
COLUMNS = {
    "event_id": "order",
    "event_at": "at",
    "user_id": "customer",
    "item_id": "sku",
    "quantity": "pieces",
    "unit_price": "price",
}
TEXT = dict.fromkeys(NAMES, "string")
TYPED = {**TEXT, "at": "timestamp", "pieces": "double", "price": "double"}


@sample(
    "daily_files",
    faults={"a_column_lost": ("2026-01-05.csv", ",item_id", "")},
    cells={"event_at": "string", "item_id": "string"},
)
def daily_folder(folder: Path) -> tuple[Path, Window]:
    folder.mkdir(parents=True)
    (folder / "2026-01-05.csv").write_text("event_at,item_id\n2026-01-05 10:00:00,mug\n2026-01-04 10:00:00,pen\n")
    return folder, Window(start=date(2026, 1, 5), end=date(2026, 1, 6))


def table() -> pa.Table:
    frame = pd.DataFrame(ROWS, columns=NAMES)
    frame["at"] = pd.to_datetime(frame["at"]).dt.tz_localize("UTC").astype("datetime64[us, UTC]")
    return pa.Table.from_pandas(frame, preserve_index=False)


def as_csv(encoding: str = "utf-8", delimiter: str = ",") -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter).writerows(
        [NAMES, *[["" if cell is None else cell for cell in row] for row in ROWS]]
    )
    return buffer.getvalue().encode(encoding)


def as_jsonl() -> bytes:
    objects = [{name: cell for name, cell in zip(NAMES, row, strict=True) if cell is not None} for row in ROWS]
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in objects).encode()


def write_avro(path: Path) -> None:
    kinds = {"timestamp": {"type": "long", "logicalType": "timestamp-micros"}}
    fields = [{"name": name, "type": ["null", kinds.get(kind, kind)], "default": None} for name, kind in TYPED.items()]
    records = [{**row, "at": row["at"].to_pydatetime()} for row in table().to_pandas().astype(object).to_dict("records")]
    clean = [{name: None if pd.isna(cell) else cell for name, cell in row.items()} for row in records]
    with path.open("wb") as stream:
        fastavro.writer(stream, {"type": "record", "name": "line", "fields": fields}, clean, codec="deflate")


# what is written -> the source's settings and the file's name
FORMATS: dict[str, tuple[dict[str, Any], str, Callable[[Path], Any]]] = {
    "csv": ({}, "csv", lambda path: path.write_bytes(as_csv())),
    "csv, gzip": ({}, "csv.gz", lambda path: path.write_bytes(gzip.compress(as_csv()))),
    "csv, bzip2": ({}, "csv.bz2", lambda path: path.write_bytes(bz2.compress(as_csv()))),
    "csv, semicolons, latin-1": (
        {"delimiter": ";", "encoding": "iso-8859-1"},
        "csv",
        lambda path: path.write_bytes(as_csv("iso-8859-1", ";")),
    ),
    "csv, windows-1252": ({"encoding": "windows-1252"}, "csv", lambda path: path.write_bytes(as_csv("windows-1252"))),
    "csv, utf-16": ({"encoding": "utf-16"}, "csv", lambda path: path.write_bytes(as_csv("utf-16"))),
    "jsonl": ({"format": "jsonl"}, "jsonl", lambda path: path.write_bytes(as_jsonl())),
    "jsonl, gzip": ({"format": "jsonl"}, "jsonl.gz", lambda path: path.write_bytes(gzip.compress(as_jsonl()))),
    "parquet": ({"format": "parquet"}, "parquet", lambda path: pq.write_table(table(), path)),
    "orc": ({"format": "orc"}, "orc", lambda path: orc.write_table(table(), path)),
    "avro": ({"format": "avro"}, "avro", write_avro),
}


def source(**settings: Any) -> DailyFiles:
    cells = TEXT if settings.get("format", "csv") in {"csv", "jsonl"} else TYPED
    found = SOURCES.parse({"kind": "daily_files", "cells": cells, "columns": COLUMNS, **settings}, "test")
    assert isinstance(found, DailyFiles)
    return found


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_gives_the_same_rows(name: str, tmp_path: Path, storage: Storage, spark: SparkSession) -> None:
    settings, ending, write = FORMATS[name]
    write(tmp_path / f"2026-01-05.{ending}")
    ref = ingest("test", source(**settings), tmp_path, DAY, storage)
    assert ref is not None
    frame = storage.read(ref).sort_values(c.ROW_ID).set_index(c.ROW_ID)
    whole = f"2026-01-05.{ending.split('.')[0]}"
    assert list(frame.index) == [f"{whole}:{place}" for place in (1, 2, 3)]
    assert frame[c.EVENT_ID].tolist() == ["o1", "o1", "o2"]
    assert frame[c.USER_ID].tolist() == ["ann", "ann", None]
    assert frame[c.ITEM_ID].tolist() == ["mug", 'tëa, "green"', "pen"]
    assert frame[c.EVENT_TYPE].tolist() == ["purchase", "return", "purchase"]
    assert frame[c.QUANTITY].tolist() == [2.0, -1.0, 3.0]
    assert frame[c.VALUE].iloc[:2].tolist() == [3.0, -4.25] and frame[c.VALUE].isna().tolist() == [False, False, True]
    assert frame[c.EVENT_AT].dt.strftime("%Y-%m-%d %H:%M:%S").tolist() == [row[1] for row in ROWS]
    assert set(frame[c.INGESTED_AT]) == {pd.Timestamp("2026-01-06")}
    assert all(json.loads(came) for came in frame[c.AS_IT_CAME])


def test_a_revision_supersedes_and_keeps_both_digests(tmp_path: Path, storage: Storage, spark: SparkSession) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "2026-01-05.csv").write_bytes(as_csv())
    first = ingest("test", source(), folder, DAY, storage)
    assert first is not None and ingest("test", source(), folder, DAY, storage) == first
    old = storage.manifest(first)["facts"]["files"]["2026-01-05.csv"]
    (folder / "2026-01-05.r2.csv.gz").write_bytes(gzip.compress(b"\n".join(as_csv().split(b"\n")[:2]) + b"\n"))
    second = ingest("test", source(), folder, DAY, storage)
    assert second is not None and second.rows == {c.ROWS: 1}
    facts = storage.manifest(second)["facts"]
    assert list(facts["files"]) == ["2026-01-05.r2.csv.gz"] and facts["superseded"] == {"2026-01-05.csv": old}
    assert storage.read(second)[c.SOURCE_FILE].tolist() == ["2026-01-05.csv"], "one delivery, whatever its file is called"
    assert [one.version for one in storage.current_versions("test", c.RAW, DAY.label)] == [first.version, second.version]
    (folder / "2026-01-05.r2.csv").write_bytes(as_csv())
    with pytest.raises(SourceError, match="of the same day and revision"):
        source().files(folder, DAY)


def test_a_column_can_hold_the_time_of_arrival(tmp_path: Path, storage: Storage, spark: SparkSession) -> None:
    (tmp_path / "2026-01-05.csv").write_text("t,sku,loaded\n2026-01-04 10:00:00,mug,2026-01-05 03:00:00\n")
    stated = source(
        cells=dict.fromkeys(["t", "sku", "loaded"], "string"),
        columns={"event_at": "t", "item_id": "sku", "ingested_at": "loaded"},
    )
    ref = ingest("test", stated, tmp_path, DAY, storage)
    assert ref is not None
    assert storage.read(ref)[c.INGESTED_AT].tolist() == [pd.Timestamp("2026-01-05 03:00:00")]


def test_text_is_parsed_into_the_declared_types(tmp_path: Path, storage: Storage, spark: SparkSession) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "2026-01-05.csv").write_bytes(as_csv().replace(b"4.25", b"four"))
    ref = ingest("test", source(cells=TYPED), folder, DAY, storage)
    assert ref is not None
    frame = storage.read(ref).sort_values(c.ROW_ID)
    assert frame[c.UNIT_PRICE].fillna(-1.0).tolist() == [1.5, -1.0, -1.0], "null, which the suite judges"
    assert frame[c.EVENT_AT].dt.strftime("%Y-%m-%d %H:%M:%S").tolist() == [row[1] for row in ROWS]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"columns": {"item_id": "nowhere"}}, "no column 'nowhere' in cells; allowed: order, at"),
        ({"columns": {"colour": "sku"}}, "no canonical column 'colour'; allowed: event_at"),
        ({"columns": {}}, "columns: set event_at, item_id"),
        ({"format": "parquet", "encoding": "utf-16"}, "encoding applies to csv only"),
        ({"format": "xml"}, "'avro', 'orc', 'arrow' or 'xlsx'"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        source(**settings)

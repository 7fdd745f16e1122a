"""Local times become moments, and days of windows and deliveries are local days."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

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
from tasks.io.events import EventStore
from tasks.io.storage import Storage
from tasks.settings import get_settings
from tasks.stages.ingestion import ingest
from tasks.stages.ingestion.base import Source
from tasks.stages.ingestion.endpoint_logs import EventLog
from tasks.stages.ingestion.formats import Declared, plan_types
from tasks.stages.ingestion.invoice_files import InvoiceFiles
from tasks.stages.ingestion.movielens import MovieLens
from tasks.stages.ingestion.sources import SOURCES
from tests.tasks.stages.ingestion.conftest import LINE, write_day

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
DAY = Window(start=date(2026, 7, 5), end=date(2026, 7, 6))
WALL = [datetime.fromisoformat(f"2026-07-05 {hour}:30") for hour in ("00", "23")]
MOMENTS = [pd.Timestamp("2026-07-04 22:30"), pd.Timestamp("2026-07-05 21:30")]


def daily(**settings: Any) -> Source:
    return SOURCES.parse({"kind": "daily_files", "cells": {"event_at": "string", "item_id": "string"}, **settings}, "test")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a source, apart from the installation."""
    made = tmp_path / "files"
    made.mkdir()
    return made


def read(source: Source, folder: Path, storage: Storage, window: Window = DAY) -> pd.DataFrame:
    ref = ingest("test", source, folder, window, storage)
    assert ref is not None
    return storage.read(ref).sort_values(c.EVENT_AT)


def as_text(path: Path, pattern: str, wall: list[datetime] = WALL) -> None:
    path.write_text("event_at,item_id\n" + "".join(f"{at.strftime(pattern)},mug\n" for at in wall))


@pytest.mark.usefixtures("spark")
def test_text_without_an_offset_is_local(folder: Path, storage: Storage) -> None:
    as_text(folder / "2026-07-05.csv", "%Y-%m-%d %H:%M:%S")
    frame = read(daily().in_days_of(BERLIN), folder, storage)
    assert frame[c.EVENT_AT].tolist() == MOMENTS
    assert set(frame[c.INGESTED_AT]) == {pd.Timestamp("2026-07-05 22:00")}, "midnight after the day, in Berlin"
    other = read(daily(time_zone="UTC").in_days_of(BERLIN), folder, storage)
    assert other[c.EVENT_AT].tolist() == [pd.Timestamp(at) for at in WALL], "the times of the source are in UTC"
    assert set(other[c.INGESTED_AT]) == {pd.Timestamp("2026-07-05 22:00")}


@pytest.mark.usefixtures("spark")
def test_text_with_an_offset_is_a_moment(folder: Path, storage: Storage) -> None:
    as_text(folder / "2026-07-05.csv", "%Y-%m-%dT%H:%M:%S+02:00")
    source = daily(time_format="yyyy-MM-dd'T'HH:mm:ssXXX").in_days_of(NEW_YORK)
    assert read(source, folder, storage)[c.EVENT_AT].tolist() == MOMENTS


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize("name", ["parquet", "orc", "avro"])
def test_times_without_an_offset_in_typed_files_are_local(name: str, folder: Path, storage: Storage) -> None:
    path = folder / f"2026-07-05.{name}"
    if name == "avro":
        kind = {"type": "long", "logicalType": "local-timestamp-micros"}
        fields = [{"name": "event_at", "type": kind}, {"name": "item_id", "type": "string"}]
        with path.open("wb") as stream:
            rows = [{"event_at": at, "item_id": "mug"} for at in WALL]
            fastavro.writer(stream, {"type": "record", "name": "r", "fields": fields}, rows)
    else:
        table = pa.table({"event_at": pa.array(WALL, pa.timestamp("us")), "item_id": ["mug", "mug"]})
        (pq if name == "parquet" else orc).write_table(table, path)
    source = daily(format=name, cells={"event_at": "timestamp", "item_id": "string"})
    assert read(source.in_days_of(BERLIN), folder, storage)[c.EVENT_AT].tolist() == MOMENTS


@pytest.mark.usefixtures("spark")
def test_dates_are_local_days(folder: Path, storage: Storage) -> None:
    table = pa.table({"event_at": pa.array([date(2026, 7, 5)], pa.date32()), "item_id": ["mug"]})
    pq.write_table(table, folder / "2026-07-05.parquet")
    source = daily(format="parquet", cells={"event_at": "date", "item_id": "string"}).in_days_of(BERLIN)
    assert read(source, folder, storage)[c.EVENT_AT].tolist() == [pd.Timestamp("2026-07-04 22:00")]


def test_files_of_two_minds_are_refused(folder: Path) -> None:
    for name, kind in (("a", pa.timestamp("us")), ("b", pa.timestamp("us", "UTC"))):
        pq.write_table(pa.table({"at": pa.array(WALL, kind)}), folder / f"{name}.parquet")
    declared = Declared({"at": "timestamp"})
    assert plan_types("parquet", [folder / "a.parquet"], declared).local == {"at"}
    assert plan_types("parquet", [folder / "b.parquet"], declared).local == set()
    with pytest.raises(SourceError, match=r"'at' is timestamp\[us\] in a\.parquet, timestamp\[us, tz=UTC\] in b\.parquet"):
        plan_types("parquet", sorted(folder.iterdir()), declared)


@pytest.mark.usefixtures("spark")
def test_invoices_are_of_local_days(folder: Path, storage: Storage) -> None:
    write_day(folder, "2026-07-05", LINE.replace("2010-12-01 08:26:00", "2026-07-05 00:30:00"))
    frame = read(InvoiceFiles().in_days_of(BERLIN), folder, storage)
    assert frame[c.EVENT_AT].tolist() == MOMENTS[:1]
    assert frame[c.INGESTED_AT].tolist() == [pd.Timestamp("2026-07-05 22:00")]
    late = ingest("late", InvoiceFiles().in_days_of(BERLIN), folder, DAY, storage, found_by=date(2026, 7, 9))
    assert late is not None
    assert storage.read(late)[c.INGESTED_AT].tolist() == [pd.Timestamp("2026-07-08 22:00")], "midnight of the finder, in Berlin"


@pytest.mark.usefixtures("spark")
def test_windows_of_moments_are_local_days(folder: Path, storage: Storage) -> None:
    """Ratings by their seconds, and events by the time at which they were stored: an hour before and after local midnight."""
    moments = [datetime(2026, 7, 4, hour, tzinfo=UTC) for hour in (21, 23)] + [datetime(2026, 7, 5, 23, tzinfo=UTC)]
    (folder / "u.data").write_text("".join(f"{n}\t1\t5\t{int(at.timestamp())}\n" for n, at in enumerate(moments)))
    rated = read(MovieLens().in_days_of(BERLIN), folder, storage)
    assert rated[[c.USER_ID, c.SOURCE_FILE]].to_numpy().tolist() == [["1", "u.data@2026-07-05"]]
    get_settings().home.mkdir(exist_ok=True)
    store = EventStore(get_settings().events_url)
    for n, at in enumerate(moments):
        event = {"event_id": f"e{n}", "event_type": "view", "event_at": at, "value": None}
        store.add_events("shop", [event | {"user_id": "ann", "item_id": "mug", "quantity": 1.0}], at)
    stored = read(EventLog(of="shop").in_days_of(BERLIN), folder / "extracts", storage)
    assert stored[[c.EVENT_ID, c.SOURCE_FILE]].to_numpy().tolist() == [["e1", "event_log@2026-07-05"]]


def test_the_key_of_a_snapshot_has_the_zones() -> None:
    plain = daily()
    assert "time_zones" not in plain.identity and daily(time_zone="UTC").identity == plain.identity
    assert plain.in_days_of(BERLIN).identity["time_zones"] == ["Europe/Berlin", "Europe/Berlin"]
    assert daily(time_zone="America/New_York").identity["time_zones"] == ["UTC", "America/New_York"]
    with pytest.raises(ConfigurationError, match="a name of the IANA time zone database, such as Europe/London, got 'Berlin'"):
        daily(time_zone="Berlin")
    with pytest.raises(ConfigurationError, match="time_zone"):
        SOURCES.parse({"kind": "movielens", "time_zone": "Europe/Berlin"}, "its times are seconds since 1970")


def test_sessions_stay_in_utc(spark: SparkSession) -> None:
    assert spark.conf.get("spark.sql.session.timeZone") == "UTC", "days.py relies on it"

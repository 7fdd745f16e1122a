"""A table of a real PostgreSQL server."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.cells import CellType
from tasks.errors import ConfigurationError, SourceError
from tasks.io.storage import Storage
from tasks.stages.ingestion import ingest
from tasks.stages.ingestion.sampling import take_sample
from tasks.stages.ingestion.sources import SOURCES
from tasks.stages.ingestion.table import Table
from tests.debian import fetch
from tests.ports import free_port
from tests.tasks.stages.ingestion.source_examples import needs_server

needs_server("table")

CELL_TYPES = get_args(CellType)

DAY = Window(start=date(2026, 1, 5), end=date(2026, 1, 6))
CELLS = {"id": "long", "at": "timestamp", "loaded": "timestamp", "customer": "string", "sku": "string", "pieces": "double"}
COLUMNS = {
    "event_id": "id",
    "event_at": "at",
    "ingested_at": "loaded",
    "user_id": "customer",
    "item_id": "sku",
    "quantity": "pieces",
}


def _programs() -> tuple[Path, dict[str, str]]:
    """Where PostgreSQL's programs are, and what they need of the environment; fetched from Debian where not installed."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not installed and (found := shutil.which("initdb")):
        installed = [Path(found).resolve()]
    if installed:
        return installed[-1].parent, {}
    root, why_not = fetch("usr/lib/postgresql/*/bin/initdb", ("postgresql",), is_default=True)
    if root is None:
        pytest.skip(f"PostgreSQL is not installed (apt-get install postgresql), and {why_not}")
    libraries = sorted({str(path.parent) for path in (root / "usr" / "lib").glob("*/*.so*")})
    return next(root.glob("usr/lib/postgresql/*/bin")), {"LD_LIBRARY_PATH": ":".join(libraries)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of our own, on a free port, as another user where we are root, whom it refuses."""
    programs, needed = _programs()
    home = tmp_path_factory.mktemp("postgres")
    settings: dict[str, Any] = {"env": {**os.environ, **needed}}
    if os.getuid() == 0:
        user = pwd.getpwnam("nobody")
        os.chown(home, user.pw_uid, user.pw_gid)
        for parent in home.parents[:3]:
            parent.chmod(parent.stat().st_mode | 0o011)
        settings |= {"user": user.pw_uid, "group": user.pw_gid}
    made = [str(programs / "initdb"), "-D", str(home / "data"), "-U", "shop", "-A", "trust", "--no-sync", "-E", "UTF8"]
    subprocess.run(made, check=True, capture_output=True, cwd=home, **settings)
    url, process = _start(programs, home, settings)
    yield url
    process.terminate()
    process.wait(timeout=60)


def _start(programs: Path, home: Path, settings: dict[str, Any]) -> tuple[str, subprocess.Popen[bytes]]:
    """The address of a started server, and its process. Another program may take a free port first: then on another port."""
    for _ in range(3):
        port = free_port()
        run = [str(programs / "postgres"), "-D", str(home / "data"), "-h", "127.0.0.1", "-p", str(port), "-k", str(home), "-F"]
        process = subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=home, **settings)
        url = f"postgresql://shop@127.0.0.1:{port}/postgres"
        deadline = time.monotonic() + 60
        while process.poll() is None:
            with contextlib.suppress(Exception):
                execute(url, "SELECT 1")
                return url, process
            if time.monotonic() > deadline:
                process.kill()
                pytest.fail("PostgreSQL did not answer within a minute")
            time.sleep(0.2)
    pytest.fail(f"PostgreSQL ended three times as it started, the last time with exit code {process.returncode}")


def execute(url: str, *statements: str) -> None:
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        connection.commit()


@pytest.fixture
def lines(server: str) -> str:
    execute(
        server,
        "DROP TABLE IF EXISTS lines",
        """CREATE TABLE lines (id bigint PRIMARY KEY, at timestamptz, loaded timestamptz NOT NULL,
                              customer text, sku text, pieces float8)""",
        """INSERT INTO lines VALUES
           (2, '2026-01-05 11:00+01', '2026-01-05 12:00Z', 'bob', 'tea', -1),
           (1, '2026-01-02 10:00Z', '2026-01-05 00:00Z', NULL, 'mug', 2),
           (3, '2026-01-05 10:00Z', '2026-01-06 00:00Z', 'eve', 'pen', 1)""",
    )
    return server


def source(url: str, **changes: Any) -> Table:
    settings = {"kind": "table", "url": url, "table": "public.lines", "order_by": ["id"], "cells": CELLS, "columns": COLUMNS}
    found = SOURCES.parse(settings | changes, "test")
    assert isinstance(found, Table)
    return found


def test_rows_that_arrived_in_the_window_are_read(lines: str, tmp_path: Path, storage: Storage, spark: SparkSession) -> None:
    sample = take_sample(lines, table="public.lines")
    assert (sample.rows, sample.types["at"]) == (3, "timestamp[us, tz=UTC]") and sorted(sample.cells["sku"]) == [
        "mug",
        "pen",
        "tea",
    ]
    ref = ingest("test", source(lines), tmp_path, DAY, storage)
    assert ref is not None
    frame = storage.read(ref).sort_values(c.EVENT_ID)
    assert frame[[c.EVENT_ID, c.USER_ID, c.ITEM_ID, c.EVENT_TYPE]].to_numpy().tolist() == [
        ["1", None, "mug", "purchase"],
        ["2", "bob", "tea", "return"],
    ]
    assert frame[c.EVENT_AT].tolist() == [pd.Timestamp("2026-01-02 10:00"), pd.Timestamp("2026-01-05 10:00")]
    assert frame[c.INGESTED_AT].tolist() == [pd.Timestamp("2026-01-05"), pd.Timestamp("2026-01-05 12:00")]
    assert set(frame[c.SOURCE_FILE]) == {"public.lines@2026-01-05"}

    assert ingest("test", source(lines), tmp_path, DAY, storage) == ref, "the same rows change nothing"
    execute(lines, "UPDATE lines SET pieces = 5 WHERE id = 1")
    corrected = ingest("test", source(lines), tmp_path, DAY, storage)
    assert corrected is not None and corrected.version != ref.version
    facts = storage.manifest(corrected)["facts"]
    assert facts["superseded"] == storage.manifest(ref)["facts"]["files"]
    assert sorted(path.name for path in tmp_path.glob("*.parquet")) == sorted([*facts["files"], *facts["superseded"]])
    empty = Window(start=date(2026, 2, 1), end=date(2026, 2, 2))
    assert ingest("test", source(lines), tmp_path, empty, storage) is None


def test_times_without_a_zone_are_local(lines: str, tmp_path: Path, storage: Storage, spark: SparkSession) -> None:
    """Both midnights of a day in Berlin. The row of the next day arrives after the window."""
    execute(
        lines,
        "DROP TABLE lines",
        "CREATE TABLE lines (id bigint, at timestamp, loaded timestamp, customer text, sku text, pieces float8)",
        """INSERT INTO lines VALUES (1, '2026-07-05 00:00', '2026-07-05 00:00', 'ann', 'mug', 1),
           (2, '2026-07-05 23:59', '2026-07-05 23:59', 'ann', 'tea', 1),
           (3, '2026-07-06 00:00', '2026-07-06 00:00', 'ann', 'pen', 1),
           (4, '2026-10-25 02:30', '2026-10-25 23:59', 'ann', 'mug', 1)""",
    )
    day = Window(start=date(2026, 7, 5), end=date(2026, 7, 6))
    local = source(lines).in_days_of(ZoneInfo("Europe/Berlin"))
    ref = ingest("test", local, tmp_path, day, storage)
    assert ref is not None
    frame = storage.read(ref).sort_values(c.EVENT_ID)
    assert frame[c.ITEM_ID].tolist() == ["mug", "tea"] and set(frame[c.SOURCE_FILE]) == {"public.lines@2026-07-05"}
    assert frame[c.EVENT_AT].tolist() == [pd.Timestamp("2026-07-04 22:00"), pd.Timestamp("2026-07-05 21:59")]
    assert frame[c.INGESTED_AT].tolist() == frame[c.EVENT_AT].tolist()
    assert '"at":"2026-07-05 23:59:00"' in frame[c.AS_IT_CAME].iloc[1], "as it came"
    ref = ingest("test", local, tmp_path, Window(start=date(2026, 10, 25), end=date(2026, 10, 26)), storage)
    assert ref is not None
    assert storage.read(ref)[c.EVENT_AT].tolist() == [pd.Timestamp("2026-10-25 00:30")], "02:30 occurs twice: the first one"


def test_a_table_that_cannot_be_read_is_an_error(lines: str, tmp_path: Path) -> None:
    execute(lines, "ALTER TABLE lines DROP COLUMN sku")
    with pytest.raises(SourceError, match=r"public.lines of postgresql://.*: no column 'sku'; the table has: id, at, loaded"):
        source(lines).files(tmp_path, DAY)
    with pytest.raises(SourceError, match="check that the server is up"):
        source("postgresql://shop@127.0.0.1:1/postgres").files(tmp_path, DAY)
    assert list(tmp_path.iterdir()) == [], "no debris"


TYPES = {
    # column -> its type in PostgreSQL, a value, the type that the YAML states, and what is extracted
    "price": ("numeric(10, 2)", "2.50", "double", 2.5),
    "price_text": ("numeric(10, 2)", "2.50", "string", "2.50"),
    "nothing": ("numeric", "'NaN'", "double", None),
    "paid": ("money", "'$2.50'", "double", 2.5),
    "paid_text": ("money", "'$2.50'", "string", "2.50"),
    "big": ("bigint", "9007199254740993", "long", 9007199254740993),
    "size": ("size", "'M'", "string", "M"),
    "code": ("char(4)", "'ab'", "string", "ab  "),
    "doc": ("jsonb", """'{"a": 1}'""", "string", '{"a": 1}'),
    "is_new": ("boolean", "true", "int", 1),
    "name": ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "string", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    "address": ("inet", "'10.0.0.1'", "string", "10.0.0.1/32"),
    "word": ("word", "'abc'", "string", "abc"),
    "took": ("interval", "'90 minutes'", "string", "01:30:00"),
    "span": ("int4range", "'[1,5)'", "string", "[1,5)"),
    "hour": ("time", "'08:30'", "string", "08:30:00"),
    "day": ("date", "'2026-01-05'", "date", date(2026, 1, 5)),
    "Mixed Case": ("text", "'x'", "string", "x"),
    "tags": ("text[]", "'{a,b}'", "list", ["a", "b"]),
    "counts": ("int[]", "'{1,2}'", "list", ["1", "2"]),
}


def test_types_of_postgresql_are_read_or_refused_by_name(server: str, tmp_path: Path) -> None:
    columns = ", ".join(f'"{name}" {kind}' for name, (kind, *_) in TYPES.items())
    values = ", ".join(value for _, value, *_ in TYPES.values())
    execute(
        server,
        "DROP TABLE IF EXISTS kinds",
        "DROP TYPE IF EXISTS size",
        "DROP DOMAIN IF EXISTS word",
        "CREATE TYPE size AS ENUM ('S', 'M')",
        "CREATE DOMAIN word AS text CHECK (length(VALUE) = 3)",
        f"CREATE TABLE kinds (id bigint, at timestamptz, {columns})",
        f"INSERT INTO kinds VALUES (1, '2026-01-05 10:00Z', {values})",
    )
    known = {name: stated for name, (_, _, stated, _) in TYPES.items() if stated in CELL_TYPES}
    settings = {"table": "kinds", "columns": {"event_at": "at", "item_id": "name"}}
    needed = {"id": "long", "at": "timestamp", "name": "string"}
    (file,) = source(server, cells={**needed, **known}, **settings).files(tmp_path, DAY)
    (row,) = pq.read_table(file.path).to_pylist()
    assert {name: row[name] for name in known} == {name: TYPES[name][3] for name in known}
    with pytest.raises(SourceError, match=r"column 'tags' is of the type text\[\], and source.cells states string; state list"):
        source(server, cells={**needed, "tags": "string"}, **settings).files(tmp_path, DAY)
    with pytest.raises(SourceError, match=r"column 'day' is of the type date32\[day\], and source.cells states double"):
        source(server, cells={**needed, "day": "double"}, **settings).files(tmp_path, DAY)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"url": "postgresql://shop:secret@localhost/shop"}, "must not contain the password"),
        ({"url": "oracle://shop@localhost/shop"}, "got the scheme 'oracle'"),
        ({"table": "lines; DROP TABLE lines"}, "table"),
        ({"order_by": ["nobody"]}, "no column nobody in cells"),
        ({"cells": {**CELLS, "loaded": "string"}}, "type must be timestamp"),
    ],
)
def test_wrong_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        source(**{"url": "postgresql://shop@localhost/shop", **changes})

"""Tables of SQLite, DuckDB and MariaDB: the same rows, types of their own, local times, and refusals by name."""

from __future__ import annotations

import contextlib
import os
import pwd
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
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
from tasks.stages.ingestion.table import Table
from tests.debian import fetch
from tests.ports import free_port

DAY = Window(start=date(2026, 1, 5), end=date(2026, 1, 6))
CELLS = {"id": "long", "at": "timestamp", "customer": "string", "sku": "string", "pieces": "double"}
COLUMNS = {"event_id": "id", "event_at": "at", "user_id": "customer", "item_id": "sku", "quantity": "pieces"}
ROWS = [
    (3, "2026-01-05 23:59:59", None, "pen", 1),
    (1, "2026-01-05 00:00:00", "ann", "mug", 2),
    (2, "2026-01-04 23:59:59", "bob", "tea", -1),
    (4, "2026-01-06 00:00:00", "bob", "tea", 1.5),
]


def table(url: str, **changes: Any) -> Table:
    settings = {"kind": "table", "url": url, "table": "lines", "order_by": ["id"], "cells": CELLS, "columns": COLUMNS}
    found = SOURCES.parse(settings | changes, "test")
    assert isinstance(found, Table)
    return found


def extract(source: Table, folder: Path, window: Window = DAY) -> pa.Table:
    """What is extracted of a window, without Spark."""
    files = source.files(folder / "extracts", window)
    assert len(files) <= 1
    return pq.read_table(files[0].path) if files else pa.table({})


def sqlite(path: Path, create: str, rows: list[tuple[Any, ...]]) -> str:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(create)
        connection.executemany(f"INSERT INTO lines VALUES ({', '.join('?' * len(rows[0]))})", rows)
        connection.commit()
    return f"sqlite:///{path}"


def duck(path: Path, *statements: str) -> str:
    with duckdb.connect(str(path)) as connection:
        for statement in statements:
            connection.execute(statement)
    return f"duckdb:///{path}"


def test_sqlite_gives_the_rows_of_a_window(tmp_path: Path, storage: Storage, spark: SparkSession) -> None:
    url = sqlite(tmp_path / "shop.db", "CREATE TABLE lines (id, at TEXT, customer TEXT, sku TEXT, pieces REAL)", ROWS)
    ref = ingest("test", table(url), tmp_path / "extracts", DAY, storage)
    assert ref is not None
    frame = storage.read(ref).sort_values(c.EVENT_ID)
    assert frame[[c.EVENT_ID, c.USER_ID, c.ITEM_ID, c.QUANTITY]].to_numpy().tolist() == [
        ["1", "ann", "mug", 2.0],
        ["3", None, "pen", 1.0],
    ]
    assert frame[c.EVENT_AT].dt.strftime("%Y-%m-%d %H:%M:%S").tolist() == ["2026-01-05 00:00:00", "2026-01-05 23:59:59"]
    assert set(frame[c.SOURCE_FILE]) == {"lines@2026-01-05"} and frame[c.ROW_ID].is_unique
    assert ingest("test", table(url), tmp_path / "extracts", DAY, storage) == ref, "the same rows change nothing"


def test_cells_of_sqlite_have_types_of_their_own(tmp_path: Path) -> None:
    """Whole numbers in one row and text in another make a column of text. Seconds since 1970 are moments."""
    seconds = 1_767_571_200  # 2026-01-05 00:00 UTC
    rows = [(1, seconds, "ann", 7, 2), (2, seconds + 60, 17, "mug", 2.5), (3, seconds - 1, "ann", "mug", 1)]
    url = sqlite(tmp_path / "shop.db", "CREATE TABLE lines (id, at, customer, sku, pieces)", rows)
    found = extract(table(url), tmp_path)
    assert found.to_pydict() == {
        "id": [1, 2],
        "at": [seconds, seconds + 60],
        "customer": ["ann", "17"],
        "sku": ["7", "mug"],
        "pieces": [2.0, 2.5],
    }


def test_windows_of_sqlite_are_local_days_where_times_have_no_offset(tmp_path: Path) -> None:
    rows = [
        (1, "2026-07-05 00:00:00", "ann", "mug", 1),
        (2, "2026-07-05T23:59:59", "ann", "mug", 1),
        (3, "2026-07-04T22:00:00Z", "ann", "mug", 1),
        (4, "2026-07-06T00:30:00+03:00", "ann", "mug", 1),
        (5, "2026-07-05T22:00:00Z", "ann", "mug", 1),
    ]
    url = sqlite(tmp_path / "shop.db", "CREATE TABLE lines (id, at, customer, sku, pieces)", rows)
    window = Window(start=date(2026, 7, 5), end=date(2026, 7, 6))
    assert extract(table(url).in_days_of(ZoneInfo("Europe/Berlin")), tmp_path, window)["id"].to_pylist() == [1, 2, 3, 4]


def test_duckdb_gives_its_types(tmp_path: Path) -> None:
    url = duck(
        tmp_path / "shop.duckdb",
        "CREATE TYPE size AS ENUM ('S', 'M')",
        """CREATE TABLE lines (id HUGEINT, "at" TIMESTAMP_NS, customer UUID, sku size, pieces DECIMAL(10, 2), big UBIGINT,
           tags VARCHAR[], paid BOOLEAN, "user" STRUCT(city VARCHAR))""",
        """INSERT INTO lines VALUES
           (170141183460469231731687303715884105727, '2026-01-05 10:00:00.000000001', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
            'M', 2.50, 18446744073709551615, ['a', 'b'], true, {'city': 'Bonn'}),
           (2, '2026-01-06 00:00:00', NULL, NULL, NULL, NULL, NULL, NULL, NULL)""",
    )
    cells = {**CELLS, "id": "string", "big": "decimal", "tags": "list", "paid": "boolean", "user.city": "string"}
    simple = {name: kind for name, kind in cells.items() if kind not in {"decimal", "list", "boolean"}}
    found = extract(table(url, cells={**simple, "big": "string", "paid": "int"}), tmp_path)
    assert {name: values[0] for name, values in found.to_pydict().items() if name != "at"} == {
        "id": "170141183460469231731687303715884105727",
        "customer": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "sku": "M",
        "pieces": Decimal("2.50"),
        "big": "18446744073709551615",
        "paid": 1,
        "user.city": "Bonn",
    }
    assert found.num_rows == 1 and found["at"].type == pa.timestamp("us")
    with pytest.raises(SourceError, match=r"column 'tags' is of the type list<.*>, and source.cells states string; state list"):
        extract(table(url, cells={**CELLS, "id": "string", "tags": "string"}), tmp_path)


def test_windows_of_duckdb_are_local_days(tmp_path: Path) -> None:
    url = duck(
        tmp_path / "shop.duckdb",
        'CREATE TABLE lines (id INTEGER, "at" TIMESTAMP, customer VARCHAR, sku VARCHAR, pieces DOUBLE)',
        "INSERT INTO lines SELECT range, TIMESTAMP '2026-07-04 23:59' + INTERVAL 1 MINUTE * range, 'a', 'b', 1 FROM range(3)",
        "INSERT INTO lines VALUES (9, '2026-07-06 00:00:00', 'a', 'b', 1)",
    )
    window = Window(start=date(2026, 7, 5), end=date(2026, 7, 6))
    assert extract(table(url).in_days_of(ZoneInfo("Europe/Berlin")), tmp_path, window)["id"].to_pylist() == [1, 2]


def test_names_are_quoted(tmp_path: Path) -> None:
    create = 'CREATE TABLE "my lines" ("order" INTEGER, "a ""b""" TEXT, at TEXT, "100%" REAL)'
    with contextlib.closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.execute(create)
        connection.execute("INSERT INTO \"my lines\" VALUES (1, 'x', '2026-01-05 10:00:00', 2)")
        connection.commit()
    cells = {"order": "int", 'a "b"': "string", "at": "timestamp", "100%": "double"}
    columns = {"event_id": "order", "item_id": 'a "b"', "event_at": "at", "quantity": "100%"}
    settings = {"table": "my lines", "order_by": ["order"], "cells": cells, "columns": columns}
    assert extract(table(f"sqlite:///{tmp_path}/shop.db", **settings), tmp_path).to_pylist() == [
        {"order": 1, 'a "b"': "x", "at": "2026-01-05 10:00:00", "100%": 2.0}
    ]


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_what_is_missing_is_named(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"shop.{kind}"
    create = 'CREATE TABLE lines (id INTEGER, "at" TIMESTAMP, customer TEXT, pieces DOUBLE)'
    url = sqlite(path, create, [(1, "", "", 1.0)]) if kind == "sqlite" else duck(path, create)
    with pytest.raises(SourceError, match=r"lines of .*: no column 'sku'; the table has: id, at, customer, pieces"):
        extract(table(url), tmp_path)
    with pytest.raises(SourceError, match=r'"other" does not exist; check source.table'):
        extract(table(url, table="other"), tmp_path)
    with pytest.raises(SourceError, match="the database does not answer; check"):
        extract(table(f"{kind}:///{tmp_path}/missing/shop.db"), tmp_path)


def test_other_databases_are_refused_when_the_yaml_is_read() -> None:
    with pytest.raises(
        ConfigurationError, match=r"expected one such as postgresql://.*sqlite:///file.db.*got the scheme 'oracle'"
    ):
        table("oracle://shop@localhost/shop")
    with pytest.raises(ConfigurationError, match="must not contain the password; set PGPASSWORD"):
        table("mysql://shop:secret@localhost/shop")


# MariaDB


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of MariaDB of our own, on a free port."""
    root, why_not = fetch("usr/sbin/mariadbd", ("mariadb-server",), is_default=True)
    if root is None:
        pytest.skip(why_not)
    home = tmp_path_factory.mktemp("mariadb")
    libraries = sorted({str(path.parent) for path in (root / "usr" / "lib").glob("*/*.so*")})
    settings: dict[str, Any] = {"env": {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)}}
    if os.getuid() == 0:
        user = pwd.getpwnam("nobody")
        os.chown(home, user.pw_uid, user.pw_gid)
        for parent in home.parents[:3]:
            parent.chmod(parent.stat().st_mode | 0o011)
        settings |= {"user": user.pw_uid, "group": user.pw_gid}
    common = ["--no-defaults", f"--datadir={home}/data", f"--lc-messages-dir={root}/usr/share/mysql", f"--tmpdir={home}"]
    (home / "data").mkdir(mode=0o777)
    (home / "data").chmod(0o777)
    made = [str(root / "usr/sbin/mariadbd"), *common, "--bootstrap", "--skip-grant-tables"]
    script = "CREATE DATABASE mysql;\nCREATE DATABASE shop;\n"
    subprocess.run(made, check=True, capture_output=True, input=script, text=True, timeout=60, cwd=home, **settings)
    port = free_port()
    run = [*made[:1], *common, "--skip-grant-tables", f"--port={port}", f"--socket={home}/s", "--bind-address=127.0.0.1"]
    process = subprocess.Popen(
        [*run, "--skip-networking=0"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=home, **settings
    )
    url = f"mysql://shop@127.0.0.1:{port}/shop"
    deadline = time.monotonic() + 60
    try:
        while True:
            try:
                execute(url, "SELECT 1")
                break
            except Exception:
                assert process.poll() is None and time.monotonic() < deadline, "MariaDB did not answer within a minute"
                time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=60)


def execute(url: str, *statements: str) -> None:
    import pymysql

    port = int(url.rsplit(":", 1)[1].split("/", maxsplit=1)[0])
    with pymysql.connect(host="127.0.0.1", port=port, user="shop", database="shop") as connection:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        connection.commit()


def test_mariadb_gives_its_types(server: str, tmp_path: Path) -> None:
    execute(
        server,
        "SET sql_mode = ''",
        """CREATE OR REPLACE TABLE `lines` (id BIGINT UNSIGNED, at DATETIME(6), customer VARCHAR(20) CHARACTER SET utf8mb4,
           sku ENUM('mug', 'tea'), pieces DECIMAL(10, 2), loaded TIMESTAMP,
           paid TINYINT(1), day DATE, hour TIME, raw BINARY(4))""",
        """INSERT INTO `lines` VALUES (18446744073709551615, '2026-01-05 10:00:00.5', 'Zoë 🙂', 'mug', 2.50,
           FROM_UNIXTIME(1767607200), 1, '2026-01-05', '08:30:00', X'FF00FF00'),
           (2, '2026-01-05 11:00:00', NULL, 'tea', 1, FROM_UNIXTIME(1767607200), 0, '0000-00-00', NULL, NULL),
           (3, '2026-01-06 00:00:00', 'eve', 'tea', 1, FROM_UNIXTIME(1767607200), 0, NULL, NULL, NULL)""",
    )
    cells = {**CELLS, "id": "string", "loaded": "timestamp", "paid": "int", "day": "date", "hour": "string", "raw": "string"}
    found = extract(table(server, cells=cells), tmp_path)
    assert found["id"].to_pylist() == ["2", "18446744073709551615"]
    assert found["customer"].to_pylist() == [None, "Zoë 🙂"] and found["sku"].to_pylist() == ["tea", "mug"]
    assert found["pieces"].to_pylist() == [1.0, 2.5] and found["paid"].to_pylist() == [0, 1]
    assert found["at"].type == pa.timestamp("us") and found["at"].to_pylist()[1].isoformat() == "2026-01-05T10:00:00.500000"
    assert found["loaded"].type == pa.timestamp("us", "UTC"), "a TIMESTAMP is a moment, a DATETIME is local"
    assert found["loaded"].to_pylist()[0].isoformat() == "2026-01-05T10:00:00+00:00"
    assert found["day"].to_pylist() == [date(1, 1, 1), date(2026, 1, 5)], "a day that does not exist is that of no year"
    assert found["hour"].to_pylist() == [None, "8:30:00"] and found["raw"].to_pylist() == [None, "ff00ff00"]


def test_windows_of_mariadb_are_local_days(server: str, tmp_path: Path) -> None:
    execute(
        server,
        "CREATE OR REPLACE TABLE `lines` (id INT, at DATETIME, customer TEXT, sku TEXT, pieces DOUBLE, loaded TIMESTAMP NULL)",
        "INSERT INTO `lines` VALUES (1, '2026-07-05 00:00:00', 'a', 'b', 1, FROM_UNIXTIME(1783202400)), "
        "(2, '2026-07-05 23:59:59', 'a', 'b', 1, FROM_UNIXTIME(1783288799)), "
        "(3, '2026-07-06', 'a', 'b', 1, FROM_UNIXTIME(1783288800))",
    )
    window = Window(start=date(2026, 7, 5), end=date(2026, 7, 6))
    berlin = ZoneInfo("Europe/Berlin")
    assert extract(table(server).in_days_of(berlin), tmp_path, window)["id"].to_pylist() == [1, 2]
    by_moment = table(server, cells={**CELLS, "loaded": "timestamp"}, columns={**COLUMNS, "ingested_at": "loaded"})
    assert extract(by_moment.in_days_of(berlin), tmp_path, window)["id"].to_pylist() == [1, 2]


def test_mariadb_names_what_is_wrong(server: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r'"shop.other" does not exist; check source.table'):
        extract(table(server, table="other"), tmp_path)
    with pytest.raises(SourceError, match="the database does not answer; check that the server is up"):
        extract(table("mysql://shop@127.0.0.1:1/shop"), tmp_path)

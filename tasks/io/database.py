"""Seam: one SQL database of the installation, SQLite on one machine and PostgreSQL in production."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, MetaData, create_engine, event, inspect, text
from sqlalchemy.exc import DatabaseError

BUSY_MS = 10_000  # SQLite: how long a writer waits for another one


@lru_cache(maxsize=32)
def open_database(url: str, tables: MetaData) -> Engine:
    """An engine whose database has `tables` with all their columns; looked at once a process, one engine a URL."""
    engine = _engine(url)
    try:
        _complete_tables(engine, tables)
    except DatabaseError:  # another process that starts now was faster: what is there is looked at anew
        _complete_tables(engine, tables)
    return engine


@lru_cache(maxsize=8)
def _engine(url: str) -> Engine:
    if url.startswith("sqlite:///"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, pool_pre_ping=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _complete_tables(engine: Engine, tables: MetaData) -> None:
    """Make what an installation of an earlier version, or a new one, does not have yet: tables, and nullable columns."""
    tables.create_all(engine)
    for table in tables.tables.values():
        present = {column["name"] for column in inspect(engine).get_columns(table.name)}
        for column in table.columns:
            if column.name not in present:
                kind = column.type.compile(engine.dialect)
                with engine.begin() as connection:
                    connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}"))


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    connection.execute("PRAGMA synchronous=FULL")

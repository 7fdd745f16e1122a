"""Adapter: the SQL database of the installation. SQLite on one machine, PostgreSQL in production.

Every adapter that keeps rows defines its tables on `tables`. All databases of an installation have the same schema, which
Alembic's revisions in `tasks/io/migrations` create and change. On SQLite the events have a file of their own, so that file
and the ledger's each have tables that stay empty.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, NullPool, create_engine, event, inspect, text

from tasks.errors import ConfigurationError

BUSY_MS = 10_000  # SQLite: how long a writer waits for another one
MIGRATIONS = Path(__file__).parent / "migrations"
SCHEMA = max(path.name[1:5] for path in (MIGRATIONS / "versions").glob("m[0-9]*.py"))  # the revision that this code needs
VERSION_TABLE = "titleholder_schema"  # not Alembic's default, which MLflow and Airflow use in theirs
CONNECT_SECONDS, STATEMENT_SECONDS = 5, 15  # how long a call waits for a PostgreSQL server
_POSTGRES_LOCK = 7_139_208_450  # any number that no other program takes for its own advisory lock

tables = MetaData()
_migrating = threading.Lock()  # Alembic's context is one per process


@lru_cache(maxsize=32)
def open_database(url: str) -> Engine:
    """An engine for a database that has the schema of this code. One engine a URL, checked once a process.

    A database with an older schema, or with none, is migrated. Processes that start at once wait for each other.

    Raises
    ------
    ConfigurationError : the database has a newer schema than this code knows.
    """
    if url.startswith("sqlite:///"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, pool_pre_ping=True, **_time_limits(url))
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    with engine.connect() as connection:
        found = _schema_of(connection)
    if found > SCHEMA:
        raise ConfigurationError(
            f"the database at {engine.url.render_as_string()} has schema {found}, and this code knows schemas up to {SCHEMA}: "
            "run the newer code, or restore the database from the backup that was made before the upgrade"
        )
    if found < SCHEMA:
        _migrate(engine)
    return engine


def _time_limits(url: str) -> dict[str, Any]:
    """Arguments for an engine with which no call waits for ever for a PostgreSQL server that is frozen or out of reach.

    Migrations have none: they may take long.
    """
    if not url.startswith("postgresql"):
        return {}
    limits = {
        "connect_timeout": CONNECT_SECONDS,
        "tcp_user_timeout": CONNECT_SECONDS * 1000,  # until data that the server does not confirm count as lost
        "keepalives_idle": CONNECT_SECONDS,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "options": f"-c statement_timeout={STATEMENT_SECONDS * 1000} -c lock_timeout={STATEMENT_SECONDS * 1000}",
    }
    return {"connect_args": limits, "pool_timeout": STATEMENT_SECONDS}


def _schema_of(connection: Connection) -> str:
    """The revision of a database; empty where it has none."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return ""
    return str(connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar() or "")  # noqa: S608  # a constant


def _migrate(engine: Engine) -> None:
    """Bring a database to the schema of this code in one transaction: an interrupted migration changes nothing."""
    from alembic import command  # imported here: most processes find the schema as it should be
    from alembic.config import Config

    alone = create_engine(engine.url, poolclass=NullPool)
    if alone.dialect.name == "sqlite":
        event.listen(alone, "connect", _prepare_sqlite_migration)
        event.listen(alone, "begin", _begin_immediate)
    with _migrating, alone.begin() as connection:
        if alone.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRES_LOCK})
        if _schema_of(connection) >= SCHEMA:  # another process was faster
            return
        config = Config(attributes={"connection": connection, "version_table": VERSION_TABLE})
        config.set_main_option("script_location", "tasks.io:migrations")
        command.upgrade(config, SCHEMA)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    connection.execute("PRAGMA synchronous=FULL")


def _prepare_sqlite_migration(connection: Any, record: Any) -> None:
    """Python's driver begins transactions on its own, and too late for changes of tables; here we begin them."""
    connection.isolation_level = None
    _prepare_sqlite(connection, record)


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")

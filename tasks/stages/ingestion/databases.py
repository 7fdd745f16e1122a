"""Databases of a `table`: how each quotes, compares times with a window, and gives its rows to Arrow."""

from __future__ import annotations

import itertools
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from tasks.stages.ingestion.cells import ROWS_OF_A_GROUP
from tasks.stages.ingestion.physical import LISTS, NUMBERS

TYPES_OF_TIMES = ("timestamp", "date")


@dataclass(frozen=True)
class Query:
    """The rows of a table that arrived in a window.

    Parameters
    ----------
    table : its name, with a dot after each schema.
    cells : column -> stated type, of the columns that are read.
    arrival : the column that assigns rows to windows.
    start, end : the moments of the window.
    zone : whose local times those without an offset are.
    """

    table: str
    cells: Mapping[str, str]
    arrival: str
    order_by: Sequence[str]
    start: datetime
    end: datetime
    zone: ZoneInfo

    def local(self, moment: datetime) -> str:
        """A moment as a local time without an offset."""
        return moment.astimezone(self.zone).strftime("%Y-%m-%d %H:%M:%S")


class TableSample(NamedTuple):
    """Some rows of a table.

    rows : a table of Arrow. of_rows : of how many. is_typed : whether its columns have the types of the database; otherwise all
    cells are text.
    """

    rows: Any
    of_rows: int
    is_typed: bool


class Database(ABC):
    """One kind of database."""

    quote_mark: ClassVar[str] = '"'

    def __init__(self, url: str) -> None:
        self.url = url

    def quote(self, name: str) -> str:
        mark = self.quote_mark
        return f"{mark}{name.replace(mark, mark * 2)}{mark}"

    def quote_table(self, name: str) -> str:
        """A name of several parts, such as a table's with its schema."""
        return ".".join(self.quote(part) for part in name.split("."))

    def statement(self, query: Query, columns: Mapping[str, str], condition: str) -> str:
        """`columns`: name -> expression. The names come from the YAML and are quoted. Values are parameters."""
        shown = ", ".join(f"{expression} AS {self.quote(name)}" for name, expression in columns.items())
        order = ", ".join(self.quote(name) for name in query.order_by)
        return f"SELECT {shown} FROM {self.quote_table(query.table)} WHERE {condition} ORDER BY {order}"  # noqa: S608  see above

    @abstractmethod
    def connect(self) -> AbstractContextManager[Any]:
        """A connection of the database's driver, which is closed at the end of the context."""

    @abstractmethod
    def read(self, query: Query) -> AbstractContextManager[tuple[Any, Any]]:
        """A context that gives an Arrow schema and the record batches of the rows."""

    def sample(self, table: str, rows: int) -> TableSample:
        """About so many rows from all parts of a table, as text: every so many-th one of those that the driver gives."""
        import pyarrow as pa

        with self.connect() as connection, closing(connection.cursor()) as cursor:
            cursor.execute(self._count(table))
            of_rows = int(cursor.fetchone()[0])
            cursor.execute(f"SELECT * FROM {self.quote_table(table)}")  # noqa: S608  quoted
            names = [column[0] for column in cursor.description]
            kept = list(itertools.islice(cursor, 0, None, max(of_rows // rows, 1)))
        columns = zip(*kept, strict=True) if kept else ([] for _ in names)
        texts = {
            name: pa.array([None if cell is None else str(cell) for cell in column], pa.string())
            for name, column in zip(names, columns, strict=True)
        }
        return TableSample(pa.table(texts), of_rows, is_typed=False)

    def _count(self, table: str) -> str:
        return f"SELECT count(*) FROM {self.quote_table(table)}"  # noqa: S608  quoted

    def _draw(self, table: str, rows: int, of_rows: int) -> str:
        """A statement for rows by chance: twice as many as are wanted, so that the limit cuts only the rest."""
        share = f"{min(1.0, 2 * rows / max(of_rows, 1)):.9f}"
        return f"SELECT * FROM {self.quote_table(table)} WHERE random() < {share} LIMIT {rows:d}"  # noqa: S608  quoted


class PostgreSQL(Database):
    """Over ADBC. libpq reads the password from PGPASSWORD, PGPASSFILE or a service."""

    # What Arrow's driver gives in a type of its own. Other types are read as their text.
    _PLAIN = frozenset(
        ("bool", "int2", "int4", "int8", "float4", "float8", "text", "varchar", "bpchar", "char", "name", "bytea")
    ) | {"timestamp", "timestamptz", "date", "time", "json", "jsonb"}

    def connect(self) -> AbstractContextManager[Any]:
        from adbc_driver_postgresql import dbapi

        connection: AbstractContextManager[Any] = dbapi.connect(self.url)
        return connection

    def sample(self, table: str, rows: int) -> TableSample:
        """Rows by chance, with their types."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(self._count(table))
            of_rows = int(cursor.fetchone()[0])
            cursor.execute(self._draw(table, rows, of_rows))
            return TableSample(cursor.fetch_arrow_table(), of_rows, is_typed=True)

    @contextmanager
    def read(self, query: Query) -> Iterator[tuple[Any, Any]]:
        with self.connect() as connection, connection.cursor() as cursor:
            # The server compares times without a zone with the window in this one.
            cursor.execute(f"SET TIME ZONE '{query.zone.key}'")
            cursor.execute(
                "SELECT a.attname::text, coalesce(b.typname, t.typname)::text, t.typcategory::text, "
                "format_type(a.atttypid, a.atttypmod)::text FROM pg_attribute a "
                "JOIN pg_type t ON a.atttypid = t.oid LEFT JOIN pg_type b ON t.typtype = 'd' AND t.typbasetype = b.oid "
                "WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 AND NOT a.attisdropped",
                parameters=(self.quote_table(query.table),),
            )
            types = {name: found for name, *found in cursor.fetchall()}
            refuse_missing(query, list(types))
            columns = {name: self._expression(name, stated, *types[name]) for name, stated in query.cells.items()}
            # The moments are parameters of text: for those that are timestamps the driver sets the session to UTC, in which
            # the server would then read local times.
            arrival = self.quote(query.arrival)
            condition = f"{arrival} >= $1::text::timestamptz AND {arrival} < $2::text::timestamptz"
            moments = (query.start.isoformat(), query.end.isoformat())
            cursor.execute(self.statement(query, columns, condition), parameters=moments)
            reader: Any = cursor.fetch_record_batch()
            yield reader.schema, reader

    def _expression(self, name: str, stated: str, kind: str, category: str, shown: str) -> str:
        column = self.quote(name)
        if category == "A":
            if stated not in LISTS:
                raise ValueError(
                    f"column {name!r} is of the type {shown}, and source.cells states {stated}; state list or ignore"
                )
            return f"{column}::text[]"
        if kind in self._PLAIN:
            return column
        if kind in {"numeric", "money"} and stated in NUMBERS:
            return f"{column}::numeric::float8"
        return f"{column}::numeric::text" if kind == "money" else f"{column}::text"


class DuckDB(Database):
    """A file of DuckDB, opened for reading. DuckDB gives Arrow by itself."""

    def connect(self) -> AbstractContextManager[Any]:
        import duckdb

        return duckdb.connect(str(file_of(self.url)), read_only=True)

    def sample(self, table: str, rows: int) -> TableSample:
        """Rows by chance, with their types."""
        with self.connect() as connection:
            of_rows = int(connection.execute(self._count(table)).fetchone()[0])
            drawn = connection.execute(self._draw(table, rows, of_rows)).to_arrow_reader(ROWS_OF_A_GROUP)
            return TableSample(drawn.read_all(), of_rows, is_typed=True)

    @contextmanager
    def read(self, query: Query) -> Iterator[tuple[Any, Any]]:
        with self.connect() as connection:
            connection.execute("SET TimeZone = ?", [query.zone.key])
            described = connection.execute(f"DESCRIBE {self.quote_table(query.table)}").fetchall()
            types = {row[0]: row[1] for row in described}
            parts = {name for name in query.cells if name not in types and name.partition(".")[0] in types}
            refuse_missing(query, [*types, *parts])
            columns = {
                name: self.quote_table(name) if name in parts else self._expression(name, stated, types[name])
                for name, stated in query.cells.items()
            }
            arrival = f"CAST({self.quote(query.arrival)} AS TIMESTAMPTZ)"
            condition = f"{arrival} >= CAST(? AS TIMESTAMPTZ) AND {arrival} < CAST(? AS TIMESTAMPTZ)"
            moments = [query.start.isoformat(), query.end.isoformat()]
            reader: Any = connection.execute(self.statement(query, columns, condition), moments).to_arrow_reader(
                ROWS_OF_A_GROUP
            )
            yield reader.schema, reader

    def _expression(self, name: str, stated: str, kind: str) -> str:
        """Numbers wider than Spark's are doubles, or text. Enums, UUIDs, intervals and bits are text."""
        column = self.quote(name)
        if kind in {"HUGEINT", "UHUGEINT", "BIGNUM", "VARINT"}:
            return f"CAST({column} AS DOUBLE)" if stated in NUMBERS else f"CAST({column} AS VARCHAR)"
        is_text = kind in {"UUID", "INTERVAL", "BIT", "JSON", "TIME WITH TIME ZONE"} or kind.startswith("ENUM")
        return f"CAST({column} AS VARCHAR)" if is_text else column


class SQLite(Database):
    """A file of SQLite, opened for reading. Each cell has a type of its own: a column with any text is text."""

    def connect(self) -> AbstractContextManager[Any]:
        import sqlite3

        return closing(sqlite3.connect(f"{file_of(self.url).resolve().as_uri()}?mode=ro", uri=True))

    @contextmanager
    def read(self, query: Query) -> Iterator[tuple[Any, Any]]:
        import pyarrow as pa

        with self.connect() as connection:
            described = connection.execute(f"SELECT * FROM {self.quote_table(query.table)} LIMIT 0").description  # noqa: S608  quoted
            refuse_missing(query, [column[0] for column in described])
            condition, moments = self._condition(query)
            kinds = [f"group_concat(DISTINCT typeof({self.quote(name)}))" for name in query.cells]
            shown = ", ".join(kinds)
            of_rows = f"SELECT {shown} FROM {self.quote_table(query.table)} WHERE {condition}"  # noqa: S608  quoted
            found = connection.execute(of_rows, moments).fetchone()
            schema = pa.schema([(name, self._type(one)) for name, one in zip(query.cells, found, strict=True)])
            cursor = connection.execute(
                self.statement(query, {name: self.quote(name) for name in query.cells}, condition), moments
            )
            yield schema, batches_of(cursor, schema)

    def _condition(self, query: Query) -> tuple[str, list[Any]]:
        """Times of text with an offset, and whole numbers, which are seconds since 1970, are moments. Other text is local."""
        column = self.quote(query.arrival)
        has_offset = f"({column} GLOB '*Z' OR {column} GLOB '*[+-][0-9][0-9]:[0-9][0-9]')"
        seconds = f"CASE typeof({column}) WHEN 'text' THEN unixepoch({column}) ELSE {column} END"
        is_moment = f"(typeof({column}) <> 'text' OR {has_offset})"
        inside = f"({seconds} >= ? AND {seconds} < ?)"
        wall = [int(datetime.fromisoformat(query.local(at)).replace(tzinfo=UTC).timestamp()) for at in (query.start, query.end)]
        moments = [int(at.timestamp()) for at in (query.start, query.end)]
        return f"(({is_moment} AND {inside}) OR (NOT {is_moment} AND {inside}))", [*moments, *wall]

    @staticmethod
    def _type(found: str | None) -> Any:
        import pyarrow as pa

        kinds = set((found or "").split(",")) - {"null", ""}
        if not kinds:
            return pa.null()
        if kinds <= {"integer", "real"}:
            return pa.float64() if "real" in kinds else pa.int64()
        return pa.binary() if kinds == {"blob"} else pa.string()


class MySQL(Database):
    """MySQL and MariaDB by PyMySQL. The password is read from MYSQL_PWD or ~/.my.cnf."""

    quote_mark = "`"

    def connect(self) -> AbstractContextManager[Any]:
        """A connection whose session is in UTC."""
        import pymysql

        parts, options = urlsplit(self.url), Path("~/.my.cnf").expanduser()
        connection: AbstractContextManager[Any] = pymysql.connect(
            host=parts.hostname or "localhost",
            port=parts.port or 3306,
            user=unquote(parts.username) if parts.username else None,
            password=os.environ.get("MYSQL_PWD", ""),
            database=unquote(parts.path.strip("/")),
            charset="utf8mb4",
            read_default_file=str(options) if options.is_file() else None,
            init_command="SET time_zone = '+00:00'",
        )
        return connection

    @contextmanager
    def read(self, query: Query) -> Iterator[tuple[Any, Any]]:
        import pyarrow as pa
        from pymysql.cursors import SSCursor

        with self.connect() as connection, connection.cursor(SSCursor) as cursor:
            cursor.execute(f"SELECT * FROM {self.quote_table(query.table)} LIMIT 0")  # noqa: S608  quoted
            described = {column[0]: column for column in cursor.description}
            cursor.fetchall()
            refuse_missing(query, list(described))
            schema = pa.schema([(name, self._type(described[name], stated)) for name, stated in query.cells.items()])
            is_moment = schema.field(query.arrival).type == pa.timestamp("us", tz="UTC")
            zone = ZoneInfo("UTC") if is_moment else query.zone
            moments = [at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S") for at in (query.start, query.end)]
            arrival = self.quote(query.arrival)
            columns = {name: self.quote(name) for name in query.cells}
            statement = self.statement(query, columns, f"{arrival} >= %s AND {arrival} < %s")
            cursor.execute(statement, moments)
            yield schema, batches_of(cursor, schema)

    @staticmethod
    def _type(described: Sequence[Any], stated: str) -> Any:
        import pyarrow as pa
        from pymysql.constants import FIELD_TYPE as KIND

        kind, scale = described[1], described[5]
        whole = {KIND.TINY, KIND.SHORT, KIND.LONG, KIND.INT24, KIND.YEAR}
        if kind in whole:
            return pa.int64()
        if kind == KIND.LONGLONG:  # may be unsigned
            return pa.decimal128(20, 0)
        if kind in {KIND.FLOAT, KIND.DOUBLE}:
            return pa.float64()
        if kind in {KIND.DECIMAL, KIND.NEWDECIMAL}:
            return pa.float64() if stated in NUMBERS and stated != "decimal" else pa.decimal128(38, min(scale, 38))
        times = {KIND.DATETIME: pa.timestamp("us"), KIND.TIMESTAMP: pa.timestamp("us", tz="UTC"), KIND.DATE: pa.date32()}
        return times.get(kind, pa.string())


_NEVER = datetime(1, 1, 1)  # noqa: DTZ001  what stands for a time that does not exist; no bound accepts it
DATABASES: dict[str, type[Database]] = {
    "postgresql": PostgreSQL,
    "postgres": PostgreSQL,
    "duckdb": DuckDB,
    "sqlite": SQLite,
    "mysql": MySQL,
    "mariadb": MySQL,
}


def file_of(url: str) -> Path:
    """The file of an address such as sqlite:///shop.db (relative) or sqlite:////data/shop.db."""
    return Path(unquote(urlsplit(url).path)[1:])


def refuse_missing(query: Query, there: Sequence[str]) -> None:
    """Refuse columns that a table lacks.

    Raises
    ------
    ValueError : their names, and those of the table.
    """
    if missing := [name for name in dict.fromkeys([*query.cells, *query.order_by]) if name not in there]:
        raise ValueError(f"no column {', '.join(map(repr, missing))}; the table has: {', '.join(there)[:500]}")


def batches_of(cursor: Any, schema: Any) -> Iterator[Any]:
    """The rows of a cursor as record batches."""
    import pyarrow as pa

    while rows := cursor.fetchmany(ROWS_OF_A_GROUP):
        columns = [
            pa.array([_as(value, field.type) for value in values], field.type)
            for field, values in zip(schema, zip(*rows, strict=True), strict=True)
        ]
        yield pa.record_batch(columns, schema=schema)


def _as(value: Any, target: Any) -> Any:
    """A value of a driver as Arrow takes it. A time that does not exist, such as 0000-00-00, is that of no year."""
    import pyarrow as pa

    if value is None:
        return None
    if pa.types.is_string(target):
        return value.hex() if isinstance(value, bytes) and not _is_utf8(value) else _show(value)
    if pa.types.is_float64(target):
        return float(value)
    if isinstance(value, str) and (pa.types.is_timestamp(target) or pa.types.is_date(target)):
        found = re.match(r"[1-9]\d{3}-\d\d-\d\d( \d\d:\d\d:\d\d(\.\d+)?)?$", value)
        try:
            value = datetime.fromisoformat(value) if found else _NEVER
        except ValueError:
            value = _NEVER
        return value.date() if pa.types.is_date(target) else value
    return value


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _show(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)

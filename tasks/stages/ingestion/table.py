"""A table of a PostgreSQL database, read over Arrow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.calendar import UTC_ZONE, start_of_day
from tasks.errors import SourceError
from tasks.io.days import local_date, midnight_of
from tasks.stages.ingestion.base import SourceFile
from tasks.stages.ingestion.cells import ROWS_OF_A_GROUP, arrow_schema
from tasks.stages.ingestion.extract import Extracted
from tasks.stages.ingestion.formats import find_local_times, local_times_of_arrow
from tasks.stages.ingestion.mapped import Mapped

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

NAME_OF_TABLE = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$"


class Table(Mapped, Extracted):
    """Rows whose time of arrival (`ingested_at`, otherwise `event_at`) lies in the window.

    The password is never in the YAML. libpq reads it from PGPASSWORD, PGPASSFILE or a service.

    Attributes
    ----------
    url : postgresql://user@host:port/database
    table : the table, with its schema where that is not the first of the search path.
    order_by : columns that identify a row. They order an extract, so that the same rows give the same file.
    """

    kind: Literal["table"] = "table"
    url: str
    table: str = Field(pattern=NAME_OF_TABLE)
    order_by: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        parts = urlsplit(self.url)
        if parts.scheme not in {"postgresql", "postgres"} or not parts.path.strip("/"):
            raise ValueError(f"url: expected postgresql://user@host:port/database, got the scheme '{parts.scheme}'")
        if parts.password or "password" in parts.query:
            raise ValueError("url: must not contain the password; set PGPASSWORD or PGPASSFILE")
        if missing := [name for name in self.order_by if name not in self.cells]:
            raise ValueError(f"order_by: no column {', '.join(missing)} in cells; allowed: {', '.join(self.cells)}")
        if self.types.get(self._arrival) not in {"timestamp", "date"}:
            column = self._arrival or "ingested_at or event_at"
            raise ValueError(f"cells: {column} assigns rows to windows; its type must be timestamp or date")
        return self

    @property
    def _arrival(self) -> str:
        return self.cell_of(c.INGESTED_AT) or self.cell_of(c.EVENT_AT) or ""

    @property
    def may_deliver_late(self) -> bool:
        return self.cell_of(c.INGESTED_AT) is None

    def read(self, spark: SparkSession, files: list[SourceFile], window: Window) -> DataFrame:
        from pyspark.sql import functions as F

        frame = self.open(spark, files, self.schema_of_cells)
        local = find_local_times("parquet", [file.path for file in files])
        arrived = local_date(self.moment_of(self._arrival, local), self.days_of)
        # Naming each day lets a longer window read it again, as daily files allow.
        day = F.concat(F.lit(f"{self.table}@"), arrived.cast("string"))
        known_at = midnight_of(F.date_add(arrived, 1), self.days_of)
        return self.to_canonical(frame.withColumn(c.SOURCE_FILE, day), known_at, local=local)

    def _query(self) -> str:
        names = ", ".join(f'"{name}"' for name in self.cells)
        order = ", ".join(f'"{name}"' for name in self.order_by)
        table = ".".join(f'"{part}"' for part in self.table.split("."))
        # The names come from the YAML and are checked or quoted. The moments are parameters of text: for those that are
        # timestamps the driver sets the session to UTC, in which the server would then read local times.
        inside = f'"{self._arrival}" >= $1::text::timestamptz AND "{self._arrival}" < $2::text::timestamptz'
        return f"SELECT {names} FROM {table} WHERE {inside} ORDER BY {order}"  # noqa: S608

    def extract(self, window: Window, path: Path) -> int:
        import pyarrow.parquet as pq
        from adbc_driver_manager import Error
        from adbc_driver_postgresql import dbapi

        start, end = (start_of_day(day, self.days_of).isoformat() for day in (window.start, window.end))
        try:
            with dbapi.connect(self.url) as connection, connection.cursor() as cursor:
                # The server compares times without a zone with the window in this one.
                cursor.execute(f"SET TIME ZONE '{self.times_of.key}'")
                cursor.execute(self._query(), parameters=(start, end))
                reader = cursor.fetch_record_batch()
                types, rows = arrow_schema({name: self.types[name] for name in reader.schema.names}), 0
                if self.times_of != UTC_ZONE:
                    types = _keep_local_times(types, reader.schema)
                with pq.ParquetWriter(path, types) as writer:
                    for table in _regroup(reader):
                        writer.write_table(table.cast(types))
                        rows += table.num_rows
                return rows
        except Error as error:
            raise SourceError(
                f"source table: {self.table} of {self.url} cannot be read: {str(error)[:300]}; check that the server "
                "is up, that PGPASSWORD or PGPASSFILE has the password, and that the table has the columns of source.cells"
            ) from error


def _keep_local_times(declared: Any, found: Any) -> Any:
    """The declared types, in which times that were found without a zone have none."""
    import pyarrow as pa

    local = {name for name in local_times_of_arrow(found) if pa.types.is_timestamp(declared.field(name).type)}
    return pa.schema([(one.name, pa.timestamp("us") if one.name in local else one.type) for one in declared])


def _regroup(reader: Any) -> Iterator[Any]:
    """The same rows in tables of equal size, so that the file does not depend on the batches of the server."""
    import pyarrow as pa

    kept: list[Any] = []
    waiting = 0
    for batch in reader:
        kept.append(batch)
        waiting += batch.num_rows
        while waiting >= ROWS_OF_A_GROUP:
            whole = pa.Table.from_batches(kept, reader.schema)
            yield whole.slice(0, ROWS_OF_A_GROUP).combine_chunks()
            kept = whole.slice(ROWS_OF_A_GROUP).to_batches()
            waiting -= ROWS_OF_A_GROUP
    if waiting:
        yield pa.Table.from_batches(kept, reader.schema).combine_chunks()

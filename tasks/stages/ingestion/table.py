"""A table of a database, read over Arrow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.calendar import start_of_day
from tasks.errors import SourceError
from tasks.io.days import midnight_of
from tasks.reasons import translated
from tasks.stages.ingestion.base import FILE, SourceFile
from tasks.stages.ingestion.cells import ROWS_OF_A_GROUP
from tasks.stages.ingestion.databases import DATABASES, TYPES_OF_TIMES, Query
from tasks.stages.ingestion.extract import Extracted
from tasks.stages.ingestion.formats import Declared, plan_types
from tasks.stages.ingestion.mapped import Mapped
from tasks.stages.ingestion.physical import as_delivered, find_type, spark_type, unite

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DAY = f"{c.OWN}day"
NAME_OF_TABLE = r"^[\w$ -]+(\.[\w$ -]+){0,2}$"
EXAMPLES = "postgresql://user@host:port/database, mysql://user@host:port/database, sqlite:///file.db, duckdb:///file.duckdb"


class Table(Mapped, Extracted):
    """Rows whose time of arrival (`ingested_at`, otherwise `event_at`) lies in the window.

    The password is never in the YAML: see `databases`.

    Attributes
    ----------
    url : the database. Its scheme is one of `DATABASES`.
    table : the table, with its schema where that is not the first of the search path.
    order_by : columns that identify a row. They order an extract, so that the same rows give the same file.
    """

    reader_version = 2
    kind: Literal["table"] = "table"
    url: str
    table: str = Field(pattern=NAME_OF_TABLE)
    order_by: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        parts = urlsplit(self.url)
        if parts.scheme not in DATABASES or not parts.path.strip("/"):
            raise ValueError(f"url: expected one such as {EXAMPLES}, got the scheme '{parts.scheme}'")
        if parts.password or "password" in parts.query:
            raise ValueError(
                "url: must not contain the password; set PGPASSWORD or PGPASSFILE for PostgreSQL, MYSQL_PWD for MySQL"
            )
        if missing := [name for name in self.order_by if name not in self.cells]:
            raise ValueError(f"order_by: no column {', '.join(missing)} in cells; allowed: {', '.join(self.cells)}")
        if self.types.get(self._arrival) not in TYPES_OF_TIMES:
            column = self._arrival or "ingested_at or event_at"
            raise ValueError(f"cells: {column} assigns rows to windows; its type must be timestamp or date")
        return self

    @property
    def _arrival(self) -> str:
        """The column of the table that assigns rows to windows."""
        return self.cell_of(self.arrival) or ""

    @property
    def may_deliver_late(self) -> bool:
        return self.cell_of(c.INGESTED_AT) is None

    def read(self, spark: SparkSession, files: list[SourceFile], window: Window) -> DataFrame:
        from pyspark.sql import functions as F

        paths = [file.path for file in files]
        plan = plan_types("parquet", paths, self._declared)
        schema = ", ".join(f"`{name}` {spark_type(one)}" for name, one in plan.types.items())
        frame, local = self.open(spark, files, schema), plan.local
        # The database compared the times with the window. Where it reads one that we do not, the row is of the first day.
        frame = self.add_day(frame, DAY, local)
        arrived = F.coalesce(F.col(DAY), F.lit(window.start.isoformat()).cast("date"))
        # Naming each day lets a longer window read it again, as daily files allow.
        day = F.concat(F.lit(f"{self.table}@"), arrived.cast("string"))
        known_at = midnight_of(F.date_add(arrived, 1), self.days_of)
        return self.to_canonical(frame.withColumn(FILE, day), known_at, local=local)

    def extract(self, window: Window, path: Path) -> int:
        import pyarrow as pa
        import pyarrow.parquet as pq

        start, end = (start_of_day(day, self.days_of) for day in (window.start, window.end))
        query = Query(self.table, self._declared.kept, self._arrival, self.order_by, start, end, self.times_of)
        database, rows = DATABASES[urlsplit(self.url).scheme](self.url), 0
        where = f"source table: {self.table} of {self.url}"
        try:
            with translated(where, kind=SourceError), database.read(query) as (schema, batches):
                types = self._find_types(schema)
                with pq.ParquetWriter(path, pa.schema(list(types.items()))) as writer:
                    for table in _regroup(schema, batches):
                        writer.write_table(as_delivered(table, self._declared.cells, types))
                        rows += table.num_rows
                return rows
        except ValueError as error:
            raise SourceError(f"{where}: {error}") from error

    def _find_types(self, schema: Any) -> dict[str, Any]:
        """Column -> the Arrow type in which it is delivered."""
        types = {}
        for name, stated in self._declared.kept.items():
            try:
                types[name] = unite([find_type(stated, schema.field(name).type)])
            except ValueError as error:
                raise ValueError(f"column {name!r} {error}") from error
        return types

    @property
    def _declared(self) -> Declared:
        return Declared(self.types)


def _regroup(schema: Any, batches: Iterator[Any]) -> Iterator[Any]:
    """The same rows in tables of equal size, so that the file does not depend on the batches of the server."""
    import pyarrow as pa

    kept: list[Any] = []
    waiting = 0
    for batch in batches:
        kept.append(batch)
        waiting += batch.num_rows
        while waiting >= ROWS_OF_A_GROUP:
            whole = pa.Table.from_batches(kept, schema)
            yield whole.slice(0, ROWS_OF_A_GROUP).combine_chunks()
            kept = whole.slice(ROWS_OF_A_GROUP).to_batches()
            waiting -= ROWS_OF_A_GROUP
    if waiting:
        yield pa.Table.from_batches(kept, schema).combine_chunks()

"""The stage of ingestion: raw files -> an immutable raw snapshot with canonical columns."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.data import DatasetRef
from tasks.errors import SourceError
from tasks.guards import guard
from tasks.io.storage import Inspect, Storage, Writer
from tasks.reasons import translated
from tasks.stages.ingestion.base import Source, SourceFile
from tasks.stages.ingestion.late import find_late_days, find_late_windows, mark_late
from tasks.stages.ingestion.lost import count_cells

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

CELLS = "cells"  # figure of a raw snapshot: column of the source -> its full and lost cells

__all__ = ["find_late_windows", "ingest"]


@guard(SourceError)
def ingest(
    use_case: str,
    source: Source,
    folder: Path | None,
    window: Window,
    storage: Storage,
    *,
    found_by: date | None = None,
) -> DatasetRef | None:
    """Publish the rows of the window as the layer `raw`. None where the window has no file, as on a day without trading.

    The same files give the same snapshot and are not read again.

    Parameters
    ----------
    found_by : the end of the later window whose run found the files, from which day on they are known; None: they came in time.

    Raises
    ------
    SourceError : a file is missing or has another form, or too many cells of a column are not what they are stated to be.
        Nothing is published.
    """
    files = source.files(folder, window)
    if not files:
        return None
    partition = source.partition(window)
    facts: dict[str, Any] = {"files": {file.name: file.sha256 for file in files}, "source": source.identity}
    if older := {name: sha256 for file in files for name, sha256 in file.supersedes.items()}:
        facts["superseded"] = older
    if late := find_late_days(use_case, source, window, files, storage, found_by=found_by):
        facts["late"] = late
    current = storage.current(use_case, c.RAW, partition)
    if current is not None and storage.manifest(current)["facts"] == facts:
        return current

    from tasks.io.spark import spark_for

    with spark_for(sum(file.rows for file in files)) as spark:
        with translated(", ".join(file.name for file in files[:5]), kind=SourceError, after="Nothing was published"):
            frame = mark_late(source.read(spark, files, window), late, source.days_of)
        tables = {c.ROWS: _write_complete(frame, files, source)}
        return storage.publish(
            use_case=use_case, layer=c.RAW, partition=partition, tables=tables, facts=facts, inspect=_count_lost(source)
        )


def _count_lost(source: Source) -> Inspect:
    """What counts the lost cells of the written rows for the manifest, and refuses too many."""
    return lambda folder: {CELLS: counts} if (counts := count_cells(folder / c.ROWS, source)) else {}


def _write_complete(frame: DataFrame, files: list[SourceFile], source: Source) -> Writer:
    """A writer that refuses to lose or double a row.

    The check before and Spark read with two parsers, which must agree.
    """
    expected = sum(file.rows for file in files)
    names = ", ".join(file.name for file in files[:5]) + (", ..." if len(files) > 5 else "")

    def write(folder: Path) -> None:
        import pyarrow.dataset as ds

        with translated(names, kind=SourceError, after="Nothing was published"):
            frame.write.parquet(str(folder))
        found = ds.dataset(folder, format="parquet").count_rows()
        if found != expected:
            raise SourceError(
                f"{names}: expected {expected} rows as counted before, Spark read {found}. "
                "A file changed meanwhile, or its quoting is ambiguous. Nothing was published"
            )

    return write

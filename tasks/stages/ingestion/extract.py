"""Sources behind a query: each window is extracted once into a file, which is then the delivery."""

from __future__ import annotations

import hashlib
import os
import uuid
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.contracts.base import Window
from tasks.errors import SourceError
from tasks.stages.ingestion.base import Source, SourceFile, number_rows, plain_paths

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


class Extracted(Source):
    """A source behind a query.

    An extract is a Parquet file in the source's folder, named by window and content. Rows that were corrected, erased or
    added since then give a second file beside the first, and a new raw snapshot that names both. To add a source, implement
    `extract`, which writes the same file for the same rows, and `read`, which returns canonical columns.
    """

    @abstractmethod
    def extract(self, window: Window, path: Path) -> int:
        """Write the rows of the window as one Parquet file and return their number. Without rows no file is needed.

        Raises
        ------
        SourceError : the query fails, or returns other columns than declared.
        """

    def files(self, folder: Path | None, window: Window) -> list[SourceFile]:
        if folder is None:
            raise SourceError(
                f"source {self.kind}: no folder for extracts is configured; set source.path in the use case's YAML"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SourceError(f"source {self.kind}: folder {folder} cannot be created: {error.strerror}") from error
        staged = folder / f".{window.label}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        try:
            rows = self.extract(window, staged)
            if not rows:
                return []
            sha256 = _sha256(staged)
            path = folder / f"{window.label}.{sha256[:12]}.parquet"
            staged.replace(path)
        finally:
            staged.unlink(missing_ok=True)
        older = {old.name: _sha256(old) for old in sorted(folder.glob(f"{window.label}.*.parquet")) if old != path}
        return [SourceFile(path.name, path, sha256, window.start, rows, older)]

    def open(self, spark: SparkSession, files: list[SourceFile], schema: str) -> DataFrame:
        """The rows of the extracts, with `FILE` and `PLACE`."""
        return number_rows(spark.read.schema(schema).parquet(*plain_paths([file.path for file in files])))


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

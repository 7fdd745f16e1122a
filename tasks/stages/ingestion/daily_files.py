"""Files by day in the usual formats, with a declared schema: `YYYY-MM-DD.csv`, `.jsonl.gz`, `.parquet` and so on.

A delivery is corrected by a file of the same name, or by a revision beside it (`2011-01-04.r2.csv`), of which the highest is
used. The raw snapshot names the digests of the file in use and of the files that it supersedes.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import model_validator

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.errors import SourceError
from tasks.io.days import midnight_of
from tasks.stages.ingestion import formats
from tasks.stages.ingestion.base import SourceFile, check_folder, number_rows, plain_paths, read_bytes
from tasks.stages.ingestion.mapped import Mapped

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

NAME = re.compile(r"(?P<day>\d{4}-\d{2}-\d{2})(?:\.r(?P<revision>\d{1,4}))?\.(?P<format>[a-z]+)(?P<packed>\.gz|\.bz2)?")


class DailyFiles(Mapped):
    """One delivery a day. A file is known from midnight after its local day, unless a column holds the time of each row."""

    refuses_files: ClassVar[bool] = True
    kind: Literal["daily_files"] = "daily_files"
    format: Literal["csv", "jsonl", "parquet", "avro", "orc"] = "csv"
    encoding: Literal["utf-8", "iso-8859-1", "windows-1252", "utf-16"] = "utf-8"
    delimiter: Literal[",", ";", "\t", "|"] = ","

    @model_validator(mode="after")
    def _fits_the_format(self) -> Self:
        if self.encoding != "utf-8" and self.format != "csv":
            raise ValueError(f"encoding applies to csv only; {self.format} files are UTF-8 or declare their own encoding")
        return self

    @property
    def is_text(self) -> bool:
        return self.format in {"csv", "jsonl"}

    @property
    def may_deliver_late(self) -> bool:
        return True

    def files(self, folder: Path | None, window: Window) -> list[SourceFile]:
        folder = check_folder(folder, self.kind)
        by_day: dict[date, dict[int, Path]] = {}
        for entry in sorted(entry for entry in folder.iterdir() if not entry.name.startswith((".", "_"))):
            day, revision = self._place(entry)
            if revision in by_day.setdefault(day, {}):
                raise SourceError(f"{entry}: {by_day[day][revision].name} is of the same day and revision; remove one of them")
            by_day[day][revision] = entry
        return [self._check(day, by_day[day]) for day in sorted(by_day) if window.start <= day < window.end]

    def _place(self, entry: Path) -> tuple[date, int]:
        found = NAME.fullmatch(entry.name)
        expected = f"YYYY-MM-DD.{self.format}, or YYYY-MM-DD.r2.{self.format} for a correction"
        try:
            if found and found["format"] == self.format and (not found["packed"] or self.format in {"csv", "jsonl"}):
                return date.fromisoformat(found["day"]), int(found["revision"] or 1)
        except ValueError:
            pass
        raise SourceError(f"{entry}: expected the name {expected}; rename or remove the file")

    def _check(self, day: date, revisions: dict[int, Path]) -> SourceFile:
        path = revisions[max(revisions)]
        content, sha256 = read_bytes(path)
        names = list(self.cells)
        if self.format == "csv":
            rows = formats.count_csv(formats.decompress(content, path), path, names, self.encoding, self.delimiter)
        elif self.format == "jsonl":
            rows = formats.count_jsonl(formats.decompress(content, path), path, names)
        else:
            count = {"parquet": formats.count_parquet, "avro": formats.count_avro, "orc": formats.count_orc}[self.format]
            rows = count(path, names)
        older = {old.name: read_bytes(old)[1] for revision, old in sorted(revisions.items()) if old != path}
        return SourceFile(path.name, path, sha256, day, rows, older)

    def read(self, spark: SparkSession, files: list[SourceFile], window: Window) -> DataFrame:
        from pyspark.sql import functions as F

        paths, as_it_came = plain_paths(files), None
        if self.format == "csv":
            cells = spark.read.csv(
                paths,
                schema=self.schema_of_cells,
                header=True,
                multiLine=True,
                quote='"',
                escape='"',
                sep=self.delimiter,
                encoding=self.encoding,
                maxCharsPerColumn=-1,
                maxColumns=max(20_480, len(self.cells)),
            )
            frame = number_rows(cells)
        elif self.format == "jsonl":
            line = F.regexp_replace("value", "^\ufeff", "")
            numbered = number_rows(spark.read.text(paths).where(F.trim(F.regexp_replace("value", r"[\ufeff\r]", "")) != ""))
            frame = numbered.select("*", F.from_json(line, self.schema_of_cells).alias("cell")).select("*", "cell.*")
            as_it_came = line
        elif self.format == "avro":
            frame = formats.read_avro(spark, [file.path for file in files], self.types)
        else:
            frame = number_rows(spark.read.format(self.format).schema(self.schema_of_cells).load(paths))
        local = set() if self.is_text else formats.find_local_times(self.format, [file.path for file in files])
        day = F.to_date(F.substring(c.SOURCE_FILE, 1, 10))
        # Revisions and compressed files of a day are one delivery, whose rows a later window that reads it again replaces.
        whole = F.concat(F.substring(c.SOURCE_FILE, 1, 10), F.lit(f".{self.format}"))
        named = frame.withColumn(c.ROW_ID, F.concat_ws(":", whole, F.substring_index(c.ROW_ID, ":", -1)))
        known_at = midnight_of(F.date_add(day, 1), self.days_of)
        return self.to_canonical(named.withColumn(c.SOURCE_FILE, whole), known_at, as_it_came, local)

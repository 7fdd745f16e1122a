"""Files that hold many days: an export of a whole table, cut into the days on which its rows arrived.

Each version of a file is cut once, in one pass of Spark, into a Parquet file for each day in the hidden folder `.days`.
A day is then the delivery: a new export that adds days does not change those that were read.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.errors import SourceError
from tasks.io.days import midnight_of
from tasks.reasons import translated
from tasks.stages.ingestion.any_format import ENDINGS, LINE, AnyFormat
from tasks.stages.ingestion.base import FILE, PLACE, SourceFile, check_folder, plain_paths, read_bytes
from tasks.stages.ingestion.readers import PACKED

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

CUTS, LOCAL, DAY = ".days", "local.json", f"{c.OWN}day"


class WholeFiles(AnyFormat):
    """All files of a folder. A row belongs to the window in which it arrived (`ingested_at`, otherwise `event_at`).

    A row whose time cannot be read belongs to the newest day of its file, so that validation sees it once.

    Attributes
    ----------
    files_named : a pattern of file names, such as export_*.csv.
    """

    refuses_files: ClassVar[bool] = True
    kind: Literal["files"] = "files"
    files_named: str = Field("*", pattern=r"^[^/]+$")

    @model_validator(mode="after")
    def _has_an_arrival(self) -> Self:
        if not self.arrival:
            raise ValueError("columns: set ingested_at or event_at, which assigns rows to windows")
        return self

    @property
    def may_deliver_late(self) -> bool:
        return self.cell_of(c.INGESTED_AT) is None

    def files(self, folder: Path | None, window: Window) -> list[SourceFile]:
        folder = check_folder(folder, self.kind)
        entries = sorted(one for one in folder.glob(self.files_named) if not one.name.startswith((".", "_", "~$")))
        if not entries and any(folder.iterdir()):
            there = ", ".join(sorted(one.name for one in folder.iterdir())[:5])
            raise SourceError(f"{folder}: no file is named {self.files_named}, there are: {there}; check source.files_named")
        return [file for entry in entries for file in self._days_of_file(entry, window)]

    def _days_of_file(self, entry: Path, window: Window) -> list[SourceFile]:
        endings = ENDINGS[self.format]
        suffixes = [suffix.lower() for suffix in entry.suffixes]
        is_packed = bool(suffixes) and suffixes[-1] in PACKED
        ending = "".join(suffixes[-2:-1] if is_packed else suffixes[-1:])
        if ending.removeprefix(".") not in endings or (is_packed and not self.may_be_packed):
            raise SourceError(f"{entry}: expected a name that ends in .{', .'.join(endings)}; rename or remove the file")
        _, sha256 = read_bytes(entry)
        terms = hashlib.sha256(json.dumps(self.identity, sort_keys=True, default=str).encode()).hexdigest()
        cut = entry.parent / CUTS / f"{entry.name}.{sha256[:12]}.{terms[:8]}"
        if not cut.is_dir():
            self._cut(entry, cut)
        found = []
        for part in sorted(cut.glob(f"{DAY}=*/*.parquet")):
            day = date.fromisoformat(part.parent.name.partition("=")[2])
            if window.start <= day < window.end:
                found.append(_day_of(entry, part, day))
        return found

    def _cut(self, entry: Path, cut: Path) -> None:
        """Write the rows of each day as one file, in the order of the whole. All or nothing."""
        from pyspark.sql import functions as F

        from tasks.io.spark import spark_for

        rows, _ = self.count_rows(entry)
        staged = cut.parent / f".{uuid.uuid4().hex[:8]}-{os.getpid()}"
        try:
            staged.mkdir(parents=True)
        except OSError as error:
            raise SourceError(
                f"{cut.parent}: cannot be created: {error.strerror}; files are cut into days there: grant this user permission "
                "to write"
            ) from error
        try:
            with translated(entry.name, kind=SourceError, after="Nothing was cut"), spark_for(rows) as spark:
                cells = self.open_files(spark, [entry])
                dated = self.add_day(cells.frame, DAY, cells.local)
                counted = dated.agg(F.count(F.lit(1)).alias("rows"), F.max(DAY).alias("newest")).collect()[0]
                if counted["rows"] != rows:
                    raise SourceError(
                        f"{entry}: expected {rows} rows as counted before, Spark read {counted['rows']}. The file changed "
                        "meanwhile, or its quoting is ambiguous. Nothing was cut"
                    )
                if rows and counted["newest"] is None:
                    raise SourceError(
                        f"{entry}: column {self.cell_of(self.arrival)!r}: no cell of {rows} is a time; state its format in "
                        "source.cells"
                    )
                day = F.coalesce(F.col(DAY), F.lit(counted["newest"]))
                ordered = dated.drop(FILE).withColumn(DAY, day).repartition(DAY).sortWithinPartitions(PLACE)
                ordered.write.partitionBy(DAY).mode("overwrite").parquet(str(staged))
            (staged / LOCAL).write_text(json.dumps(sorted(cells.local)))
            for former in cut.parent.glob(f"{entry.name}.????????????.????????"):
                shutil.rmtree(former, ignore_errors=True)
            staged.replace(cut)
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def read(self, spark: SparkSession, files: list[SourceFile], window: Window) -> DataFrame:
        from functools import reduce

        from pyspark.sql import functions as F

        by_cut: dict[Path, list[Path]] = {}
        for file in files:
            by_cut.setdefault(file.path.parents[1], []).append(file.path)
        local = {name for cut in by_cut for name in json.loads((cut / LOCAL).read_text())}
        day = F.regexp_extract("_metadata.file_path", rf"/{DAY}=(\d{{4}}-\d{{2}}-\d{{2}})/", 1)
        names = {file.path.parents[1]: file.name.rpartition("@")[0] for file in files}
        frames = [
            spark.read.parquet(*plain_paths(paths)).select(
                "*", F.concat(F.lit(f"{names[cut]}@"), day).alias(FILE), F.to_date(day).alias(DAY)
            )
            for cut, paths in by_cut.items()
        ]
        frame = reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), frames)
        known_at = midnight_of(F.date_add(F.col(DAY), 1), self.days_of)
        as_it_came = F.col(LINE) if LINE in frame.columns else None
        return self.to_canonical(frame, known_at, as_it_came, local)


def _day_of(entry: Path, part: Path, day: date) -> SourceFile:
    import pyarrow.parquet as pq

    _, sha256 = read_bytes(part)
    return SourceFile(f"{entry.name}@{day}", part, sha256, day, pq.read_metadata(part).num_rows)

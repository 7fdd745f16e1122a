"""Files by day in the usual formats, with a declared schema: `YYYY-MM-DD.csv`, `.jsonl.gz`, `.parquet` and so on.

A delivery is corrected by a file of the same name, or by a revision beside it (`2011-01-04.r2.csv`), of which the highest is
used. The raw snapshot names the digests of the file in use and of the files that it supersedes.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from tasks.contracts.base import Window
from tasks.errors import SourceError
from tasks.io.days import midnight_of
from tasks.stages.ingestion.any_format import ENDINGS, AnyFormat
from tasks.stages.ingestion.base import FILE, SourceFile, check_folder, read_bytes

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

NAME = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2})(?:\.r(?P<revision>\d{1,4}))?\.(?P<format>[a-z]+)(?P<packed>\.gz|\.bz2|\.zip)?", re.IGNORECASE
)


class DailyFiles(AnyFormat):
    """One delivery a day. A file is known from midnight after its local day, unless a column holds the time of each row."""

    refuses_files: ClassVar[bool] = True
    kind: Literal["daily_files"] = "daily_files"

    @property
    def may_deliver_late(self) -> bool:
        return True

    def files(self, folder: Path | None, window: Window) -> list[SourceFile]:
        folder = check_folder(folder, self.kind)
        by_day: dict[date, dict[int, Path]] = {}
        for entry in sorted(entry for entry in folder.iterdir() if not entry.name.startswith((".", "_", "~$"))):
            day, revision = self._place(entry)
            if revision in by_day.setdefault(day, {}):
                raise SourceError(f"{entry}: {by_day[day][revision].name} is of the same day and revision; remove one of them")
            by_day[day][revision] = entry
        return [self._check(day, by_day[day]) for day in sorted(by_day) if window.start <= day < window.end]

    def _place(self, entry: Path) -> tuple[date, int]:
        found = NAME.fullmatch(entry.name)
        expected = f"YYYY-MM-DD.{self.format}, or YYYY-MM-DD.r2.{self.format} for a correction"
        try:
            if found and found["format"].lower() in ENDINGS[self.format] and (not found["packed"] or self.may_be_packed):
                return date.fromisoformat(found["day"]), int(found["revision"] or 1)
        except ValueError:
            pass
        raise SourceError(f"{entry}: expected the name {expected}; rename or remove the file")

    def _check(self, day: date, revisions: dict[int, Path]) -> SourceFile:
        path = revisions[max(revisions)]
        rows, sha256 = self.count_rows(path)
        older = {old.name: read_bytes(old)[1] for revision, old in sorted(revisions.items()) if old != path}
        return SourceFile(path.name, path, sha256, day, rows, older)

    def read(self, spark: SparkSession, files: list[SourceFile], window: Window) -> DataFrame:
        from pyspark.sql import functions as F

        cells = self.open_files(spark, [file.path for file in files])
        day = F.to_date(F.substring(FILE, 1, 10))
        # Revisions and compressed files of a day are one delivery, whose rows a later window that reads it again replaces.
        whole = F.concat(F.substring(FILE, 1, 10), F.lit(f".{self.format}"))
        known_at = midnight_of(F.date_add(day, 1), self.days_of)
        return self.to_canonical(cells.frame.withColumn(FILE, whole), known_at, cells.as_it_came, cells.local)

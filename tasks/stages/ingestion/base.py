"""The contract of all sources, and the checks of files that they share."""

from __future__ import annotations

import hashlib
import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self
from zoneinfo import ZoneInfo

from pydantic import Field, PrivateAttr

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.calendar import UTC_ZONE, TimeZone
from tasks.contracts.cells import Cell
from tasks.errors import SourceError
from tasks.io.spark_cells import Wanted
from tasks.kinds import Spec

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

MOST_LOST = 0.01


# Columns of a frame that was read, beside cells of any name: the name of the file, and the number of the row in it.
FILE, PLACE = f"{c.OWN}file", f"{c.OWN}place"


@dataclass(frozen=True)
class SourceFile:
    """One raw file that passed its check.

    Parameters
    ----------
    name : relative to the source's folder.
    day : the day that it reports on.
    rows : its data rows within the window. The rows that Spark reads must sum to this number.
    supersedes : name -> sha256 of older deliveries of the day.
    """

    name: str
    path: Path
    sha256: str
    day: date
    rows: int
    supersedes: Mapping[str, str] = field(default_factory=dict)


class Source(Spec):
    """Where raw rows come from.

    To add a source, implement `files`, which lists the files of a window and refuses broken ones, and `read`, which returns
    their rows with the canonical columns of `tasks.columns` (null where a cell does not parse). Increase `reader_version`
    with every change of `read` that changes rows, so that snapshots of the old reading are not reused.
    """

    reader_version: ClassVar[int] = 1
    refuses_files: ClassVar[bool] = False  # whether it is a guard: it reads delivered files and refuses broken ones

    path: Path | None = None
    _days_of: ZoneInfo = PrivateAttr(UTC_ZONE)

    def in_days_of(self, zone: ZoneInfo) -> Self:
        """The source with windows and deliveries of the local days of a use case."""
        found = self.model_copy()
        found._days_of = zone
        return found

    @property
    def days_of(self) -> ZoneInfo:
        """The time zone whose days windows and deliveries are of."""
        return self._days_of

    @abstractmethod
    def files(self, folder: Path | None, window: Window) -> list[SourceFile]:
        """The files of the window, oldest first, each checked. Empty where there is none.

        Raises
        ------
        SourceError : a missing folder, or a file that is unreadable, empty, truncated or of another format.
        """

    @abstractmethod
    def read(self, spark: SparkSession, files: list[SourceFile], window: Window) -> DataFrame:
        """All rows of the files that lie in the window, in one Spark read."""

    @property
    def wanted(self) -> Mapping[str, Wanted]:
        """Column of the rows -> the cell that it is read from. Cells of these columns that are lost are counted."""
        return {}

    @property
    def requested(self) -> Mapping[str, Cell]:
        """What clients of the endpoint send -> how it is read. What is not named is read as its default type."""
        return {}

    @property
    def most_lost(self) -> float:
        """The share of a column's full cells that may be lost before the run stops."""
        return MOST_LOST

    @property
    def row_columns(self) -> tuple[str, ...] | None:
        """The columns of its rows. None: they are known only when it has read some."""
        return None

    @property
    def may_deliver_late(self) -> bool:
        """Whether rows of a window can come after it. Not where rows belong to the window in which they arrive."""
        return False

    def partition(self, window: Window) -> str:
        """The name of the raw partition."""
        return window.label

    @property
    def identity(self) -> dict[str, object]:
        """What determines the rows besides the files. It is part of the raw snapshot's version."""
        stated = {
            **self.model_dump(mode="json", exclude={"path", "time_zone", "lost_share"}),
            "reader_version": self.reader_version,
        }
        zones = [zone.key for zone in self.zones]
        return stated if set(zones) == {UTC_ZONE.key} else {**stated, "time_zones": zones}  # snapshots in UTC stay current

    @property
    def zones(self) -> tuple[ZoneInfo, ...]:
        """The time zones that determine the rows."""
        return (self.days_of,)


class LocalTimes(Source):
    """A source of cells that people and programs write: with local times without an offset, and cells that are lost."""

    time_zone: TimeZone | None = Field(
        None, description="whose local times the cells without an offset are, such as Europe/London; null: the use case's"
    )

    lost_share: float = Field(
        MOST_LOST,
        ge=0.0,
        le=1.0,
        description="of a column's full cells, that may not be what they are stated to be before a run stops",
    )

    @property
    def most_lost(self) -> float:
        return self.lost_share

    @property
    def times_of(self) -> ZoneInfo:
        """The time zone of times without an offset."""
        return self.days_of if self.time_zone is None else ZoneInfo(self.time_zone)

    @property
    def zones(self) -> tuple[ZoneInfo, ...]:
        return (self.days_of, self.times_of)


def check_folder(folder: Path | None, kind: str) -> Path:
    """The folder of raw files, refusing one that is not set, not there or not a folder."""
    remedy = "set source.path in the use case's YAML, or TITLEHOLDER_SOURCE_PATHS"
    if folder is None:
        raise SourceError(f"source {kind}: no folder of raw files is configured; {remedy}")
    if not folder.exists():
        raise SourceError(f"source {kind}: folder {folder} does not exist; create it, or {remedy}")
    if not folder.is_dir():
        raise SourceError(f"source {kind}: expected a folder of raw files, {folder} is a file; {remedy}")
    return folder


def read_bytes(path: Path) -> tuple[bytes, str]:
    """The content of a file and its sha256. Refuses a file that is unreadable or empty."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}; grant this user permission to read it") from error
    if not content:
        raise SourceError(f"{path}: the file is empty (0 bytes); deliver it again")
    return content, hashlib.sha256(content).hexdigest()


def decode(content: bytes, path: Path, encoding: str = "utf-8") -> str:
    """The text of a file (a byte order mark is allowed)."""
    try:
        return content.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start : error.start + 1].hex()
        name = encoding.upper()
        raise SourceError(f"{path}: line {line}: expected {name}, got byte 0x{byte}; save the file as {name}") from error


def plain_paths(paths: Sequence[Path]) -> list[str]:
    """Paths for Spark, with brackets, braces and stars escaped, which Spark interprets as patterns."""
    return [re.sub(r"([\[\]{}*?\\])", r"\\\1", str(path.resolve())) for path in paths]


def number_rows(frame: DataFrame) -> DataFrame:
    """Add `FILE` and `PLACE` to a frame that Spark read from files: the file's name, and the number of the row in it, from 1.

    The number of a row in its file is its rank by block and by position in the block's task. It does not depend on how many
    files Spark packs into one task, or into how many tasks it splits a file.
    """
    from pyspark.sql import Window as Over
    from pyspark.sql import functions as F

    block, task_place = f"{c.OWN}block", f"{c.OWN}task_place"
    placed = frame.select(
        "*",
        F.col("_metadata.file_name").alias(FILE),
        F.col("_metadata.file_block_start").alias(block),
        F.monotonically_increasing_id().alias(task_place),
    )
    place = F.row_number().over(Over.partitionBy(FILE).orderBy(block, task_place))
    return placed.withColumn(PLACE, place).drop(block, task_place)


def name_rows() -> tuple[Column, Column]:
    """`row_id` and `source_file` of a frame with `FILE` and `PLACE`."""
    from pyspark.sql import functions as F

    return F.concat_ws(":", FILE, F.col(PLACE).cast("string")).alias(c.ROW_ID), F.col(FILE).alias(c.SOURCE_FILE)


def as_json(names: Sequence[str]) -> Column:
    """The original cells as one JSON object. An empty cell is an empty string."""
    from pyspark.sql import functions as F

    cells = [F.coalesce(F.col(f"`{name}`").cast("string"), F.lit("")).alias(name) for name in names]
    return F.to_json(F.struct(*cells))

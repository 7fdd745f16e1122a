"""The parts of a split in one frame, so that one job makes a table of all parts.

Each part sees the rows that were known on its first day, so a row occurs once for each part that sees it. Its ids begin with
the number of the part. Rows of two parts therefore never meet in a group or a join, whatever is computed from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.io.storage import Writer
from tasks.stages.features.history import add_age, date_of, happened_in, known_at

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

NUMBER = f"{c.OWN}number"  # of a part: two digits in ids, an integer in names of folders
_DIGITS = 2
_IDS = (c.USER_ID, c.ITEM_ID, c.EVENT_ID, c.ROW_ID)


def repeat_for_parts(rows: DataFrame, windows: Sequence[Window], known_by: str, zone: ZoneInfo) -> DataFrame:
    """Rows once for each part on whose first day they were known, with the part's number as `NUMBER`."""
    from pyspark.sql import functions as F

    seen = (F.when(known_at(window.start, known_by, zone), _digits(place)) for place, window in enumerate(windows))
    return rows.withColumn(NUMBER, F.explode(F.array_compact(F.array(*seen))))


def assign_windows(rows: DataFrame, windows: Sequence[Window], zone: ZoneInfo) -> DataFrame:
    """The rows that happened in the window of a part, with its number as `NUMBER`. Windows do not overlap."""
    from pyspark.sql import functions as F

    numbers = (F.when(happened_in(window, zone), _digits(place)) for place, window in enumerate(windows))
    return rows.withColumn(NUMBER, F.coalesce(*numbers)).where(F.col(NUMBER).isNotNull())


def add_ages_of_parts(rows: DataFrame, windows: Sequence[Window], zone: ZoneInfo) -> DataFrame:
    """Rows of `repeat_for_parts` with their age as of the first day of their part."""
    from pyspark.sql import functions as F

    first_days = F.array(*(date_of(window.start) for window in windows))
    return add_age(rows, F.element_at(first_days, F.col(NUMBER).cast("int") + 1), zone)


def separate(rows: DataFrame) -> DataFrame:
    """Rows whose ids begin with the number of their part. A missing id stays missing."""
    from pyspark.sql import functions as F

    return rows.withColumns({name: F.concat(NUMBER, name) for name in _IDS if name in rows.columns})


def number_parts(rows: DataFrame, names: Sequence[str]) -> DataFrame:
    """Rows with the number of their part in place of its name in the column `PART`."""
    from pyspark.sql import functions as F

    place = F.array_position(F.array(*map(F.lit, names)), F.col(c.PART))
    return rows.withColumn(NUMBER, (place - 1).cast("int")).drop(c.PART)


def list_parts(table: DataFrame, names: Sequence[str]) -> set[str]:
    """The names of the parts of which a table has rows."""
    return {names[row[NUMBER]] for row in table.select(NUMBER).distinct().collect()}


def is_of(parts: Sequence[int]) -> Column:
    """Whether a row is of one of the parts."""
    from pyspark.sql import functions as F

    return F.col(NUMBER).isin([f"{place:0{_DIGITS}}" for place in parts])


def sort_by_part(table: DataFrame, *keys: str) -> DataFrame:
    """A table that was made from separated rows, with its own ids and the part as an integer, in one file and in order."""
    from pyspark.sql import functions as F

    number = F.substring(keys[0], 1, _DIGITS).cast("int")
    own = {key: F.substring(key, _DIGITS + 1, 2**31 - 1) for key in keys}
    return table.withColumns({NUMBER: number, **own}).repartition(1).sortWithinPartitions(NUMBER, *keys)


def _digits(place: int) -> Column:
    from pyspark.sql import functions as F

    return F.lit(f"{place:0{_DIGITS}}")


class PartedTable:
    """A table of several parts, which is written at once when the first part is wanted.

    Parameters
    ----------
    frame : with the number of the part as `NUMBER`, in one partition and sorted by it.
    folder : where its files are until each part moves its own; it must not exist.
    """

    def __init__(self, frame: DataFrame, folder: Path) -> None:
        self.frame, self.folder = frame, folder

    def writer_of(self, number: int) -> Writer:
        """Fills the folder that it receives with the rows of a part."""

        def write(target: Path) -> None:
            if not self.folder.exists():
                self.frame.write.partitionBy(NUMBER).parquet(str(self.folder))
            written = self.folder / f"{NUMBER}={number}"
            if written.is_dir():
                written.rename(target)
            else:
                self.frame.where("false").drop(NUMBER).write.parquet(str(target))

        return write

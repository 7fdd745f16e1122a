"""What windows are compared with: the validated snapshots that came before them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.data import DatasetRef
from tasks.io.storage import Storage
from tasks.stages.validation.computed import COMPUTED, add_rule_columns

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

WINDOWS = 28  # how many windows back the past goes
ROWS = "past_rows"  # rows of a window of this length, by the median of the past windows' rows a day
SHARES = "past_shares_of_"  # + a column: how often each of its values was seen, as Great Expectations' partition object


@dataclass(frozen=True)
class Past:
    """The newest validated windows that end before a window starts. Empty for the first one."""

    window: Window
    folders: tuple[Path, ...] = ()
    rows_per_day: tuple[float, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)  # window -> version

    def rows(self, spark: SparkSession) -> DataFrame | None:
        """The rows of the past; None where there is no past."""
        return spark.read.parquet(*map(str, self.folders)) if self.folders else None

    def parameters(self, names: Collection[str], spark: SparkSession) -> dict[str, Any]:
        """What the past gives for the parameters that rules ask for; nothing where there is no past."""
        found: dict[str, Any] = {}
        if not self.folders:
            return found
        if ROWS in names:
            found[ROWS] = round(median(self.rows_per_day) * self.window.days)
        if columns := sorted(name.removeprefix(SHARES) for name in names if name.startswith(SHARES)):
            frame = self.rows(spark)
            assert frame is not None  # noqa: S101  there are folders
            frame = add_rule_columns(frame, self.window, self, COMPUTED & set(columns))
            found |= {SHARES + column: _shares(frame, column) for column in columns}
        return found


def read_past(raw: DatasetRef, storage: Storage) -> Past:
    """The past of a raw snapshot. Rows are counted as they came, before any went to quarantine."""
    window = Window.from_label(raw.partition)
    history = storage.history(raw.use_case, c.VALIDATED, window.start)[-WINDOWS:]
    rates = []
    for ref in history:
        inputs = storage.manifest(ref)["inputs"]
        came = DatasetRef.from_json(inputs[0]) if inputs else ref
        rates.append(came.rows[c.ROWS] / Window.from_label(ref.partition).days)
    return Past(window, tuple(storage.table(ref) for ref in history), tuple(rates), {r.partition: r.version for r in history})


def _shares(frame: DataFrame, column: str, most: int = 50) -> dict[str, list[Any]]:
    """The most frequent values and their shares, which add up to one."""
    from pyspark.sql import functions as F

    counted = frame.where(F.col(column).isNotNull()).groupBy(column).count()
    rows = counted.orderBy(F.desc("count"), column).limit(most).collect()
    total = sum(row["count"] for row in rows)
    return {"values": [row[column] for row in rows], "weights": [row["count"] / total for row in rows]}

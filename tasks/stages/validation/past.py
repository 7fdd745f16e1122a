"""The past of a window: the validated snapshots before it, with which rules compare it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.calendar import UTC_ZONE
from tasks.contracts.data import DatasetRef
from tasks.io.storage import Storage

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

MAX_WINDOWS = 28


@dataclass(frozen=True)
class Past:
    """The newest validated windows that end before a window starts. It is empty for the first window.

    Parameters
    ----------
    folders : the rows of each past window, oldest first.
    rows_per_day : of each past window, as delivered, before any row went to quarantine.
    versions : window -> version of its validated snapshot.
    zone : whose days the windows are of.
    count : rows of all past windows.
    """

    window: Window
    folders: tuple[Path, ...] = ()
    rows_per_day: tuple[float, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    zone: ZoneInfo = UTC_ZONE
    count: int = 0

    def rows(self, spark: SparkSession) -> DataFrame | None:
        """The rows of all past windows. None where there are none."""
        return spark.read.parquet(*map(str, self.folders)) if self.folders else None


def read_past(raw: DatasetRef, storage: Storage, zone: ZoneInfo = UTC_ZONE) -> Past:
    """The past of a raw snapshot's window."""
    window = Window.from_label(raw.partition)
    history = storage.history(raw.use_case, c.VALIDATED, window.start)[-MAX_WINDOWS:]
    rates = []
    for ref in history:
        inputs = storage.manifest(ref)["inputs"]
        delivered = DatasetRef.from_json(inputs[0]) if inputs else ref
        rates.append(delivered.rows[c.ROWS] / Window.from_label(ref.partition).days)
    folders, versions = tuple(storage.table(ref) for ref in history), {ref.partition: ref.version for ref in history}
    return Past(window, folders, tuple(rates), versions, zone, sum(ref.rows[c.ROWS] for ref in history))

"""Deliveries that came after the run of their window: found by a later run, and known from then on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.calendar import UTC_ZONE
from tasks.errors import SourceError
from tasks.io.days import midnight
from tasks.io.storage import Storage
from tasks.stages.ingestion.base import Source, SourceFile

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def find_late_windows(
    use_case: str, source: Source, folder: Path | None, window: Window, storage: Storage, *, within_days: int
) -> list[Window]:
    """The windows before this one whose files came, or changed, after they were read, also to what is broken. Oldest first.

    Only days from the first ingested window on: what lies before it was never expected. Days that no window covers are looked
    at in windows of the run's own length.

    Parameters
    ----------
    within_days : how many days before the window are looked at.
    """
    ingested = [Window.from_label(label) for label in storage.partitions(use_case, c.RAW) if ".." in label]
    if not within_days or not source.may_deliver_late or not ingested:
        return []
    since = max(window.start - timedelta(days=within_days), min(one.start for one in ingested))
    known = [one for one in ingested if one.start >= since and one.end <= window.start]
    candidates = [*known, *_find_gaps(since, window, ingested)]
    return sorted(
        (one for one in candidates if _has_changed(use_case, source, folder, one, storage)), key=lambda one: one.start
    )


def _has_changed(use_case: str, source: Source, folder: Path | None, window: Window, storage: Storage) -> bool:
    """Whether the files of a window are not those that its snapshot names. Files that were removed are no delivery."""
    try:
        files = source.files(folder, window)
    except SourceError:
        return True  # whoever reads it reports what is wrong
    return bool(files) and {file.name: file.sha256 for file in files} != _read_facts(use_case, source, window, storage)["files"]


def _find_gaps(since: date, window: Window, ingested: Sequence[Window]) -> list[Window]:
    """The days from `since` to the window that none of the ingested windows covers."""
    covered = {one.start + timedelta(days=place) for one in ingested for place in range(one.days)}
    gaps: list[Window] = []
    for place in range((window.start - since).days):
        day = since + timedelta(days=place)
        if day in covered:
            continue
        is_first_of_a_run = not (window.start - day).days % window.days
        if gaps and gaps[-1].end == day and not is_first_of_a_run:
            gaps[-1] = Window(start=gaps[-1].start, end=day + timedelta(days=1))
        else:
            gaps.append(Window(start=day, end=day + timedelta(days=1)))
    return gaps


def find_late_days(
    use_case: str,
    source: Source,
    window: Window,
    files: Sequence[SourceFile],
    storage: Storage,
    *,
    found_by: date | None,
) -> dict[str, str]:
    """Day -> the day from which its late rows are known: what the last snapshot states, and what is new now.

    A correction of a day that was delivered before keeps the time of its first delivery.

    Parameters
    ----------
    found_by : the end of the window whose run found the files; None: they are not late.
    """
    facts = _read_facts(use_case, source, window, storage)
    days = {file.day.isoformat() for file in files}
    late = {day: known for day, known in facts.get("late", {}).items() if day in days}
    if found_by is None:
        return late
    delivered = set(facts["files"])
    new = [file for file in files if file.name not in delivered and not delivered & set(file.supersedes)]
    return late | {file.day.isoformat(): found_by.isoformat() for file in new}


def mark_late(rows: DataFrame, late: Mapping[str, str], zone: ZoneInfo = UTC_ZONE) -> DataFrame:
    """Rows of late days with a later `ingested_at`, so that no training example uses what could not be known.

    Parameters
    ----------
    late : day -> the local day from which its rows are known.
    zone : whose days they are.
    """
    from pyspark.sql import functions as F

    known = F.col(c.INGESTED_AT)
    for day, known_from in sorted(late.items()):
        moment = midnight(date.fromisoformat(known_from), zone)
        known = F.when(F.col(c.SOURCE_FILE).contains(day), F.greatest(F.col(c.INGESTED_AT), moment)).otherwise(known)
    return rows.withColumn(c.INGESTED_AT, known)


def _read_facts(use_case: str, source: Source, window: Window, storage: Storage) -> dict[str, dict[str, str]]:
    current = storage.current(use_case, c.RAW, source.partition(window))
    facts: dict[str, dict[str, str]] = storage.manifest(current)["facts"] if current is not None else {"files": {}}
    return facts

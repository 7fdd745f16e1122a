"""Replays: windows with rows in quarantine are judged again after a fix, and only what depends on them is made anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.data import DatasetRef
from tasks.errors import SourceError, ValidationFailed
from tasks.io.storage import Storage
from tasks.stages.features import build_features
from tasks.stages.ingestion import ingest
from tasks.stages.validation import validate
from tasks.use_case import UseCase


@dataclass(frozen=True)
class Replayed:
    """What became of one window."""

    window: str
    before: int | None  # rows in quarantine
    after: int
    validated: DatasetRef | None  # None where it was refused
    changed: bool
    note: str = ""


def affected_windows(use_case: str, storage: Storage, windows: list[str] | None = None) -> list[str]:
    """Windows that have rows in quarantine, or whose newest delivery is not in use; only those among `windows`, if given."""
    from tasks.stages.validation import find_refused

    waiting = {refused.raw.partition for refused in find_refused(use_case, storage)}
    for partition in storage.partitions(use_case, c.QUARANTINE):
        ref = storage.current(use_case, c.QUARANTINE, partition)
        if ref is not None and ref.rows[c.ROWS]:
            waiting.add(partition)
    return sorted(waiting if windows is None else waiting & set(windows))


def replay_window(case: UseCase, partition: str, storage: Storage, suites: Path, docs: Path | None) -> Replayed:
    """Read a window's files again where they are still there and have changed, and judge its rows again."""
    raw = storage.current(case.name, c.RAW, partition)
    quarantine, before = (storage.current(case.name, layer, partition) for layer in (c.QUARANTINE, c.VALIDATED))
    note = ""
    try:
        raw = ingest(case.name, case.source, case.source_path, Window.from_label(partition), storage) or raw
    except SourceError as error:
        note = f"judged as it was read before, because its files cannot be read: {str(error)[:200]}"
    if raw is None:
        raise SourceError(f"{case.name}: window {partition} has neither files nor a raw snapshot; nothing can be replayed")
    rows_before = quarantine.rows[c.ROWS] if quarantine else None
    try:
        done = validate(raw, case.validation.suite, case.validation.tolerance, storage, suites, docs)
    except ValidationFailed as error:
        refused = storage.current(case.name, c.QUARANTINE, partition)
        after = refused.rows[c.ROWS] if refused else 0
        return Replayed(partition, rows_before, after, None, changed=False, note=str(error).splitlines()[0])
    changed = before is None or before.digest != done.validated.digest
    return Replayed(partition, rows_before, done.report.rows_quarantined, done.validated, changed, note)


def rebuild_features(
    case: UseCase, windows: set[str], storage: Storage, tell: Callable[[str], None] = lambda _: None
) -> list[DatasetRef]:
    """Build those features anew whose current snapshot was made from another delivery of the windows, or without one."""
    built = []
    for partition in storage.partitions(case.name, c.FEATURES):
        as_of, current = date.fromisoformat(partition), storage.current(case.name, c.FEATURES, partition)
        history = storage.history(case.name, c.VALIDATED, as_of)
        if current is None:
            continue
        made_from = storage.manifest(current)["inputs"]
        if all(ref.to_json() in made_from for ref in history if ref.partition in windows):
            continue
        built.append(build_features(case.name, case.task, case.features, history, as_of, storage))
        tell(f"features as of {partition}")
    return built

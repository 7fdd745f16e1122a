"""Replay: windows with rows in quarantine are validated again after a fix, and what depends on them is built again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.data import DatasetRef
from tasks.errors import NothingToDo, SourceError, ValidationFailed
from tasks.jobs.features import build_features_as_of, ingest, validate
from tasks.jobs.run import Run
from tasks.stages.validation import find_refused


@dataclass(frozen=True)
class Replayed:
    """The outcome of one window."""

    window: str
    before: int | None  # rows in quarantine
    after: int
    validated: DatasetRef | None  # None where the validation failed
    changed: bool
    note: str = ""


def affected_windows(run: Run, windows: Sequence[str] | None = None) -> list[str]:
    """Windows that have rows in quarantine, or whose newest delivery is not in use; only those among `windows`, if given."""
    waiting = {refused.raw.partition for refused in find_refused(run.name, run.storage)}
    for partition in run.storage.partitions(run.name, c.QUARANTINE):
        ref = run.storage.current(run.name, c.QUARANTINE, partition)
        if ref is not None and ref.rows[c.ROWS]:
            waiting.add(partition)
    return sorted(waiting if windows is None else waiting & set(windows))


def replay_window(run: Run, partition: str) -> Replayed:
    """Read a window's files again where they are still there and have changed, and validate its rows again.

    Raises
    ------
    SourceError : the window has neither files nor a raw snapshot.
    """
    raw, quarantine, before = (run.storage.current(run.name, layer, partition) for layer in (c.RAW, c.QUARANTINE, c.VALIDATED))
    note = ""
    try:
        raw = ingest(run, Window.from_label(partition))
    except NothingToDo:
        pass  # the files are gone: the raw snapshot is validated as it is
    except SourceError as error:
        note = f"validated as it was read before, because its files cannot be read: {str(error)[:200]}"
    if raw is None:
        raise SourceError(f"{run.name}: window {partition} has neither files nor a raw snapshot; nothing can be replayed")
    rows_before = quarantine.rows[c.ROWS] if quarantine else None
    try:
        done = validate(run, raw)
    except ValidationFailed as error:
        refused = run.storage.current(run.name, c.QUARANTINE, partition)
        after = refused.rows[c.ROWS] if refused else 0
        return Replayed(partition, rows_before, after, None, changed=False, note=str(error).splitlines()[0])
    changed = before is None or before.digest != done.validated.digest
    return Replayed(partition, rows_before, done.report.rows_quarantined, done.validated, changed, note)


def rebuild_features(run: Run, windows: set[str], report: Callable[[str], None] = lambda _: None) -> list[DatasetRef]:
    """Build those features again whose current snapshot was made from another delivery of the windows, or without one."""
    built = []
    for partition in run.storage.partitions(run.name, c.FEATURES):
        as_of, current = date.fromisoformat(partition), run.storage.current(run.name, c.FEATURES, partition)
        if current is None:
            continue
        history, made_from = run.storage.history(run.name, c.VALIDATED, as_of), run.storage.manifest(current)["inputs"]
        if all(ref.to_json() in made_from for ref in history if ref.partition in windows):
            continue
        built.append(build_features_as_of(run, as_of))
        report(f"features as of {partition}")
    return built

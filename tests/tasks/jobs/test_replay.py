"""Which windows a replay covers, and what it does where their files are gone or unreadable."""

from __future__ import annotations

from typing import Any

import pytest

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.data import DatasetRef, Validated, ValidationReport
from tasks.errors import NothingToDo, SourceError, ValidationFailed
from tasks.jobs import replay
from tasks.jobs.run import Run
from tests.tasks.jobs.conftest import Publish

FIRST, SECOND, THIRD = (f"2026-01-0{day}..2026-01-0{day + 1}" for day in (1, 2, 3))


def fail(error: Exception) -> Any:
    def raise_it(*_: Any, **__: Any) -> None:
        raise error

    return raise_it


def test_windows_with_refused_rows_or_deliveries_are_affected(run: Run, publish: Publish) -> None:
    publish(c.VALIDATED, FIRST, raw=publish(c.RAW, FIRST))
    publish(c.VALIDATED, SECOND, raw=publish(c.RAW, SECOND))
    publish(c.QUARANTINE, SECOND)
    publish(c.RAW, THIRD)  # not validated yet
    assert replay.affected_windows(run) == [SECOND, THIRD]
    assert replay.affected_windows(run, [FIRST, SECOND]) == [SECOND]


def test_a_window_without_files_and_rows_cannot_be_replayed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "ingest", fail(NothingToDo("no raw file")))
    with pytest.raises(SourceError, match="neither files nor a raw snapshot"):
        replay.replay_window(run, FIRST)


@pytest.mark.parametrize(
    ("error", "note"),
    [
        (NothingToDo("no raw file"), ""),
        (SourceError("not a CSV"), "validated as it was read before, because its files cannot be read: not a CSV"),
    ],
)
def test_where_files_are_gone_the_raw_rows_are_validated(
    run: Run, publish: Publish, monkeypatch: pytest.MonkeyPatch, error: Exception, note: str
) -> None:
    raw = publish(c.RAW, FIRST)

    def validate(run: Run, given: DatasetRef) -> Validated:
        report = ValidationReport(
            suite="s", dataset=given, rows_in=1, rows_validated=1, rows_quarantined=0, tolerance=0.0, passed=True, rules=()
        )
        return Validated(validated=given, quarantine=None, report=report)

    monkeypatch.setattr(replay, "ingest", fail(error))
    monkeypatch.setattr(replay, "validate", validate)
    done = replay.replay_window(run, FIRST)
    assert (done.validated, done.changed, done.note, done.before, done.after) == (raw, True, note, None, 0)


def test_a_validation_that_fails_again_is_reported(run: Run, publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    raw, _ = publish(c.RAW, FIRST), publish(c.QUARANTINE, FIRST)
    monkeypatch.setattr(replay, "ingest", lambda *_: raw)
    monkeypatch.setattr(replay, "validate", fail(ValidationFailed("too many rows\ndetails")))
    done = replay.replay_window(run, FIRST)
    assert (done.validated, done.changed, done.note) == (None, False, "too many rows")
    assert (done.before, done.after) == (1, 1)


def test_features_of_other_deliveries_are_built_again(run: Run, publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = publish(c.VALIDATED, FIRST), publish(c.VALIDATED, SECOND)
    publish(c.FEATURES, "2026-01-02", first=first)
    publish(c.FEATURES, "2026-01-03", first=first)  # made without the second window
    publish(c.FEATURES, "2026-01-04", first=first, second=second)
    built: list[str] = []
    monkeypatch.setattr(replay, "build_features_as_of", lambda run, as_of: first)
    assert replay.rebuild_features(run, {Window.from_label(SECOND).label}, built.append) == [first]
    assert built == ["features as of 2026-01-03"]

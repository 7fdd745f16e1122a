"""Ingestion and validation as jobs: empty windows, and where the page of a validation is."""

from __future__ import annotations

from datetime import date
from typing import Any

import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.data import DatasetRef, ValidationReport
from tasks.errors import NothingToDo, ServiceUnavailable, SourceError, ValidationFailed
from tasks.io.storage import Storage, frame_writer
from tasks.jobs import features
from tasks.jobs.run import Run
from tasks.stages import features as features_stage
from tasks.stages import ingestion, validation
from tests.tasks.jobs.conftest import CASE, Publish, Recorder

LABEL = "2026-01-01..2026-01-02"


@pytest.fixture
def raw(publish: Publish) -> DatasetRef:
    return publish(c.RAW, LABEL)


@pytest.fixture
def judged(storage: Storage, raw: DatasetRef) -> DatasetRef:
    """The quarantine of the raw snapshot, with its report and its page."""
    report = ValidationReport(
        suite="tumours", dataset=raw, rows_in=1, rows_validated=1, rows_quarantined=0, tolerance=0.0, passed=True, rules=()
    )
    quarantine = storage.publish(
        use_case=CASE,
        layer=c.QUARANTINE,
        partition=LABEL,
        tables={c.ROWS: frame_writer(pd.DataFrame({c.ROW_ID: ["r1"]}))},
        inputs=[raw],
        facts={"report": report.to_json()},
    )
    page = validation.docs_page(storage.root.parent / features.DOCS, quarantine)
    page.parent.mkdir(parents=True)
    page.write_text("<h1>rules</h1>")
    return quarantine


def test_a_window_without_files_is_nothing_to_do() -> None:
    run = Run.open("purchase_propensity", run_id="run")
    assert run.use_case.source_path is not None
    run.use_case.source_path.mkdir(parents=True)
    with pytest.raises(NothingToDo, match=r"no raw file for 2026-01-01\.\.2026-01-02"):
        features.ingest(run, Window.from_label(LABEL))


def test_the_page_is_published_in_mlflow(
    run: Run, raw: DatasetRef, judged: DatasetRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = Recorder(returns="http://page")
    monkeypatch.setattr(validation, "publish_docs", publish)
    assert features.publish_docs(run, raw) == "http://page"
    ((quarantine, report, page, tags),) = publish.calls
    assert (quarantine, report.suite, page.name, tags) == (judged, "tumours", page.name, run.tags)


def test_while_mlflow_is_down_the_page_is_a_file(
    run: Run, raw: DatasetRef, judged: DatasetRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> str:
        raise ServiceUnavailable("MLflow does not answer")

    monkeypatch.setattr(validation, "publish_docs", refuse)
    assert features.publish_docs(run, raw).startswith("file://")


@pytest.mark.usefixtures("judged")
def test_the_page_of_another_delivery_is_not_shown(run: Run, publish: Publish) -> None:
    assert features.publish_docs(run, publish(c.RAW, LABEL, value=2.0)) == ""


def test_no_quarantine_no_page(run: Run, raw: DatasetRef) -> None:
    assert features.publish_docs(run, raw) == ""


def test_a_failed_validation_shows_its_page(run: Run, raw: DatasetRef, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ValidationFailed("too many rows")

    shown: list[str] = []
    monkeypatch.setattr(validation, "validate", fail)
    monkeypatch.setattr(features, "publish_docs", lambda run, raw: f"page of {raw.partition}")
    with pytest.raises(ValidationFailed):
        features.validate(run, raw, show_page=shown.append)
    assert shown == [f"page of {LABEL}"]


@pytest.mark.usefixtures("raw")
def test_features_name_the_windows_that_are_behind(run: Run, publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    """A delivery of this window that is not in use counts, one of a later window does not."""
    validated, made = publish(c.VALIDATED, LABEL), publish(c.FEATURES, "2026-01-02")
    publish(c.RAW, "2026-01-02..2026-01-03")
    monkeypatch.setattr(features_stage, "build_features", lambda *_: made)
    published = features.build_features(run, Window.from_label(LABEL), validated, ["2025-12-30..2025-12-31"])
    assert published.windows == ("2025-12-30..2025-12-31", LABEL)
    assert published.to_json() == {
        "window": LABEL,
        "as_of": "2026-01-02",
        "validated": validated.to_json(),
        "features": made.to_json(),
        "behind": [LABEL],
        "late": ["2025-12-30..2025-12-31"],
    }


def test_late_rows_alone_make_features(run: Run, publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a closed day, on which the files of a week come."""
    made, asked = publish(c.FEATURES, "2026-01-02"), Recorder()
    monkeypatch.setattr(features, "build_features_as_of", lambda _, as_of: asked(as_of) or made)
    published = features.build_features(run, Window.from_label(LABEL), None, ["2025-12-30..2025-12-31"])
    assert published.windows == ("2025-12-30..2025-12-31",) and published.validated is None
    assert asked.calls == [(date(2026, 1, 2),)]
    with pytest.raises(NothingToDo, match="no new rows in 2026-01-01"):
        features.build_features(run, Window.from_label(LABEL), None)


def test_a_refused_late_delivery_does_not_stop_the_others(run: Run, publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    windows = [Window(start=date(2025, 12, day), end=date(2025, 12, day + 1)) for day in (27, 28, 29, 30)]
    monkeypatch.setattr(ingestion, "find_late_windows", lambda *_, **__: windows)
    seen: list[tuple[str, date | None]] = []

    def ingest(name: str, source: Any, folder: Any, window: Window, storage: Storage, *, found_by: date | None) -> Any:
        seen.append((window.label, found_by))
        if window is windows[0]:
            raise SourceError("the file is empty")
        return publish(c.RAW, window.label)

    def validate(_run: Run, raw: DatasetRef) -> None:
        if raw.partition == windows[1].label:
            raise ValidationFailed("too many rows")

    told: list[str] = []
    monkeypatch.setattr(ingestion, "ingest", ingest)
    monkeypatch.setattr(features, "validate", validate)
    monkeypatch.setattr(features, "notify", lambda title, text, level: told.append(text))
    assert features.read_late(run, Window.from_label(LABEL)) == [one.label for one in windows[2:]]
    assert seen == [(one.label, date(2026, 1, 2)) for one in windows]
    (text,) = told
    assert "the file is empty" in text and "too many rows" in text

"""The whole stage: snapshots in, one MLflow run, a report out; against a store of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tasks.columns import EVENT_ID, ITEM_ID, PREDICTION, PREDICTIONS, QUANTITY, ROW_ID, SEGMENT, UNIT_PRICE, USER_ID, VALIDATED
from tasks.contracts.base import Window
from tasks.contracts.data import DatasetRef
from tasks.contracts.monitoring import DriftReport
from tasks.errors import ConfigurationError
from tasks.io import tracking
from tasks.io.storage import Storage, frame_writer
from tasks.settings import ROOT
from tasks.stages.monitoring import Side, WindowPair, monitor, recent
from tasks.stages.monitoring import report as report_module
from tasks.stages.monitoring.checks.base import DriftCheck
from tasks.stages.monitoring.checks.distributions import ColumnDrift, PredictionDrift
from tasks.stages.monitoring.checks.faults import DoubledRows
from tasks.stages.monitoring.report_page import write_page
from tests.tasks.stages.monitoring.samples import make_rows, make_scores

WINDOW = Window(start=date(2011, 3, 1), end=date(2011, 3, 8))
CHECKS: tuple[DriftCheck, ...] = (
    ColumnDrift(columns=(UNIT_PRICE, QUANTITY, ITEM_ID, SEGMENT), method="jensenshannon", threshold=0.2),
    ColumnDrift(columns=(UNIT_PRICE,), method="psi", threshold=0.2),
    PredictionDrift(method="jensenshannon", threshold=0.2),
)


def publish(storage: Storage, window: Window, rows: pd.DataFrame) -> DatasetRef:
    return storage.publish(
        use_case="shop", layer=VALIDATED, partition=window.label, tables={"rows": frame_writer(rows)}, facts={}
    )


def publish_answers(storage: Storage, day: date, scores: pd.DataFrame, version: int = 1) -> DatasetRef:
    """A batch: two items for each user. Every tenth user is unknown to the model."""
    users = [f"u{place // 2}" for place in range(len(scores))]
    paths = ["popular" if place // 2 % 10 == 0 else "model" for place in range(len(scores))]
    rows = pd.DataFrame({USER_ID: users, ITEM_ID: scores[ROW_ID], PREDICTION: scores[PREDICTION], "path": paths})
    return storage.publish(
        use_case="shop", layer=PREDICTIONS, partition=f"v{version}.{day}", tables={"rows": frame_writer(rows)}, facts={}
    )


def call(storage: Storage, current: pd.DataFrame, reference: list[pd.DataFrame], **changed: Any) -> DriftReport:
    days = [Window(start=date(2011, 2, day), end=date(2011, 2, day + 1)) for day in range(1, 1 + len(reference))]
    scores = changed.pop("scores", make_scores(1_000, 2, shift=1))
    answers = [publish_answers(storage, date(2011, 3, 1), scores)] if len(scores) else []
    before = [publish_answers(storage, date(2011, 2, 1), make_scores(1_000, 1))] if reference else []
    pair = WindowPair(
        WINDOW,
        Side([publish(storage, WINDOW, current)], answers),
        Side([publish(storage, day, rows) for day, rows in zip(days, reference, strict=True)], before),
        "version 1, data before 2011-03-01",
    )
    options: dict[str, Any] = {"checks": CHECKS, "seed": 7, "run_tags": {"dag_run": "by hand"}, **changed}
    return monitor("shop", pair=pair, storage=storage, **options)


def fetched_by(page: str) -> list[str]:
    """What a browser would have to fetch to show a page and the pages in its frames."""
    found: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.extend(value for name, value in attrs if name in {"src", "href"} and tag != "a" and value)
            found.extend(address for name, value in attrs if name == "srcdoc" and value for address in fetched_by(value))

    Reader().feed(page)
    return [address for address in found if not address.startswith("data:")]


def runs() -> list[Any]:
    client = tracking.get_client()
    return list(client.search_runs([tracking.get_experiment(client, "shop")]))


def test_a_report_is_one_run_with_page_plot_and_figures(storage: Storage, mlflow_store: None) -> None:
    report = call(storage, make_rows(2_000, 3, prices=2.0), [make_rows(1_500, seed) for seed in (1, 2)])
    assert [(r.check, r.column, r.violated) for r in report.checks] == [
        ("column_drift", UNIT_PRICE, True),
        ("column_drift", QUANTITY, False),
        ("column_drift", ITEM_ID, False),
        ("column_drift", SEGMENT, False),
        ("column_drift", UNIT_PRICE, True),
        ("prediction_drift", PREDICTION, True),
    ]
    assert report.violated and (report.current_rows, report.reference_rows) == (2_000, 3_000)

    (run,) = runs()
    assert (run.info.run_id, run.info.run_name, run.info.status) == (report.run_id, f"monitoring {WINDOW.label}", "FINISHED")
    assert run.data.tags["dag_run"] == "by hand"
    assert run.data.metrics["drift_unit_price"] == report.checks[0].value
    assert run.data.metrics["drift_unit_price_psi"] == report.checks[4].value
    assert run.data.metrics["violations"] == 3
    assert {a.path for a in tracking.get_client().list_artifacts(run.info.run_id)} == {
        "drift.html",
        "drift.json",
        "drift.png",
        "history.png",
    }
    assert report.report_uri.endswith(f"/runs/{run.info.run_id}/artifacts/drift.html")
    assert DriftReport.from_json(tracking.read_run_dict(run.info.run_id, "drift.json")["report"]) == report


def test_the_page_needs_no_other_server(storage: Storage, mlflow_store: None, tmp_path: Path) -> None:
    report = call(storage, make_rows(300, 2), [make_rows(300, 1)])
    page = Path(tracking.get_client().download_artifacts(report.run_id, "drift.html", str(tmp_path))).read_text()
    assert "<h1>shop, 2011-03-01..2011-03-08: drift</h1>" in page and "<iframe" in page
    assert fetched_by(page) == []
    assert "item_coverage" in page and "why it is missing" not in page
    missing = report.model_copy(update={"notes": {"hit_rate": "nobody answered", "dcg": "nobody answered"}})
    assert "hit_rate, dcg" in write_page(missing, "") and "nobody answered" in write_page(missing, "")
    framed = f'<iframe srcdoc="{escape("<script src=https://cdn.example/c.js></script>")}"></iframe>'
    assert fetched_by(framed) == ["https://cdn.example/c.js"]
    broken = "<script src='https://cdn.example/a.js'></script><link href='b.css'><img src='data:image/png;base64,'>"
    assert fetched_by(broken) == ["https://cdn.example/a.js", "b.css"]


def test_the_same_comparison_is_made_once(storage: Storage, mlflow_store: None) -> None:
    frames = make_rows(400, 2), [make_rows(400, 1)]
    first = call(storage, *frames)
    assert call(storage, frames[0].sample(frac=1, random_state=1), frames[1]) == first
    assert len(runs()) == 1
    others = [
        call(storage, make_rows(400, 3), frames[1]),
        call(storage, *frames, checks=CHECKS[:1]),
        call(storage, *frames, scores=make_scores(500, 4)),
        call(storage, *frames, seed=8),
    ]
    assert len({first.run_id, *(report.run_id for report in others)}) == len(runs()) == 5


def test_a_run_that_died_is_made_again(storage: Storage, mlflow_store: None, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = make_rows(400, 2), [make_rows(400, 1)]
    with monkeypatch.context() as broken:
        broken.setattr(tracking.TrackedRun, "log_dict", lambda *_: (_ for _ in ()).throw(OSError("no space left")))
        with pytest.raises(OSError, match="no space left"):
            call(storage, *frames)
    report = call(storage, *frames)
    assert sorted(run.info.status for run in runs()) == ["FAILED", "FINISHED"]
    assert next(run for run in runs() if run.info.status == "FINISHED").info.run_id == report.run_id


def test_too_few_values_are_not_judged(storage: Storage, mlflow_store: None) -> None:
    report = call(storage, make_rows(400, 2), [], scores=make_scores(0, 2))
    assert not report.violated and report.report_uri == "" and report.reference_rows == 0
    assert {result.note for result in report.checks} == {
        "not judged: 0 users, events or rows in the reference, 50 needed",
        "not judged: 0 users, events or rows in the window, 50 needed",
    }
    assert json.loads(json.dumps(report.to_json())) == report.to_json()


def test_a_missing_column_is_named(storage: Storage, mlflow_store: None) -> None:
    check = ColumnDrift(columns=("unit_prize",), method="psi", threshold=0.2)
    with pytest.raises(ConfigurationError, match=r"shop: drift\.checks: no column 'unit_prize' in .*allowed: .*unit_price"):
        call(storage, make_rows(200, 2), [make_rows(200, 1)], checks=[check])
    assert runs() == []


def test_many_rows_are_counted_by_spark_with_the_same_verdict(
    storage: Storage, mlflow_store: None, spark: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = (*CHECKS, DoubledRows())
    frames = make_rows(900, 3, prices=2.0), [make_rows(800, seed) for seed in (1, 2)]
    few = call(storage, *frames, checks=checks, seed=1)
    monkeypatch.setattr(report_module, "SMALL_ROWS", 100)
    many = call(storage, *frames, checks=checks, seed=2)
    assert [[r.column, r.violated, r.value] for r in few.checks] == [
        [r.column, r.violated, pytest.approx(r.value)] for r in many.checks
    ]
    assert many.figures == pytest.approx(few.figures) and few.figures["cold_share"] == 0.1
    nothing = call(storage, frames[0], [], checks=checks, seed=3)
    assert {check.value for check in nothing.checks if check.check == "column_drift"} == {0}


@pytest.mark.parametrize("few", [10_000, 10], ids=["in memory", "in Spark"])
def test_answers_of_rows_are_those_of_the_compared_windows(
    few: int, storage: Storage, mlflow_store: None, spark: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each batch of a table answers all rows so far. 100 new rows with other answers beside 900 old ones are a drift."""
    monkeypatch.setattr(report_module, "SMALL_ROWS", few)
    old, new = make_rows(900, 1).assign(**{EVENT_ID: pd.Series([None] * 900, dtype="string")}), make_rows(100, 2)
    new = new.assign(**{ROW_ID: [f"new{n}" for n in range(100)], EVENT_ID: [f"n{n}" for n in range(100)]})
    made = []
    for day, names, scores in (
        (date(2011, 2, 1), old[ROW_ID], [0.2] * 900),
        (date(2011, 3, 1), pd.concat([old[ROW_ID], new[EVENT_ID]]), [0.2] * 900 + [0.8] * 100),
    ):
        rows = pd.DataFrame({ROW_ID: names, PREDICTION: scores})
        partition = f"v1.{day}"
        made.append(
            storage.publish(
                use_case="shop", layer=PREDICTIONS, partition=partition, tables={"rows": frame_writer(rows)}, facts={}
            )
        )
    before = publish(storage, Window(start=date(2011, 2, 1), end=date(2011, 2, 2)), old)
    pair = WindowPair(WINDOW, Side([publish(storage, WINDOW, new)], [made[1]]), Side([before], [made[0]]), "version 1")
    check = PredictionDrift(method="jensenshannon", threshold=0.2)
    (found,) = monitor("shop", [check], pair, storage, seed=7, run_tags={"dag_run": "by hand"}).checks
    assert found.violated and found.value > 0.8, "all 1,000 answers together differ by 0.2"


@pytest.mark.servers
def test_the_stage_imports_no_heavy_library() -> None:
    heavy = "pandas pyspark mlflow great_expectations evidently sklearn scipy matplotlib"
    modules = "tasks.stages.monitoring, tasks.stages.monitoring.checks"
    code = f"import sys, {modules}; print(*(set({heavy.split()}) & set(sys.modules)))"
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert completed.stdout.split() == []


def test_recent_takes_the_newest_days_of_the_champion(storage: Storage) -> None:
    days = [Window(start=date(2011, 2, day), end=date(2011, 2, day + 1)) for day in range(1, 11)]
    refs = [publish(storage, day, make_rows(5, 1)) for day in days]
    assert recent(refs, date(2011, 2, 9), 3) == refs[5:8]
    assert recent(refs, date(2011, 5, 1), 3) == []

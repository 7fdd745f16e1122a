"""Which snapshots a window is compared with, from storage and prediction log to the report."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from tasks import columns as c
from tasks.contracts.base import TaskKind, Window
from tasks.contracts.monitoring import DriftReport
from tasks.contracts.promotion import ModelVersion
from tasks.io.prediction_log import PredictionLog
from tasks.io.storage import Storage
from tasks.stages.monitoring import LabelPolicy, MonitoringTerms, monitor_window
from tasks.stages.monitoring.checks.distributions import ColumnDrift
from tasks.stages.monitoring.checks.faults import FrozenRows
from tasks.stages.monitoring.checks.figures import Bound
from tests.tasks.stages.monitoring.samples import make_rows
from tests.tasks.stages.monitoring.test_labels import answer
from tests.tasks.stages.monitoring.test_monitor import publish, publish_answers

FIRST = date(2011, 1, 3)
CHECKS = (
    ColumnDrift(columns=(c.UNIT_PRICE,), method="psi", threshold=0.2),
    FrozenRows(),
    Bound(figure="hit_rate", at_least=0.5),
)


def week(number: int) -> Window:
    return Window.before(FIRST + timedelta(days=7 * (number + 1)), 7)


def champion(learned: int) -> ModelVersion:
    digest = "a" * 64
    return ModelVersion(
        use_case="shop",
        version=1,
        run_id="r",
        model_uri="models:/m-1",
        kind="als",
        manifest_digest=digest,
        data_digest=digest,
        report_digest=digest,
        code_version="c",
        passed=True,
        as_of=week(learned).end,
    )


def see(storage: Storage, home: Path, number: int, **changed: Any) -> DriftReport | None:
    terms = MonitoringTerms(
        **{"task": TaskKind.PROPENSITY, "checks": CHECKS, "labels": LabelPolicy(), "reference_days": 14, **changed}
    )
    log = PredictionLog(home / "predictions")
    return monitor_window(terms, week(number), champion(2), storage, log, seed=7, run_tags={})


def fill(storage: Storage, weeks: int = 5, **columns: Any) -> list[pd.DataFrame]:
    frames = [make_rows(140, number, start=week(number).start, days=7).assign(**columns) for number in range(weeks)]
    for number, frame in enumerate(frames):
        publish(storage, week(number), frame)
    return frames


def test_the_reference_is_the_newest_days_of_the_champion(storage: Storage, own_home: Path, mlflow_store: None) -> None:
    frames = fill(storage)
    publish_answers(storage, week(4).start, pd.DataFrame({c.ROW_ID: list("abcd"), c.PREDICTION: [0.1] * 4}))
    publish_answers(storage, week(4).start, pd.DataFrame({c.ROW_ID: list("ab"), c.PREDICTION: [0.1] * 2}), version=2)
    report = see(storage, own_home, 4)
    assert report is not None
    assert (report.current_rows, report.reference_rows, report.new_labels) == (140, 280, 280)
    assert report.reference == f"version 1, data before {week(2).end}"
    assert report.figures["answers"] == 4, "the champion's answers, not another version's"
    assert len(report.evidence) == 64 and not report.violated
    wider = see(storage, own_home, 4, reference_days=7, current_days=14)
    assert wider is not None and (wider.current_rows, wider.reference_rows) == (280, 140)
    assert see(storage, own_home, 9) is None, "nothing was validated there"

    later = frames[3].assign(**{c.EVENT_AT: frames[3][c.EVENT_AT] + pd.Timedelta(days=7)})
    again = later.assign(**{c.ROW_ID: "x" + frames[3][c.ROW_ID]})
    publish(storage, week(4), again)
    frozen = see(storage, own_home, 4)
    assert frozen is not None and [one.check for one in frozen.checks if one.violated] == ["frozen_rows"]
    assert frozen.evidence != report.evidence, "other data are another look"


def test_mature_answers_are_measured_in_the_same_look(storage: Storage, own_home: Path, mlflow_store: None, spark: Any) -> None:
    log = PredictionLog(own_home / "predictions")
    day = (week(4).start - date(2011, 3, 1)).days - 4  # the cohort lies three days of attribution and one of lateness before
    log.append(
        [answer("p1", "u", ("20001", "20002"), day), answer("p2", "v", ("20003",), day), answer("new", "w", ("20001",), 400)]
    )
    bought: dict[str, Any] = {c.USER_ID: "u", c.ITEM_ID: "20002", c.EVENT_TYPE: c.PURCHASE, c.VALUE: 1.0}
    fill(storage, **bought)
    terms = {"labels": LabelPolicy(attribution_days=3, late_days=1)}
    report = see(storage, own_home, 4, **terms)
    assert report is not None
    assert {name: report.figures[name] for name in ("matured_answers", "hit_rate", "label_coverage")} == {
        "matured_answers": 2,
        "hit_rate": 0.5,
        "label_coverage": 1.0,
    }
    assert report.figures["log_cold_share"] == 0 and report.figures["value_per_answer"] > 1
    late = PredictionLog(own_home / "predictions")
    late.append([answer("p3", "u", ("20001",), day)])
    assert see(storage, own_home, 4, labels=LabelPolicy(attribution_days=3, late_days=1)) == report, (
        "a cohort is looked at once"
    )

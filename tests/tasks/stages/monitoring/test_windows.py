"""Which snapshots a window is compared with, from storage and prediction log to the report."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind, Window
from tasks.contracts.monitoring import DriftReport
from tasks.contracts.promotion import ModelVersion
from tasks.io.events import EventStore
from tasks.io.prediction_log import PredictionLog
from tasks.io.storage import Storage
from tasks.stages.monitoring import AnswerRecords, LabelPolicy, MonitoringTerms, monitor_window
from tasks.stages.monitoring.checks.distributions import ColumnDrift, PredictionDrift
from tasks.stages.monitoring.checks.faults import DoubledRows, FrozenRows, MissingDays, Volume
from tasks.stages.monitoring.checks.figures import Bound
from tasks.stages.monitoring.windows import count_labels
from tests.tasks.stages.monitoring.samples import make_rows, make_scores, repeat_rows
from tests.tasks.stages.monitoring.test_labels import answer
from tests.tasks.stages.monitoring.test_monitor import publish, publish_answers

FIRST = date(2011, 1, 3)
NOON = datetime(2011, 2, 1, 12, tzinfo=UTC)  # of a day of week 4
CHECKS = (
    ColumnDrift(columns=(c.UNIT_PRICE,), method="psi", threshold=0.2),
    FrozenRows(),
    Bound(figure="hit_rate", at_least=0.5),
)


def week(number: int) -> Window:
    return Window.before(FIRST + timedelta(days=7 * (number + 1)), 7)


def champion(learned: int, version: int = 1) -> ModelVersion:
    digest = "a" * 64
    return ModelVersion(
        use_case="shop",
        version=version,
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


def records_of(home: Path) -> AnswerRecords:
    return AnswerRecords(PredictionLog(home / "predictions"), EventStore(f"sqlite:///{home}/events.db"))


def see(storage: Storage, home: Path, number: int, reigning: int = 1, **changed: Any) -> DriftReport | None:
    terms = MonitoringTerms(
        **{"task": TaskKind.PROPENSITY, "checks": CHECKS, "labels": LabelPolicy(), "reference_days": 14, **changed}
    )
    return monitor_window(terms, week(number), champion(2, reigning), storage, records_of(home), seed=7, run_tags={})


def fill(storage: Storage, weeks: int = 5, **columns: Any) -> list[pd.DataFrame]:
    columns = {c.USER_ID: "u", c.EVENT_TYPE: c.PURCHASE, **columns}
    frames = [make_rows(140, number, start=week(number).start, days=7).assign(**columns) for number in range(weeks)]
    frames = [frame.assign(**{c.SOURCE_FILE: f"week-{number}.csv"}) for number, frame in enumerate(frames)]
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


def test_labels_are_counted_and_not_rows(storage: Storage, own_home: Path) -> None:
    frames = fill(storage, weeks=5)
    kinds = [c.VIEW, c.RETURN, c.PURCHASE, c.PURCHASE]
    mixed = frames[3].assign(**{c.EVENT_TYPE: [kinds[n % 4] for n in range(140)]})
    mixed.loc[mixed.index % 4 == 3, c.USER_ID] = None
    publish(storage, week(3), mixed)
    both = Window(start=week(3).start, end=week(4).end)
    publish(storage, both, pd.concat([mixed, frames[4]]))  # the two weeks again, with a late file
    history = storage.history("shop", c.VALIDATED, week(4).end)
    count = {task: count_labels(storage, history, task, week(2).end) for task in (TaskKind.PROPENSITY, TaskKind.RATING)}
    assert count == {TaskKind.PROPENSITY: 35 + 140, TaskKind.RATING: 0}
    assert count_labels(storage, history, TaskKind.PROPENSITY, week(4).end - timedelta(days=1)) == 20, "of the last day"


def test_rows_that_come_again_are_no_new_labels(storage: Storage) -> None:
    def table(number: int) -> pd.DataFrame:
        rows = make_rows(4, 1, start=week(number).start, days=1)
        return rows.assign(**{c.SOURCE_FILE: "t.csv"}).assign(**{c.TARGET: pd.array([0, 1, 1, None], dtype="Int64")})

    refs = [publish(storage, week(number), table(number)) for number in range(2)]
    assert count_labels(storage, refs, TaskKind.CLASSIFICATION, week(0).end) == 3
    learned = [publish(storage, week(7), table(0)[[c.ROW_ID]].iloc[:2])]
    assert count_labels(storage, refs, TaskKind.CLASSIFICATION, week(0).end, learned) == 1


def test_labels_that_are_delivered_again_count_once(storage: Storage) -> None:
    """By the names that the source gives: of rows, and of an order that was corrected."""
    rows = make_rows(4, 1, start=week(0).start, days=1)
    rows[c.TARGET], rows[c.EVENT_ID] = [0, 1, 1, 0], list("abcd")
    again = rows.copy()
    again[c.ROW_ID], again[c.SOURCE_FILE] = "t:" + rows[c.ROW_ID].astype(str), "t.csv"
    refs = [publish(storage, week(0), rows), publish(storage, week(1), again)]
    assert count_labels(storage, refs, TaskKind.CLASSIFICATION, week(0).start) == 4
    learned = [publish(storage, week(7), pd.DataFrame({c.ROW_ID: ["a", "b", "c"]}))]
    assert count_labels(storage, refs, TaskKind.CLASSIFICATION, week(0).start, learned) == 1
    refs = []
    for number in range(2):
        order = again.copy()
        order[c.EVENT_TYPE], order[c.USER_ID], order[c.EVENT_ID], order[c.SOURCE_FILE] = c.PURCHASE, "u", "o", f"{number}"
        order[c.ITEM_ID], order[c.ROW_ID] = ["x", "x", "y", "x"], f"{number}:" + again[c.ROW_ID]
        refs.append(publish(storage, week(number), order))
    assert count_labels(storage, refs, TaskKind.PROPENSITY, week(0).start) == 2, "one order, two items"


def test_predictions_of_a_late_approval_have_a_reference(storage: Storage, own_home: Path, mlflow_store: None) -> None:
    """The champion learned from two weeks, and a person approved it in the third."""
    fill(storage, weeks=6)
    check = PredictionDrift(method="jensenshannon", threshold=0.2)
    for number in (3, 4, 5):
        publish_answers(
            storage, week(number).start + timedelta(days=2), make_scores(400, number, shift=2.0 if number == 5 else 0.0)
        )
    first, calm, moved = (see(storage, own_home, number, checks=(check,)) for number in (3, 4, 5))
    assert first is not None and first.checks[0].note == "not judged: 0 users, events or rows in the reference, 50 needed"
    assert calm is not None and not calm.violated and calm.checks[0].note == ""
    assert moved is not None and moved.violated


def test_outcomes_of_unknown_predictions_are_counted(
    storage: Storage, own_home: Path, mlflow_store: None, caplog: pytest.LogCaptureFixture
) -> None:
    fill(storage, weeks=5)
    records = records_of(own_home)
    records.log.append([answer("known", "u")])
    records.log.write_batch("shop", "b", [answer("batch", "u")])
    told = [{"prediction_id": name, "item_id": "", "label": 1.0, "happened_at": NOON} for name in ("known", "batch", "lost")]
    records.events.add_outcomes("shop", told, NOON)
    report = see(storage, own_home, 4)
    assert report is not None
    assert (report.figures["sent_outcomes"], report.figures["unknown_outcomes"]) == (3, 1)
    assert "1 of 3 outcomes" in caplog.text and "such as lost" in caplog.text
    quiet = see(storage, own_home, 3)
    assert quiet is not None and quiet.figures["sent_outcomes"] == 0


def test_faults_are_looked_for_in_the_window_alone(storage: Storage, own_home: Path, mlflow_store: None) -> None:
    """With two weeks compared, a source that repeats last week is seen, and its doubles of last week count once."""
    frames = fill(storage)
    again = repeat_rows(frames[3], 7)
    publish(storage, week(4), again)
    frozen = see(storage, own_home, 4, current_days=14)
    assert frozen is not None and [one.check for one in frozen.checks if one.violated] == ["frozen_rows"]
    publish(storage, week(4), frames[4])
    publish(storage, week(3), pd.concat([frames[3], repeat_rows(frames[3])], ignore_index=True))
    checks = (DoubledRows(), Volume(factor=1.8), MissingDays())
    doubled, sound = (see(storage, own_home, number, checks=checks, current_days=14) for number in (3, 4))
    assert doubled is not None and {one.check for one in doubled.checks if one.violated} == {"doubled_rows", "volume"}
    assert sound is not None and not sound.violated


def test_mature_answers_are_measured_in_the_same_look(storage: Storage, own_home: Path, mlflow_store: None, spark: Any) -> None:
    log = PredictionLog(own_home / "predictions")
    day = (week(4).start - date(2011, 3, 1)).days - 4  # the cohort lies three days of attribution and one of lateness before
    log.append(
        [answer("p1", "u", ("20001", "20002"), day), answer("p2", "v", ("20003",), day), answer("new", "w", ("20001",), 400)]
    )
    bought: dict[str, Any] = {c.USER_ID: "u", c.ITEM_ID: "20002", c.EVENT_TYPE: c.PURCHASE, c.VALUE: 1.0}
    fill(storage, **bought)
    terms: dict[str, Any] = {"labels": LabelPolicy(attribution_days=3, late_days=1)}
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
    assert see(storage, own_home, 4, **terms) == report, "a cohort is looked at once"

    promoted = see(storage, own_home, 4, reigning=2, **terms)
    assert promoted is not None and not promoted.violated, "what another version answered asks for no retraining"
    (bound,) = (one for one in promoted.checks if one.check == "bound")
    assert bound.note == f"not judged: {promoted.notes['hit_rate']}" and "are of version 1, and version 2" in bound.note

"""The decisions of a training: its as_of, the request that it answers, and which candidates need the champion."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.data import DatasetRef, Split
from tasks.contracts.judging import Evaluation, FailedCandidate, JudgedHoldout, Outcome, Role, Spending, Unscored
from tasks.contracts.promotion import LostVersion, ModelVersion
from tasks.contracts.training import Candidate
from tasks.errors import ModelError, NothingToDo, ServiceUnavailable
from tasks.io.storage import Storage, frame_writer
from tasks.jobs import training
from tasks.jobs.run import Run
from tasks.settings import get_settings
from tasks.stages import evaluation, profiling, registry
from tasks.stages import features as features_stage
from tasks.stages import training as training_stage
from tasks.stages.evaluation import Scores
from tasks.stages.features import FeatureRequest
from tasks.stages.training.spec import IncrementalSpec
from tests.tasks.jobs.conftest import CASE, Publish, Recorder
from tests.tasks.stages.evaluation.contexts import candidate as make_candidate

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAY = date(2026, 1, 10)
REQUESTS = [
    {"as_of": "2026-01-02", "idempotency_key": "first"},
    {"as_of": "2026-01-03", "idempotency_key": "second"},
]
VERSION = ModelVersion(
    use_case=CASE,
    version=3,
    run_id="r",
    model_uri="models:/m-1",
    kind="logistic_regression",
    manifest_digest="f" * 64,
    data_digest="d" * 64,
    report_digest="e" * 64,
    code_version="abc",
    passed=True,
    as_of=DAY,
)


@pytest.fixture
def splits(monkeypatch: pytest.MonkeyPatch) -> list[date]:
    """The as_of days of the requested splits; nothing is split."""
    days: list[date] = []

    def record(request: FeatureRequest, *_: Any, **__: Any) -> str:
        days.append(request.as_of)
        return "split"

    monkeypatch.setattr(features_stage, "split", record)
    return days


@pytest.fixture
def validated(publish: Publish) -> None:
    for day in range(1, 5):
        publish(c.VALIDATED, f"2026-01-{day:02}..2026-01-{day + 1:02}")


@pytest.mark.usefixtures("validated")
@pytest.mark.parametrize(
    ("as_of", "requests", "expected"),
    [
        (date(2026, 1, 4), REQUESTS, date(2026, 1, 4)),
        (None, REQUESTS, date(2026, 1, 3)),
        (None, [], date(2026, 1, 5)),
    ],
    ids=["the form", "the newest request", "the newest validated day"],
)
def test_the_day_of_a_split(
    run: Run, splits: list[date], as_of: date | None, requests: list[dict[str, str]], expected: date
) -> None:
    training.split(run, as_of=as_of, requests=requests, day=DAY)
    assert splits == [expected]


@pytest.mark.usefixtures("validated")
def test_no_day_after_the_run_is_read(run: Run, splits: list[date]) -> None:
    training.split(run, as_of=None, requests=[], day=date(2026, 1, 3))
    assert splits == [date(2026, 1, 3)]


def test_without_validated_rows_there_is_nothing_to_do(run: Run, splits: list[date]) -> None:
    with pytest.raises(NothingToDo, match="nothing is validated up to 2026-01-10"):
        training.split(run, as_of=None, requests=REQUESTS[:0], day=DAY)
    assert splits == []


@pytest.mark.usefixtures("validated")
def test_a_request_is_answered_by_one_training(run: Run, splits: list[date]) -> None:
    other = Run.open(CASE, run_id="other")
    training.split(run, as_of=None, requests=REQUESTS, day=DAY)
    training.split(run, as_of=None, requests=REQUESTS, day=DAY)  # a task that is tried again
    with pytest.raises(NothingToDo, match="another training answers this request already: first, second"):
        training.split(other, as_of=None, requests=REQUESTS, day=DAY)
    training.split(other, as_of=None, requests=[*REQUESTS, {"as_of": "2026-01-04", "idempotency_key": "third"}], day=DAY)
    assert len(splits) == 3
    assert {one.idempotency_key: one.taken_by for one in run.decision_log.requests(CASE)} == {
        "first": "run",
        "second": "run",
        "third": "other",
    }


@pytest.mark.usefixtures("validated", "splits")
def test_trainings_by_hand_do_not_compete(run: Run) -> None:
    for one in (run, Run.open(CASE, run_id="other")):
        training.split(one, as_of=None, requests=[], day=DAY)
    assert [one.taken_by for one in run.decision_log.requests(CASE)] == ["other", "run"]


@pytest.mark.usefixtures("validated")
def test_snapshots_name_the_airflow_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage publishes through the storage of the job's run."""
    published: list[DatasetRef] = []

    def publish_through(storage: Storage) -> Any:
        frame = pd.DataFrame({c.ROW_ID: ["r1"]})
        tables = {c.ROWS: frame_writer(frame)}
        published.append(storage.publish(use_case=CASE, layer=c.EXAMPLES, partition=f"p{len(published)}", tables=tables))
        return ()

    monkeypatch.setattr(features_stage, "split", lambda _, __, storage, **___: publish_through(storage))
    training.split(run, as_of=None, requests=[], day=DAY)
    made = [run.storage.manifest(ref)["made"]["run"] for ref in published]
    assert made == [f"{CASE}.training/run"]


def test_a_failed_training_settles_its_requests(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    run.decision_log.take_request(CASE, "first", DAY, "run")
    run.decision_log.take_request(CASE, "second", DAY, "other")
    monkeypatch.setenv("TITLEHOLDER_USE_CASES", str(tmp_path))  # the use case's file is gone
    get_settings.cache_clear()
    training.give_up(CASE, "run")
    assert {one.taken_by: (one.version, one.passed) for one in run.decision_log.requests(CASE)} == {
        "run": (None, False),
        "other": (None, None),
    }


def test_registering_settles_the_requests_of_the_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Judged:
        passed = True
        candidate = VERSION.model_copy(update={"name": "model"})

    monkeypatch.setattr(registry, "register", lambda *_, **__: VERSION)
    monkeypatch.setattr(training, "refit", lambda _, verdict: verdict)
    run.decision_log.take_request(CASE, "first", DAY, "run")
    assert training.register(run, Judged()) == VERSION  # type: ignore[arg-type]  # the job passes it on
    (request,) = run.decision_log.requests(CASE)
    assert (request.version, request.passed) == (3, True)


@pytest.mark.parametrize(
    ("candidate", "incremental", "expected"),
    [("prior", (), None), ("logistic_regression", (), VERSION), ("prior", ("prior",), VERSION)],
    ids=["neither", "tuned", "begins warm"],
)
def test_which_candidates_start_from_the_champion(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    candidate: str,
    incremental: tuple[str, ...],
    expected: ModelVersion | None,
) -> None:
    """The use case tunes the logistic regression."""
    case = run.use_case.model_copy(update={"incremental": IncrementalSpec.model_construct(candidates=incremental)})
    champion_of = Recorder(returns=VERSION)
    monkeypatch.setattr(registry, "champion_of", champion_of)
    assert training.champion_for(Run(case, run.settings, run.storage, "run"), candidate) == expected
    assert len(champion_of.calls) == (expected is not None)


def test_a_candidate_begins_from_nothing_where_the_champion_is_lost(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = LostVersion(use_case=CASE, version=3, reason="it was deleted")
    monkeypatch.setattr(registry, "champion_of", lambda *_: lost)
    assert training.champion_for(run, "logistic_regression") is None


# candidates that fail


def trained(name: str) -> Candidate:
    return make_candidate().model_copy(update={"name": name})


def test_every_candidate_that_is_missing_has_a_reason() -> None:
    failed = training.list_failed(["a", "b", "c", "d"], [trained("a"), trained("d")], {"b": "too many items", "d": "at first"})
    assert [one.name for one in failed] == ["b", "c"]
    assert failed[0].reason == "too many items"
    assert "killed, or ran out of memory or time" in failed[1].reason


def test_the_candidates_that_are_left_are_judged(run: Run, publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(registry, "champion_of", lambda *_: None)
    monkeypatch.setattr(evaluation, "evaluate", lambda candidates, *_, **__: Scores(()))

    def judge(chosen: Candidate, *_: Any, **named: Any) -> SimpleNamespace:
        given.update(named, chosen=chosen)
        return SimpleNamespace(passed=False, outcome=None, comparisons=())

    monkeypatch.setattr(evaluation, "judge", judge)
    monkeypatch.setattr(training, "report_test_sets", lambda _, verdict, __: verdict)
    examples = publish(c.EXAMPLES, "2026-01-10")
    split = Split(as_of=DAY, train=examples, validation=examples, holdout=examples)
    left = trained("prior").model_copy(update={"metrics": {run.use_case.metrics.primary: 0.5}})
    failed = [FailedCandidate(name="ease", reason="too many items")]
    training.judge(run, [left], split, endpoint_command=(), failed=failed)
    assert given["chosen"] is left and given["failed"] == failed


def test_a_training_without_a_candidate_fails_with_all_reasons(run: Run, publish: Publish) -> None:
    examples = publish(c.EXAMPLES, "2026-01-10")
    split = Split(as_of=DAY, train=examples, validation=examples, holdout=examples)
    failed = [FailedCandidate(name="ease", reason="too many items"), FailedCandidate(name="ials", reason="no pair")]
    with pytest.raises(ModelError, match=r"no candidate can be judged\. ease: too many items; ials: no pair"):
        training.judge(run, [], split, endpoint_command=(), failed=failed)


def test_a_learning_curve_that_cannot_be_measured_ends_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[Exception] = [ValueError("a share has one class"), ServiceUnavailable("MLflow does not answer")]

    def fail(*_: Any, **__: Any) -> None:
        raise errors.pop(0)

    monkeypatch.setattr(training_stage, "draw_learning_curve", fail)
    left = trained("prior").model_copy(update={"metrics": {run.use_case.metrics.primary: 0.5}})
    assert training.draw_learning_curve(run, [left]) is None
    with pytest.raises(ServiceUnavailable):
        training.draw_learning_curve(run, [left])


def test_a_profile_that_cannot_be_made_ends_nothing(run: Run, publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> str:
        raise ServiceUnavailable("MLflow does not answer")

    monkeypatch.setattr(profiling, "profile", fail)
    examples = publish(c.EXAMPLES, "2026-01-10")
    split = Split(as_of=DAY, train=examples, validation=examples, holdout=examples)
    assert training.profile(run, split) == ""


def test_only_a_version_that_passed_is_announced() -> None:
    assert training.announce_challenger(VERSION) == {"version": 3}
    with pytest.raises(NothingToDo, match="version 3 was refused"):
        training.announce_challenger(VERSION.model_copy(update={"passed": False}))


def test_a_judging_is_recorded_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A retry of the same training spends what it spent; another candidate spends anew; a gain that passed pays back."""
    holdout = JudgedHoldout(as_of=DAY, first_day=date(2026, 1, 1), end=DAY)
    chosen, spent = ["first"], []

    def judge(*_: Any, spending: Spending, **__: Any) -> SimpleNamespace:
        spent.append(spending)
        return SimpleNamespace(passed=True, outcome=Outcome.BETTER, comparisons=(SimpleNamespace(p_better=0.001),))

    monkeypatch.setattr(registry, "champion_of", lambda *_: VERSION)
    monkeypatch.setattr(registry, "anchor_of", lambda *_: None)
    scores = Scores((SimpleNamespace(subject=Role.CHAMPION),))  # type: ignore[arg-type]  # the job asks who was scored
    monkeypatch.setattr(evaluation, "evaluate", lambda *_, **__: scores)
    monkeypatch.setattr(evaluation, "read_holdout", lambda *_: holdout)
    monkeypatch.setattr(evaluation, "choose", lambda *_: chosen[-1])
    monkeypatch.setattr(evaluation, "judging_key", lambda candidate, champion: f"{candidate} {champion.version}")
    monkeypatch.setattr(evaluation, "judge", judge)
    monkeypatch.setattr(training, "report_test_sets", lambda _, verdict, __: verdict)
    for name in ("first", "first", "second"):
        chosen.append(name)
        training.judge(run, [trained(name)], None, endpoint_command=())  # type: ignore[arg-type]  # it is only handed on
    first, retried, second = spent
    assert retried == first and (first.times, second.times) == (1, 2)
    assert second.alpha == pytest.approx(min(0.05, first.wealth + 0.025) / 2)
    assert [(one.found_better, one.p_better) for one in run.judging_log.judgings(CASE)] == [(True, 0.001)] * 2


@pytest.mark.parametrize("is_lost", [False, True])
def test_the_anchor_takes_part_where_it_can_be_scored(run: Run, monkeypatch: pytest.MonkeyPatch, is_lost: bool) -> None:
    reference = DatasetRef(use_case=CASE, layer="x", partition="p", version="0" * 16, digest="0" * 64, rows={})
    scored = Evaluation(
        subject=Role.ANCHOR, name="version_2", model_uri="models:/m", holdout=reference, metrics={}, units=reference
    )
    unscored = Unscored(subject=Role.ANCHOR, name="version_2", reason="it needs the column site")
    judged: list[Any] = []

    def judge(_: Any, scores: Scores, *__: Any, **options: Any) -> SimpleNamespace:
        judged.append((scores, options["anchor"]))
        return SimpleNamespace(passed=False, outcome=None, comparisons=())

    monkeypatch.setattr(registry, "champion_of", lambda *_: VERSION)
    monkeypatch.setattr(registry, "anchor_of", lambda *_: VERSION.model_copy(update={"version": 2}))
    monkeypatch.setattr(evaluation, "evaluate", lambda *_, **__: Scores(()))
    monkeypatch.setattr(evaluation, "evaluate_anchor", lambda *_: unscored if is_lost else scored)
    monkeypatch.setattr(evaluation, "read_holdout", lambda *_: JudgedHoldout(as_of=DAY))
    monkeypatch.setattr(evaluation, "choose", lambda *_: None)
    monkeypatch.setattr(evaluation, "judging_key", lambda *_: "key")
    monkeypatch.setattr(evaluation, "judge", judge)
    monkeypatch.setattr(training, "report_test_sets", lambda _, verdict, __: verdict)
    training.judge(run, [trained("prior")], None, endpoint_command=())  # type: ignore[arg-type]  # it is only handed on
    ((scores, anchor),) = judged
    assert scores == (Scores((), (unscored,)) if is_lost else Scores((scored,)))
    assert anchor.version == 2


def test_examples_and_evaluations_name_the_airflow_run(
    spark: SparkSession, own_home: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the jobs, from validated rows made by another run to the evaluation of a candidate."""
    own_home.mkdir()
    monkeypatch.setenv("TITLEHOLDER_MLFLOW_TRACKING_URI", f"sqlite:///{own_home}/mlflow.db")
    monkeypatch.chdir(own_home)
    get_settings.cache_clear()
    run = Run.open(CASE, run_id="run", dag_id=f"{CASE}.training")
    features_run = Run.open(CASE, run_id="run", dag_id=f"{CASE}.features")
    moment = pd.Timestamp("2026-01-02", tz="UTC").as_unit("us")
    number = np.arange(120)
    rows = pd.DataFrame(
        {c.ROW_ID: [f"t.csv:{n}" for n in number], c.TARGET: number % 2, "x": number * 0.5 + 5.0 * (number % 2)}
    )
    rows[c.SOURCE_FILE], rows[c.EVENT_AT], rows[c.INGESTED_AT], rows[c.AS_IT_CAME] = "t.csv", moment, moment, "{}"
    validated = features_run.storage.publish(
        use_case=CASE, layer=c.VALIDATED, partition="2026-01-01..2026-01-03", tables={c.ROWS: frame_writer(rows)}
    )
    split = training.split(run, as_of=None, requests=[], day=DAY)
    scores: list[Scores] = []

    def judge(_: Candidate, given: Scores, *__: Any, **___: Any) -> SimpleNamespace:
        scores.append(given)
        return SimpleNamespace(passed=False, outcome=None, comparisons=())

    monkeypatch.setattr(evaluation, "judge", judge)
    monkeypatch.setattr(training, "report_test_sets", lambda _, verdict, __: verdict)
    training.judge(run, [training.train(run, "prior", split)], split, endpoint_command=())
    (scored,) = scores[0].evaluations
    made_by = {ref.partition: storage.manifest(ref)["made"]["run"] for ref in (validated, *split.before_holdout, split.holdout)}
    assert made_by.pop(validated.partition) == f"{CASE}.features/run"
    assert len(made_by) == 3 and set(made_by.values()) == {f"{CASE}.training/run"}
    assert storage.manifest(scored.units)["made"]["run"] == f"{CASE}.training/run"

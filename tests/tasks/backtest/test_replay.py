"""The order of the jobs, what a failure stops, and that an interruption at any job changes nothing."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from tasks import clock
from tasks.backtest.journal import Journal, read_journal
from tasks.backtest.plan import Plan, PolicyPlan, Retraining
from tasks.backtest.replay import Replay
from tasks.contracts.base import Window
from tasks.contracts.data import DatasetRef, Split, Validated, ValidationReport
from tasks.contracts.monitoring import Cause, RetrainDecision
from tasks.errors import ModelError, NothingToDo, ServiceUnavailable
from tasks.jobs import features, monitoring, scoring, training
from tasks.jobs.features import PublishedFeatures
from tasks.use_case import load_use_case

CASE = "purchase_propensity"


class Interrupted(BaseException):
    """A kill: no handler of errors sees it."""


def ref(layer: str, partition: str) -> DatasetRef:
    return DatasetRef(use_case=CASE, layer=layer, partition=partition, version="0" * 16, digest="0" * 64, rows={"rows": 1})


class Jobs:
    """Stand-ins for the jobs. Each notes its name and the simulated moment. `fails`: job -> what it raises."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ran: list[tuple[str, datetime]] = []
        self.fails: dict[str, BaseException] = {}
        self.interrupt_at: int | None = None
        for owner, name, result in (
            (features, "read_late", lambda run, window: []),
            (features, "ingest", lambda run, window: ref("raw", window.label)),
            (features, "validate", lambda run, raw: self._validated(raw)),
            (features, "build_features", lambda run, window, validated, late: self._features(validated)),
            (scoring, "score", lambda run, published, made_at: ref("predictions", "v1.2011-03-14")),
            (monitoring, "monitor", lambda run, **_: []),
            (monitoring, "decide_retrain", lambda run, seen, form: self._decision(run)),
            (training, "split", lambda run, **_: self._split()),
            (training, "train", lambda run, name, parts: self._stop()),
            (training, "judge", lambda run, trained, parts, endpoint_command, failed: self._judge(trained, failed)),
        ):
            monkeypatch.setattr(owner, name, self._stand_in(name, result))
        monkeypatch.setattr(training, "give_up", lambda *_: None)

    def _stand_in(self, name: str, result: Any) -> Any:
        def job(*args: Any, **options: Any) -> Any:
            if self.interrupt_at == len(self.ran):
                self.interrupt_at = None
                raise Interrupted
            self.ran.append((name, clock.now()))
            if name in self.fails:
                raise self.fails[name]
            return result(*args, **options)

        return job

    def _validated(self, raw: DatasetRef) -> Validated:
        report = ValidationReport(
            suite="s", dataset=raw, rows_in=1, rows_validated=1, rows_quarantined=0, tolerance=0.0, passed=True, rules=()
        )
        return Validated(validated=ref("validated", raw.partition), quarantine=None, report=report)

    def _features(self, validated: DatasetRef | None) -> PublishedFeatures:
        if validated is None:
            raise NothingToDo("no new rows")
        end = Window.from_label(validated.partition).end
        made = ref("features", end.isoformat())
        return PublishedFeatures(window=validated.partition, as_of=end, validated=validated, features=made, behind=())

    def _decision(self, run: Any) -> RetrainDecision:
        label = run.run_id.removeprefix("backtest ")
        return RetrainDecision(
            use_case=CASE,
            window=Window.from_label(label),
            retrain=True,
            cause=Cause.NO_CHAMPION,
            reason="there is no champion yet",
            violations=0,
            considered_windows=1,
            idempotency_key=label,
        )

    def _split(self) -> Split:
        return Split(as_of=date(2011, 3, 14), **{part: ref("examples", part) for part in ("train", "validation", "holdout")})

    def _judge(self, trained: list[Any], failed: list[Any]) -> None:
        assert trained == []
        raise ModelError("; ".join(f"{one.name}: {one.reason}" for one in failed))

    def _stop(self) -> None:
        raise ServiceUnavailable("MLflow does not answer")


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Jobs:
    return Jobs(monkeypatch)


def make_replay(folder: Path, retraining: Retraining = Retraining.AS_WRITTEN) -> Replay:
    folder.mkdir(parents=True, exist_ok=True)
    policy = PolicyPlan(name="this", retraining=retraining, digest="")
    plan = Plan(use_case=CASE, start=date(2011, 3, 7), end=date(2011, 3, 21), window_days=7, history_days=7, policies=(policy,))
    return Replay(plan, policy, folder)


def outcomes(journal: Journal) -> list[dict[str, tuple[bool, str, str]]]:
    """By window, of each job: whether it has a result, why it was skipped, how it failed."""
    return [
        {name: (step.result is not None, step.skipped, step.failed) for name, step in one.steps.items()}
        for one in journal.windows
    ]


def test_jobs_run_in_the_order_of_the_dags_at_the_simulated_time(jobs: Jobs, tmp_path: Path) -> None:
    make_replay(tmp_path / "p").run()
    before = ["read_late", "ingest", "validate", "build_features", "score", "monitor", "decide_retrain", "split"]
    window = [*before, *["train"] * 3, "judge"]
    assert [name for name, _ in jobs.ran] == ["ingest", "validate", *window, *window], "history is only ingested"
    assert sorted({at.isoformat(timespec="hours") for _, at in jobs.ran}) == [
        "2011-03-07T01+00:00",
        "2011-03-14T01+00:00",
        "2011-03-21T01+00:00",
    ]


def test_windows_are_read_after_their_local_days(jobs: Jobs, tmp_path: Path) -> None:
    """New York changed to summer time on 13 March 2011."""
    replay = make_replay(tmp_path)
    replay.case = replay.case.model_copy(update={"time_zone": "America/New_York"})
    replay.run()
    hours = sorted({at.isoformat(timespec="hours") for _, at in jobs.ran})
    assert hours == ["2011-03-07T06+00:00", "2011-03-14T05+00:00", "2011-03-21T05+00:00"]


def test_a_failed_candidate_stops_no_other(jobs: Jobs, tmp_path: Path) -> None:
    steps = make_replay(tmp_path).run().windows[-1].steps
    names = [spec.candidate_name for spec in load_use_case(CASE).candidates]
    reason = "ServiceUnavailable: MLflow does not answer"
    assert [steps[f"train {name}"].failed for name in names] == [reason] * len(names)
    assert steps["judge"].failed == "ModelError: " + "; ".join(f"{name}: {reason}" for name in names)


def test_a_failure_stops_what_needs_its_result_and_nothing_else(jobs: Jobs, tmp_path: Path) -> None:
    jobs.fails = {"validate": NothingToDo("no raw file"), "monitor": RuntimeError("a defect")}
    journal = make_replay(tmp_path / "p").run()
    decided = journal.windows[-1]
    assert list(decided.steps) == ["read_late", "ingest", "validate", "build_features", "monitor"]
    assert decided.steps["validate"].skipped == "no raw file"
    assert decided.steps["monitor"].failed == "RuntimeError: a defect"
    assert journal.is_done and decided.champion is None


def test_a_policy_that_never_retrains_still_gets_its_first_champion(jobs: Jobs, tmp_path: Path) -> None:
    make_replay(tmp_path / "p", Retraining.NEVER).run()
    assert Counter(name for name, _ in jobs.ran)["split"] == 2, "no champion yet in either window"


def test_an_interruption_at_any_job_changes_nothing(jobs: Jobs, tmp_path: Path) -> None:
    whole = outcomes(make_replay(tmp_path / "whole").run())
    many = len(jobs.ran)
    for place in range(many):
        folder, jobs.ran, jobs.interrupt_at = tmp_path / str(place), [], place
        with pytest.raises(Interrupted):
            make_replay(folder).run()
        assert not read_journal(folder).is_done
        told: list[int] = []
        journal = make_replay(folder).run(lambda progress, told=told: told.append(progress.place))  # type: ignore[misc]
        assert outcomes(journal) == whole
        assert len(jobs.ran) == many, "the interrupted job runs again, and no other"
        assert told[-1] == 3

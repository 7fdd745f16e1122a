"""Replay one policy: every window through the real jobs, with a simulated clock, in the installation of this process.

The jobs run in the order in which Airflow runs them, and the result of each is kept as Airflow keeps an XCom. After a kill the
replay goes on with the job that was interrupted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tasks import clock
from tasks.backtest import quality
from tasks.backtest.journal import Journal, Promotion, Step, WaitingReview, WindowRecord, read_journal, write_journal
from tasks.backtest.plan import Plan, PolicyPlan, Retraining
from tasks.backtest.sharing import adopt_until
from tasks.contracts.base import Contract, Window
from tasks.contracts.calendar import start_of_day
from tasks.contracts.data import DatasetRef, Split
from tasks.contracts.judging import FailedCandidate, Verdict
from tasks.contracts.monitoring import Cause, RetrainDecision
from tasks.contracts.promotion import Approval, LedgerEntry, ModelVersion, Rejection
from tasks.contracts.training import Candidate
from tasks.errors import NothingToDo, TitleholderError
from tasks.io.storage import Storage
from tasks.jobs import features, monitoring, promotion, review, scoring, training
from tasks.jobs.run import Run
from tasks.use_case import UseCase, load_use_case

T = TypeVar("T", bound=Contract)
_log = logging.getLogger(__name__)
AFTER_WINDOW = timedelta(hours=1)  # from the end of a window until its files are read
PERSON = "backtest"  # who answers reviews
EMPTY_FORM = {"asked_by": "", "cause": Cause.BY_HAND.value, "reason": "", "key": "", "accepted_by": "", "window_start": None}
PROMOTION_FORM = {"version": None, "reason": "", "override": False, "reviewer": None, "code": None}
WEEK = timedelta(days=7)


class Deliveries(quality.Knowing, Protocol):
    """Where the files of a generated world come from, and who knows its truth."""

    def deliver(self, folder: Path, today: date) -> None:
        """Write every file that was delivered by a day, the files of the days before it among them, each as it was then."""


@dataclass(frozen=True)
class Progress:
    """The state of a replay after one window."""

    policy: str
    place: int  # of the window among all, from 1
    windows: int
    record: WindowRecord
    seconds_left: float


class Stopped(Exception):
    """A job did not succeed, so that the jobs after it do not run."""


class Replay:
    """One policy of a plan. `settings.home` of this process is its installation.

    Parameters
    ----------
    folder : of the policy, with its journal.
    deliveries : writes the files of a world into the use case's source; None where the files are there already.
    endpoint_command : starts an endpoint that serves one model, for the gates that measure one.
    donor : the snapshots of another policy that makes the same ones, and has ended; None: everything is made anew.
    """

    def __init__(
        self,
        plan: Plan,
        policy: PolicyPlan,
        folder: Path,
        deliveries: Deliveries | None = None,
        donor: Storage | None = None,
        endpoint_command: Sequence[str] = (),
    ) -> None:
        self.plan, self.policy, self.folder, self.deliveries, self.donor = plan, policy, folder, deliveries, donor
        self.endpoint_command = endpoint_command
        self.case: UseCase = load_use_case(plan.use_case)
        self.journal: Journal = read_journal(folder)
        history, decided = plan.windows(self.case)
        self.windows = [(window, True) for window in history] + [(window, False) for window in decided]

    def run(self, tell: Callable[[Progress], None] = lambda _: None) -> Journal:
        """Replay every window that is not done yet."""
        began, first = time.perf_counter(), sum(one.is_done for one in self.journal.windows)
        for place, (window, is_history) in enumerate(self.windows):
            if place < first:
                continue
            if place == len(self.journal.windows):
                self._set(windows=(*self.journal.windows, WindowRecord(window=window, is_history=is_history)))
            self._replay(window, is_history)
            spent, done = time.perf_counter() - began, place + 1 - first
            left = spent / done * (len(self.windows) - place - 1)
            tell(Progress(self.policy.name, place + 1, len(self.windows), self.record, left))
        if not self.journal.is_done:
            self._answer_reviews(self._moment_of(self.windows[-1][0].end) + self._answer_time)
            self._set(is_done=True)
        return self.journal

    @property
    def record(self) -> WindowRecord:
        """The window that is replayed now."""
        return self.journal.windows[-1]

    @property
    def _answer_time(self) -> timedelta:
        return timedelta(days=self.plan.answer_days)

    def _replay(self, window: Window, is_history: bool) -> None:
        moment = self._moment_of(window.end)
        if not is_history:
            self._answer_reviews(moment)
        with clock.simulated(moment):
            if self.deliveries is not None and self.case.source_path is not None:
                self.deliveries.deliver(self.case.source_path, window.end)
            self._adopt(window)
            published = self._make_features(window, is_history)
            if not is_history:
                if published is not None:
                    self._score("score", published)
                if self._wants_training(window, published):
                    self._train(window)
        self._close_window()

    def _adopt(self, window: Window) -> None:
        if self.donor is not None:
            places = [of.end for of, _ in self.windows]
            later = places[places.index(window.end) + 1 :]
            until = self._moment_of(later[0]) if later else datetime.max.replace(tzinfo=UTC)
            adopt_until(self.plan.use_case, self._open("features").storage, self.donor, until)

    def _moment_of(self, day: date) -> datetime:
        """When a window that ends before a local day is read."""
        return start_of_day(day, self.case.zone) + AFTER_WINDOW

    # the jobs, in the order of the DAGs

    def _make_features(self, window: Window, is_history: bool) -> features.PublishedFeatures | None:
        run, late, validated = self._open("features"), [], None
        try:
            if not is_history:
                late = self._do_json("read_late", lambda: {"windows": features.read_late(run, window)})["windows"]
            raw = self._do("ingest", DatasetRef, lambda: features.ingest(run, window))
            validated = self._do("validate", DatasetRef, lambda: features.validate(run, raw).validated)
        except Stopped:
            pass
        steps = [self.record.steps.get(name) for name in ("read_late", "ingest", "validate")]
        if is_history or any(step is not None and step.failed for step in steps):
            return None
        try:
            return self._do(
                "build_features",
                features.PublishedFeatures,
                lambda: features.build_features(run, window, validated, late),
            )
        except Stopped:
            return None

    def _wants_training(self, window: Window, published: features.PublishedFeatures | None) -> bool:
        """Monitor and decide as the use case says; then what the policy makes of it."""
        run = self._open("monitoring")
        labels = list(published.windows) if published else []
        try:
            seen = self._do(
                "monitor",
                Observations,
                lambda: Observations(
                    windows=tuple(monitoring.monitor(run, stated=None, published=labels, day=window.end, is_requested=False))
                ),
            )
            decision = self._do(
                "decide_retrain",
                RetrainDecision,
                lambda: monitoring.decide_retrain(run, seen.windows, form=EMPTY_FORM),
            )
        except Stopped:
            return self.policy.retraining is Retraining.EVERY_WEEK and self._is_weekly_due(window)
        if self.policy.retraining is Retraining.AS_WRITTEN:
            return decision.retrain
        if decision.cause is Cause.NO_CHAMPION:
            return decision.retrain
        return self.policy.retraining is Retraining.EVERY_WEEK and self._is_weekly_due(window)

    def _is_weekly_due(self, window: Window) -> bool:
        """Whether a champion serves, and the newest training was a week ago."""
        trained = [one.window.end for one in self.journal.windows if "split" in one.steps and one.window != window]
        return any(one.champion for one in self.journal.windows) and (not trained or window.end - trained[-1] >= WEEK)

    def _train(self, window: Window) -> None:
        run = self._open("training")
        try:
            version = self._make_version(run, window)
            challenger = self._do_json("announce_challenger", lambda: training.announce_challenger(version))["version"]
        except Stopped:
            return
        self._ask_for_promotion(int(challenger))

    def _make_version(self, run: Run, window: Window) -> ModelVersion:
        """Split, train each candidate, judge and register.

        Raises
        ------
        Stopped : a job failed. The request is given up, as Airflow's failure callback does.
        """
        step = self.record.steps.get("decide_retrain")
        decision = RetrainDecision.from_json(step.result) if step and step.result else None
        requests: list[Mapping[str, Any]] = []
        if decision is not None and decision.retrain:
            requests = [monitoring.request_retraining(decision)]
        try:
            parts = self._do("split", Split, lambda: training.split(run, as_of=None, requests=requests, day=window.end))
            trained, failed = self._train_candidates(run, parts)
            verdict = self._do(
                "judge",
                Verdict,
                lambda: training.judge(run, trained, parts, endpoint_command=self.endpoint_command, failed=failed),
            )
            return self._do("register", ModelVersion, lambda: training.register(run, verdict))
        except Stopped:
            training.give_up(run.name, run.run_id)
            raise

    def _train_candidates(self, run: Run, parts: Split) -> tuple[list[Candidate], list[FailedCandidate]]:
        """Train each candidate. One that fails does not stop the others."""
        trained, reasons = [], {}
        names = [spec.candidate_name for spec in self.case.candidates]
        for name in names:
            try:
                trained.append(self._do(f"train {name}", Candidate, partial(training.train, run, name, parts)))
            except Stopped as stopped:
                reasons[name] = str(stopped)
        return trained, training.list_failed(names, trained, reasons)

    def _ask_for_promotion(self, challenger: int) -> None:
        """The review's task: the policy decides at once, or a person answers later."""
        run, now = self._open("promotion"), clock.now()
        try:
            found = self._do(
                "review",
                ReviewOutcome,
                lambda: _outcome(
                    review.begin(run, form=PROMOTION_FORM, challenger=challenger, user="", is_signed_in=False, now=clock.now())
                ),
            )
        except Stopped:
            return
        if found.approval is not None:
            approval = found.approval
            self._promote("promote", run, approval)
        elif found.pending is not None:
            pending = found.pending
            if not pending.is_open:
                review.open_review(run, pending.review)
            due = now + self._answer_time
            waiting = [one for one in self.journal.waiting if one.review.version != pending.review.version]
            self._set(waiting=(*waiting, WaitingReview(review=pending.review, due=due)))

    def _promote(self, step: str, run: Run, approval: Approval) -> None:
        try:
            self._do(step, LedgerEntry, lambda: promotion.promote(run, approval, await_endpoint=None))
        except Stopped:
            return
        self._score(f"score after {step}", None)

    def _score(self, step: str, published: features.PublishedFeatures | None) -> None:
        run = self._open("batch_scoring")
        try:
            known = published.features if published else None
            self._do(step, DatasetRef, lambda: scoring.score(run, published=known, made_at=clock.now()))
        except Stopped:
            return

    def _answer_reviews(self, until: datetime) -> None:
        """A person answers the reviews that are due by a moment, each at its own time."""
        for waiting in sorted(self.journal.waiting, key=lambda one: one.due):
            if waiting.due > until:
                return
            with clock.simulated(waiting.due):
                self._answer(waiting)
            self._set(waiting=tuple(one for one in self.journal.waiting if one != waiting))

    def _answer(self, waiting: WaitingReview) -> None:
        opened, version = waiting.review, waiting.review.version.version
        run = Run.open(self.plan.use_case, dag_id=f"{self.plan.use_case}.promotion", run_id=opened.dag_run)
        try:
            found = self._do(f"answer {version}", ReviewOutcome, lambda: _outcome(answer_review(run, opened)))
        except Stopped:
            return
        if found.approval is not None:
            self._promote(f"promote {version}", run, found.approval)

    # the journal

    def _close_window(self) -> None:
        """Note the champion and measure the answers whose outcomes are known by now."""
        run = self._open("backtest")
        entries = run.ledger.entries(run.name)
        known = sum(len(one.promotions) for one in self.journal.windows[:-1])
        made = tuple(Promotion(version=one.version, at=one.at, by=one.actor, reason=one.reason) for one in entries[known:])
        champion = entries[-1].version if entries else None
        self._update(promotions=made, champion=champion)
        if not self.record.is_history:
            measured = quality.measure_matured(run, self.journal, self.folder)
            if self.deliveries is not None:
                quality.measure_best(run, self.deliveries, measured, self.journal, self.folder)
            self._set(quality=measured)
        self._update(is_done=True)

    def _open(self, dag: str) -> Run:
        name = self.plan.use_case
        return Run.open(name, dag_id=f"{name}.{dag}", run_id=f"backtest {self.record.window.label}")

    def _do(self, step: str, kind: type[T], job: Callable[[], T]) -> T:
        return kind.from_json(self._do_json(step, lambda: job().to_json()))

    def _do_json(self, step: str, job: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The result of a job: that of the journal where it ran before.

        Raises
        ------
        Stopped : it had nothing to do, or failed. As in Airflow, that stops the jobs that need its result, and no other.
        """
        done = self.record.steps.get(step)
        if done is None:
            began, outcome = time.perf_counter(), Step()
            try:
                outcome = Step(result=job())
            except NothingToDo as nothing:
                outcome = Step(skipped=str(nothing))
            except TitleholderError as error:
                outcome = Step(failed=f"{type(error).__name__}: {error}")
            except Exception as error:  # a defect fails the task in Airflow, and the next window comes all the same
                _log.exception("%s %s failed", self.record.window.label, step)
                outcome = Step(failed=f"{type(error).__name__}: {error}")
            done = outcome.model_copy(update={"seconds": time.perf_counter() - began})
            self._update(steps={**self.record.steps, step: done})
        if done.result is None:
            raise Stopped(done.failed or done.skipped)
        result: dict[str, Any] = done.result
        return result

    def _update(self, **changes: Any) -> None:
        self._set(windows=(*self.journal.windows[:-1], self.record.model_copy(update=changes)))

    def _set(self, **changes: Any) -> None:
        self.journal = self.journal.model_copy(update=changes)
        write_journal(self.folder, self.journal)


class Observations(Contract):
    """What `monitor` hands to `decide_retrain`."""

    windows: tuple[monitoring.Observation, ...]


class ReviewOutcome(Contract):
    """What a review came to: at most one of the three."""

    approval: Approval | None = None
    rejection: Rejection | None = None
    pending: review.Pending | None = None


def _outcome(found: Approval | Rejection | review.Pending) -> ReviewOutcome:
    if isinstance(found, Approval):
        return ReviewOutcome(approval=found)
    if isinstance(found, Rejection):
        return ReviewOutcome(rejection=found)
    return ReviewOutcome(pending=found)


def answer_review(run: Run, opened: Any) -> Approval | Rejection:
    """What a person who looks at a review now answers: yes, because it passed its gates.

    Raises
    ------
    NothingToDo : the review was closed before, by its deadline or by a newer challenger.
    """
    now = clock.now()
    if event := review.poll(opened, now):
        return review.complete(run, event, opened, now=now)
    return review.decide_on_page(
        run,
        opened,
        is_approved=True,
        name=PERSON,
        reason="passed every enabled gate",
        user=PERSON,
        is_signed_in=False,
        now=now,
    )

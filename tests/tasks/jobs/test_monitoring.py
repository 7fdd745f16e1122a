"""The decisions of a monitoring run: which windows, whose request counts, who is notified."""

from __future__ import annotations

from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.data import Split
from tasks.contracts.monitoring import Cause, DriftReport
from tasks.errors import NothingToDo
from tasks.jobs import monitoring
from tasks.jobs.monitoring import Observation
from tasks.jobs.run import Run
from tasks.stages import registry
from tasks.stages.monitoring import AnswerRecords
from tests.tasks.jobs.conftest import CASE, Publish, Recorder
from tests.tasks.stages.monitoring.test_windows import champion

DAY = date(2026, 1, 10)
BLANK = {"asked_by": "", "cause": "by_hand", "reason": "", "key": "", "accepted_by": "", "window_start": None}


def window(day: int) -> Window:
    return Window(start=date(2026, 1, day), end=date(2026, 1, day + 1))


def seen(*days: int) -> list[Observation]:
    return [Observation(window=window(day), report=None) for day in days]


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What people are notified of. There is no champion."""
    titles: list[str] = []
    monkeypatch.setattr(monitoring, "notify", lambda title, *_, **__: titles.append(title))
    monkeypatch.setattr(registry, "champion_of", lambda *_: None)
    return titles


@pytest.fixture
def validated(publish: Publish) -> None:
    for day in (1, 2, 3):
        publish(c.VALIDATED, window(day).label)


# which windows


@pytest.mark.usefixtures("validated", "messages")
@pytest.mark.parametrize(
    ("stated", "published", "decided", "is_requested", "expected"),
    [
        (window(7), [window(2).label], [], True, [7]),
        (None, [window(2).label, window(3).label], [], False, [2, 3]),
        (None, [], [], False, [1, 2, 3]),
        (None, [], [1, 3], False, [2]),
        (None, [], [1, 2, 3], False, []),
        (None, [], [1, 2, 3], True, [3]),
    ],
    ids=["stated", "events", "undecided", "a lost event", "all decided", "a request"],
)
def test_the_windows_of_a_run(
    run: Run, stated: Window | None, published: list[str], decided: list[int], is_requested: bool, expected: list[int]
) -> None:
    if decided:
        monitoring.decide_retrain(run, seen(*decided), form=BLANK)
    chosen = monitoring.choose_windows(run, stated=stated, published=published, day=DAY, is_requested=is_requested)
    assert chosen == [window(day) for day in expected]


@pytest.mark.usefixtures("validated")
def test_no_window_after_the_run_is_read(run: Run) -> None:
    chosen = monitoring.choose_windows(run, stated=None, published=[], day=date(2026, 1, 3), is_requested=False)
    assert chosen == [window(1), window(2)]


def test_a_request_without_any_window_has_none(run: Run) -> None:
    assert monitoring.choose_windows(run, stated=None, published=[], day=DAY, is_requested=True) == []


@pytest.mark.usefixtures("messages")
def test_without_a_champion_nothing_is_compared(run: Run) -> None:
    observations = monitoring.monitor(
        run, stated=None, published=[window(1).label, window(2).label], day=DAY, is_requested=False
    )
    assert observations == seen(1, 2)
    assert monitoring.newest_page(observations) == ""


@pytest.mark.usefixtures("own_home")
def test_the_rows_of_the_champions_split_are_left_out(run: Run, publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [publish(c.EXAMPLES, part) for part in ("train", "validation", "holdout", "earlier")]
    split = Split(as_of=DAY, train=parts[0], validation=parts[1], holdout=parts[2], earlier=(parts[3],))
    verdict = SimpleNamespace(candidate=SimpleNamespace(split=split))
    monkeypatch.setattr(registry, "read_verdict", Recorder(returns=verdict))
    monkeypatch.setattr(registry, "champion_of", Recorder(returns=champion(1)))
    records: list[AnswerRecords] = []
    monkeypatch.setattr("tasks.stages.monitoring.monitor_window", lambda *given, **_: records.append(given[4]))
    monitoring.monitor(run, stated=window(1), published=[], day=DAY, is_requested=False)
    assert {ref.key for ref in records[0].learned} == {ref.key for ref in parts}


def test_the_newest_report_is_the_page() -> None:
    def report(day: int, page: str) -> Observation:
        made = DriftReport(
            use_case=CASE,
            window=window(day),
            reference="",
            current_rows=1,
            reference_rows=1,
            checks=(),
            violated=False,
            report_uri=page,
            run_id="r",
        )
        return Observation(window=window(day), report=made)

    assert monitoring.newest_page([report(1, "one"), report(2, "two"), *seen(3)]) == "two"


# whose request counts


def test_a_request_needs_a_name() -> None:
    assert monitoring.read_request(BLANK, "run") is None
    request = monitoring.read_request(BLANK | {"asked_by": "ada", "reason": "new prices"}, "r" * 200)
    assert request is not None
    assert (request.by, request.cause, request.reason, request.key) == ("ada", Cause.BY_HAND, "new prices", "r" * 100)
    repeated = monitoring.read_request(BLANK | {"asked_by": "ada", "key": "same"}, "run")
    assert repeated is not None and repeated.key == "same"


@pytest.mark.usefixtures("messages")
def test_a_request_counts_for_the_last_window(run: Run) -> None:
    monitoring.decide_retrain(run, seen(1, 2), form=BLANK | {"asked_by": "ada", "key": "once"})
    keys = [one.idempotency_key for one in run.decision_log.decisions(CASE)]
    assert keys == [f"{window(1).label}@none", "by_hand:once"]


@pytest.mark.usefixtures("messages")
@pytest.mark.parametrize(("window_start", "is_accepted"), [("2026-01-01", True), (None, False)])
def test_data_are_accepted_for_a_stated_window_only(run: Run, window_start: str | None, is_accepted: bool) -> None:
    form = BLANK | {"accepted_by": "ada", "window_start": window_start}
    decision = monitoring.decide_retrain(run, seen(1), form=form)
    assert decision.idempotency_key.endswith("+accepted") is is_accepted
    assert ("ada accepts the data" in decision.reason) is is_accepted


# what was left undone


@pytest.mark.usefixtures("messages")
def test_nothing_new_and_nothing_lost_is_nothing_to_do(run: Run) -> None:
    with pytest.raises(NothingToDo, match="every window has its decision"):
        monitoring.decide_retrain(run, [], form=BLANK)
    decision = monitoring.decide_retrain(run, seen(1), form=BLANK)
    run.decision_log.take_request(CASE, decision.idempotency_key, decision.window.end, "training")
    with pytest.raises(NothingToDo, match="every request was taken"):
        monitoring.decide_retrain(run, [], form=BLANK)


@pytest.mark.usefixtures("messages")
def test_a_request_that_no_training_took_is_sent_again(run: Run) -> None:
    decision = monitoring.decide_retrain(run, seen(1), form=BLANK)
    assert decision.retrain
    assert monitoring.decide_retrain(run, [], form=BLANK) == decision
    assert monitoring.decide_retrain(run, seen(2), form=BLANK) == decision, "the newer window waits for it"


def test_people_are_notified_once(run: Run, messages: list[str]) -> None:
    form = BLANK | {"asked_by": "alertmanager", "cause": "alert", "key": "1"}
    decisions = [monitoring.decide_retrain(run, seen(1), form=form) for _ in range(2)]
    assert decisions[0] == decisions[1]
    assert messages == [f"{CASE}: alert"]


def test_a_request_of_a_person_sends_no_notification(run: Run, messages: list[str]) -> None:
    monitoring.decide_retrain(run, seen(1), form=BLANK | {"asked_by": "ada"})
    assert messages == []


@pytest.mark.usefixtures("messages")
def test_only_a_decision_to_retrain_starts_a_training(run: Run) -> None:
    decision = monitoring.decide_retrain(run, seen(1), form=BLANK)
    assert monitoring.request_retraining(decision) == {
        "as_of": "2026-01-02",
        "cause": "no_champion",
        "reason": decision.reason,
        "idempotency_key": decision.idempotency_key,
    }
    with pytest.raises(NothingToDo, match="no retraining: because"):
        monitoring.request_retraining(decision.model_copy(update={"retrain": False, "reason": "because"}))


# reconciling


def test_differences_come_before_interrupted_runs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    restore, reconcile, close = Recorder(returns=["experiment"]), Recorder(returns=["alias"]), Recorder(returns=["run"])
    monkeypatch.setattr(registry, "restore_deleted", restore)
    monkeypatch.setattr(registry, "reconcile_aliases", reconcile)
    monkeypatch.setattr(registry, "close_interrupted_runs", close)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert monitoring.reconcile(run, now=now, is_over=lambda *_: True) == ["experiment", "alias", "run"]
    assert restore.calls == [(CASE, run.ledger, True)]
    assert reconcile.calls == [(CASE, run.ledger, True, now)]
    assert close.calls[0][:3] == (CASE, now, 24.0)

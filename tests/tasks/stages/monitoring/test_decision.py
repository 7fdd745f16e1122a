"""The table of decisions. Windows are days of March 2011, named by the day on which they end."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.contracts.base import Window
from tasks.contracts.monitoring import Ask, Cause, CheckResult, DriftReport, RetrainDecision, RetrainRequest, Signal
from tasks.contracts.promotion import Action, LedgerEntry, Trust
from tasks.io.decisions import DecisionLog
from tasks.stages.monitoring import RetrainHistory, RetrainPolicy, decide_retrain, find_lost

TWO_OF_THREE = RetrainPolicy(violations=2, of_last=3, cooldown_days=3)
CHAMPION = LedgerEntry(
    sequence=4,
    use_case="shop",
    action=Action.PROMOTE,
    version=7,
    previous_version=6,
    manifest_digest="a" * 64,
    data_digest="b" * 64,
    report_digest="c" * 64,
    code_version="d",
    actor="e",
    trust=Trust.POLICY,
    reason="f",
    dag_run="g",
    at=datetime(2011, 3, 1, tzinfo=UTC),
    entry_digest="1" * 64,
    previous_digest="2" * 64,
)
FEBRUARY = date(2011, 2, 28)


def window(end: int) -> Window:
    return Window.before(date(2011, 3, end), 1)


SIGNS = {"x": Signal.DRIFT, "l": Signal.LABEL_SHIFT, "q": Signal.QUALITY, "f": Signal.FAULT}


def report(end: int, sign: str, evidence: str = "", new_labels: int | None = None) -> DriftReport | None:
    """`x` drift, `l` label shift, `q` quality, `f` fault; `.` nothing, `?` not checked."""
    if sign == "?":
        return None
    checks = tuple(
        CheckResult(check="c", column="price", method="psi", value=9, threshold=1, violated=True, signal=SIGNS[one])
        for one in sign
        if one != "."
    )
    return DriftReport(
        use_case="shop",
        window=window(end),
        reference="",
        current_rows=1,
        reference_rows=1,
        checks=checks,
        violated=bool(checks),
        report_uri="",
        run_id="",
        evidence=evidence,
        new_labels=new_labels,
    )


def answered(past: list[RetrainDecision], passed: bool | None = False) -> list[RetrainRequest]:
    """The requests of all positive decisions, each taken by a training whose version was refused."""
    return [
        RetrainRequest(idempotency_key=d.idempotency_key, as_of=d.window.end, taken_by="run", version=9, passed=passed)
        for d in past
        if d.retrain
    ]


def decide(
    end: int, sign: str, past: list[RetrainDecision], policy: RetrainPolicy = TWO_OF_THREE, **changed: Any
) -> RetrainDecision:
    seen = report(end, sign, changed.pop("evidence", ""), changed.pop("new_labels", None))
    history: dict[str, Any] = {"champion": CHAMPION, "champion_as_of": FEBRUARY, "requests": answered(past), **changed}
    ask, accepted_by = history.pop("ask", None), history.pop("accepted_by", "")
    return decide_retrain("shop", policy, window(end), seen, RetrainHistory(past, **history), ask=ask, accepted_by=accepted_by)


def live(pattern: str, policy: RetrainPolicy = TWO_OF_THREE, **changed: Any) -> list[RetrainDecision]:
    """One decision per day."""
    past: list[RetrainDecision] = []
    for end, sign in enumerate(pattern, start=2):
        past.append(decide(end, sign, past, policy, **changed))
    return past


def answers_of(decisions: list[RetrainDecision]) -> str:
    return "".join("R" if d.retrain else "." for d in decisions)


@pytest.mark.parametrize(
    ("pattern", "answers"),
    [
        pytest.param("......", "......", id="calm"),
        pytest.param("x..x..x", ".......", id="one of three is not enough"),
        pytest.param("xx", ".R", id="two in a row"),
        pytest.param("x.x", "..R", id="two of three, the latest among them"),
        pytest.param("xx.", ".R.", id="not again when the latest is calm"),
        pytest.param("x?x", "..R", id="a window that was not checked counts as one"),
        pytest.param("xxxxxxxx", ".R..R..R", id="cooldown of three days"),
        pytest.param("xxxx...xx", ".R......R", id="after the cooldown as before"),
    ],
)
def test_k_of_n_and_cooldown(pattern: str, answers: str) -> None:
    decisions = live(pattern)
    assert answers_of(decisions) == answers
    assert {d.cause for d in decisions if d.retrain} <= {"drift"}
    assert {d.cause for d in decisions if not d.retrain} <= {"none"}
    assert [d.violated for d in decisions] == [sign == "x" for sign in pattern]


@pytest.mark.parametrize("cooldown", range(5))
def test_cooldown_counts_days_of_data(cooldown: int) -> None:
    policy = RetrainPolicy(violations=1, of_last=1, cooldown_days=cooldown)
    requested = [place for place, decision in enumerate(live("x" * 12, policy)) if decision.retrain]
    assert requested == list(range(0, 12, max(1, cooldown)))


def test_a_champion_that_cannot_answer_is_a_reason_to_retrain() -> None:
    decision = decide(2, ".", [], lost_champion="the features lack the column site")
    assert (decision.retrain, decision.cause) == (True, "no_champion")
    assert decision.reason.startswith(f"champion version {CHAMPION.version} cannot answer: the features lack the column site; ")


def test_reasons_state_the_figures() -> None:
    past = live("xx")
    assert past[0].reason == "1 of the last 1 windows violated, 2 needed"
    assert past[1].reason == "2 of the last 2 windows violated, 2 needed" and past[1].violations == 2
    third = decide(4, "x", past)
    assert third.reason == (
        "3 of the last 3 windows violated, 2 needed; but requested by the window that ended 2011-03-03, cooldown 3 days"
    )
    assert decide(4, ".", past).reason == "2 of the last 3 windows violated, 2 needed, but this window is not"
    assert "this window was not checked" in decide(4, "?", past).reason


def test_first_model() -> None:
    first = decide(2, "?", [], champion=None, champion_as_of=None)
    assert first.retrain and first.cause == "no_champion" and first.idempotency_key == "2011-03-01..2011-03-02@none"


def test_first_model_is_requested_once_while_it_is_in_review() -> None:
    """Without a champion each window would request again. While a request is open it must not."""
    no_champion: dict[str, Any] = {"champion": None, "champion_as_of": None}
    policy = RetrainPolicy(cooldown_days=0, answer_within_days=5)
    first = decide(2, "?", [], policy, **no_champion)
    states = {
        "no training took the request of": [],
        "has not ended": answered([first], passed=None),
        "version 9, requested on 2011-03-02, waits for its review": answered([first], passed=True),
    }
    for reason, requests in states.items():
        second = decide(3, "?", [first], policy, **no_champion, requests=requests)
        assert not second.retrain and reason in second.reason
        assert decide(7, "?", [first], policy, **no_champion, requests=requests).retrain, "the wait is limited"
    assert decide(3, "?", [first], policy, **no_champion, requests=answered([first])).retrain, (
        "refused: newer data may do better"
    )


def test_what_the_champion_has_learned_does_not_count() -> None:
    past = live("xx")
    assert decide(4, "x", past, RetrainPolicy(cooldown_days=0), champion_as_of=date(2011, 3, 1)).violations == 3
    learned = decide(4, "x", past, RetrainPolicy(cooldown_days=0), champion_as_of=date(2011, 3, 3))
    assert not learned.retrain and learned.violations == 1
    assert "2 more ended by 2011-03-03, and the champion has learned from it" in learned.reason
    itself = decide(4, "x", past, RetrainPolicy(violations=1, cooldown_days=0), champion_as_of=date(2011, 3, 4))
    assert not itself.retrain and itself.violated and itself.violations == 0


@pytest.mark.parametrize(("age", "retrain"), [(30, False), (31, True)])
def test_an_old_champion_is_trained_again(age: int, retrain: bool) -> None:
    policy = RetrainPolicy(max_age_days=30)
    as_of = date(2011, 3, 10) - timedelta(days=age)
    decision = decide(10, ".", [], policy, champion_as_of=as_of)
    assert (decision.retrain, decision.cause) == (retrain, "schedule" if retrain else "none")
    assert f"the champion's data is {age} days old, 30 allowed" in decision.reason
    if retrain:
        assert not decide(11, ".", [decision], policy, champion_as_of=as_of).retrain, "one request, then the cooldown"


def test_replay_gives_the_same_decisions(own_home: Any) -> None:
    """Deciding again, with everything recorded that came later, changes nothing."""
    log = DecisionLog(f"sqlite:///{own_home}/titleholder.db")
    pattern = "x.xx.xxx.x"
    first = live(pattern)
    assert all(log.record_decision(decision) for decision in first)
    everything = log.decisions("shop")
    assert everything == first
    again = [decide(end, sign, everything) for end, sign in enumerate(pattern, start=2)]
    assert again == first
    assert not any(log.record_decision(decision) for decision in again)
    assert log.decisions("shop") == first


def test_a_window_is_decided_once_per_champion() -> None:
    past = live("xx")
    successor = CHAMPION.model_copy(update={"version": 8})
    under_next = decide(3, "x", past, champion=successor, champion_as_of=date(2011, 3, 2))
    assert under_next.idempotency_key == "2011-03-02..2011-03-03@8" != past[-1].idempotency_key
    assert not under_next.retrain, "its request under the last champion is within the cooldown"


def test_unreachable_policies_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"violations \(4\) cannot exceed of_last \(3\)"):
        RetrainPolicy(violations=4, of_last=3)


@pytest.mark.parametrize(
    ("pattern", "answers", "causes"),
    [
        pytest.param(["f"], ".", ["fault"], id="a fault never retrains"),
        pytest.param(["fx"] * 4, "....", ["fault"] * 4, id="drift in broken data is the fault's"),
        pytest.param(["x", "f", "x", "x"], "....", ["none", "fault", "none", "none"], id="broken data would be trained on"),
        pytest.param(["l", "l"], ".R", ["none", "label_shift"], id="label shift"),
        pytest.param(["q", "q"], ".R", ["none", "quality"], id="quality"),
        pytest.param(["x", "xl"], ".R", ["none", "label_shift"], id="the strongest cause counts"),
        pytest.param(["x", "q"], ".R", ["none", "quality"], id="violations of all kinds add up"),
    ],
)
def test_fault_drift_and_label_shift_are_distinguished(pattern: list[str], answers: str, causes: list[str]) -> None:
    past: list[RetrainDecision] = []
    for end, sign in enumerate(pattern, start=2):
        past.append(decide(end, sign, past))
    assert answers_of(past) == answers and [d.cause for d in past] == causes
    assert [d.alert for d in past] == [d.cause in {"fault", "label_shift"} for d in past]


def test_without_a_champion_broken_data_are_not_trained_on() -> None:
    no_champion: dict[str, Any] = {"champion": None, "champion_as_of": None}
    broken = decide(2, "f", [], **no_champion)
    assert not broken.retrain and broken.alert and "price 9" in broken.reason
    held = decide(3, ".", [broken], **no_champion)
    assert not held.retrain and "the data of 2011-03-01..2011-03-02 are broken" in held.reason


def test_a_fault_holds_until_it_is_repaired_accepted_or_learned_from() -> None:
    past = live("fx")
    assert not decide(4, "x", past).retrain
    repaired = decide(2, ".", past, evidence="b" * 64)
    assert repaired.idempotency_key != past[0].idempotency_key
    assert decide(4, "x", [past[0], repaired, past[1]]).retrain
    accepted = decide(2, "f", past, accepted_by="ada")
    assert accepted.cause == "none" and not accepted.violated and "ada accepts the data as they are" in accepted.reason
    assert decide(4, "x", [past[0], accepted, past[1]]).retrain
    assert decide(5, "x", [*past, decide(4, "x", past)], champion_as_of=date(2011, 3, 2)).retrain, "trained by hand"


@pytest.mark.parametrize(
    ("patience", "pattern", "answers"),
    [
        pytest.param(3, "fxxxx", "...R.", id="after three sound windows; drift does not make a window unsound"),
        pytest.param(1, "fxx", ".R.", id="after one"),
        pytest.param(3, "fx?xxx", "....R.", id="a window that was not checked is not sound"),
        pytest.param(3, "ffxxxx", "....R.", id="each fault lapses by itself, the last one last"),
        pytest.param(2, "fxfxfxfxx", "........R", id="while faults return nothing is trained"),
        pytest.param(None, "fxxxxxxxxxxx", "............", id="never, where a person decides"),
    ],
)
def test_a_fault_lapses_after_sound_windows(patience: int | None, pattern: str, answers: str) -> None:
    policy = RetrainPolicy(violations=1, of_last=1, cooldown_days=3, fault_lapses_after=patience)
    decisions = live(pattern, policy)
    assert answers_of(decisions) == answers
    for one in decisions:
        if one.retrain:
            assert "the faults of 2011-03-01..2011-03-02" in one.reason and f"lapsed, {patience} or more sound" in one.reason


def test_a_held_decision_states_when_the_fault_lapses() -> None:
    policy = RetrainPolicy(violations=1, of_last=1)
    assert "a fault lapses after 3 sound windows" in live("fx", policy)[-1].reason
    assert "lapses" not in live("fx", policy.model_copy(update={"fault_lapses_after": None}))[-1].reason


def test_a_repaired_or_learned_fault_is_not_said_to_lapse() -> None:
    past = live("fxxx")
    repaired = decide(2, ".", past, evidence="b" * 64)
    assert "lapsed" not in decide(6, "x", [past[0], repaired, *past[1:]]).reason
    assert "lapsed" not in decide(6, "x", past, champion_as_of=date(2011, 3, 2)).reason


def test_only_signals_of_the_policy_retrain() -> None:
    policy = RetrainPolicy(signals=(Signal.QUALITY,), cooldown_days=0)
    assert answers_of(live("xxxx", policy)) == "...." and answers_of(live("xqq", policy)) == "..R"
    with pytest.raises(ValidationError, match=r"a fault never requests a retraining"):
        RetrainPolicy(signals=(Signal.FAULT,))


def test_budget_per_week() -> None:
    policy = RetrainPolicy(violations=1, of_last=1, cooldown_days=0, at_most_per_week=2)
    decisions = live("x" * 16, policy)
    assert answers_of(decisions) == "RR.....RR.....RR"
    assert "2 requested in the last seven days, 2 allowed" in decisions[2].reason


def test_minimum_of_new_labels_and_retraining_on_new_labels() -> None:
    policy = RetrainPolicy(violations=1, of_last=1, min_new_labels=100)
    assert not decide(2, "x", [], policy, new_labels=99).retrain
    assert "99 new labels, 100 needed to learn anything new" in decide(2, "x", [], policy, new_labels=99).reason
    assert decide(2, "x", [], policy, new_labels=100).retrain
    on_labels = RetrainPolicy(new_labels=500)
    assert [decide(2, ".", [], on_labels, new_labels=n).cause for n in (499, 500)] == ["none", "new_labels"]


def test_requests_by_hand_and_by_alert() -> None:
    past = live("xx")
    fields: dict[str, Any] = {"by": "ada", "reason": "new range", "key": "1"}
    by_hand, alert = Ask(cause=Cause.BY_HAND, **fields), Ask(cause=Cause.ALERT, **fields)
    requested = decide(4, ".", past, ask=by_hand)
    assert (
        requested.retrain
        and requested.cause == "by_hand"
        and requested.idempotency_key == "by_hand:1"
        and "ada requests it: new range" in requested.reason
    )
    refused = decide(4, ".", past, ask=alert)
    assert not refused.retrain and "cooldown 3 days" in refused.reason
    assert decide(6, ".", past, ask=alert).cause == "alert"
    fault = live("f")
    assert not decide(3, ".", fault, ask=by_hand).retrain, "a request by hand does not train on broken data"
    assert not decide(4, ".", past, ask=by_hand, requests=answered(past, passed=None)).retrain, "one is under way"


def test_a_request_is_no_check_of_the_window() -> None:
    """An alert between two checks of a window does not hide the result of the first."""
    past = live("x")
    ask = Ask(cause=Cause.ALERT, by="am", reason="", key="1")
    past.append(decide(2, "?", past, RetrainPolicy(violations=2, of_last=2, cooldown_days=1), ask=ask, requests=[]))
    assert past[-1].retrain
    assert decide(3, "x", past).violations == 2


def test_an_untaken_request_is_sent_again() -> None:
    past = live("xx...")
    lost = past[1]
    assert find_lost(past, [], TWO_OF_THREE, date(2011, 3, 6)) == lost
    assert find_lost(past, answered(past), TWO_OF_THREE, date(2011, 3, 6)) is None
    assert find_lost(past, [], TWO_OF_THREE, date(2011, 3, 11)) is None, "it is old, and a new window requests again"
    assert find_lost([], [], TWO_OF_THREE, date(2011, 3, 6)) is None


def test_a_request_is_taken_once(own_home: Any) -> None:
    log = DecisionLog(f"sqlite:///{own_home}/titleholder.db")
    day = date(2011, 3, 2)
    assert log.take_request("shop", "k", day, "run 1")
    assert log.take_request("shop", "k", day, "run 1"), "a try of the same run goes on"
    assert not log.take_request("shop", "k", day, "run 2")
    assert log.take_request("other", "k", day, "run 2")
    log.settle_requests("shop", "run 2", version=3, passed=True)
    assert log.requests("shop")[0].passed is None
    log.settle_requests("shop", "run 1", version=4, passed=False)
    assert log.requests("shop") == [RetrainRequest(idempotency_key="k", as_of=day, taken_by="run 1", version=4, passed=False)]

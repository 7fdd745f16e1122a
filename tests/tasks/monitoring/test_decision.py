"""The table of decisions. Windows are days of March 2011, named by the day on which they end."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.contracts import Action, DriftReport, LedgerEntry, RetrainDecision, Trust, Window
from tasks.ledger import Ledger
from tasks.monitoring import RetrainPolicy, decide_retrain

TWO_OF_THREE = RetrainPolicy(violations=2, of_last=3, cooldown_days=3)
CHAMPION = LedgerEntry(
    sequence=4, use_case="shop", action=Action.PROMOTE, version=7, previous_version=6, manifest_digest="a" * 64,
    data_digest="b" * 64, report_digest="c" * 64, code_version="d", actor="e", trust=Trust.POLICY, reason="f", dag_run="g",
    at=datetime(2011, 3, 1, tzinfo=UTC), entry_digest="1" * 64, previous_digest="2" * 64,
)  # fmt: skip
FEBRUARY = date(2011, 2, 28)


def window(end: int) -> Window:
    return Window.before(date(2011, 3, end), 1)


def report(end: int, violated: bool) -> DriftReport:
    return DriftReport(
        use_case="shop", window=window(end), reference="", current_rows=1, reference_rows=1, checks=(), violated=violated,
        report_uri="", run_id="",
    )  # fmt: skip


def decide(
    end: int, violated: bool | None, past: list[RetrainDecision], policy: RetrainPolicy = TWO_OF_THREE, **changed: Any
) -> RetrainDecision:
    seen = None if violated is None else report(end, violated)
    who: dict[str, Any] = {"champion": CHAMPION, "champion_as_of": FEBRUARY, **changed}
    return decide_retrain("shop", policy, window(end), seen, past, **who)


def live(pattern: str, policy: RetrainPolicy = TWO_OF_THREE, **changed: Any) -> list[RetrainDecision]:
    """One decision per day: `x` violated, `.` not, `?` not checked."""
    past: list[RetrainDecision] = []
    for end, sign in enumerate(pattern, start=2):
        past.append(decide(end, {"x": True, ".": False, "?": None}[sign], past, policy, **changed))
    return past


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
    assert "".join("R" if d.retrain else "." for d in decisions) == answers
    assert {d.cause for d in decisions if d.retrain} <= {"drift"}
    assert {d.cause for d in decisions if not d.retrain} <= {"none"}
    assert [d.violated for d in decisions] == [sign == "x" for sign in pattern]


@pytest.mark.parametrize("cooldown", range(5))
def test_cooldown_counts_days_of_data(cooldown: int) -> None:
    policy = RetrainPolicy(violations=1, of_last=1, cooldown_days=cooldown)
    asked = [place for place, decision in enumerate(live("x" * 12, policy)) if decision.retrain]
    assert asked == list(range(0, 12, max(1, cooldown)))


def test_reasons_say_the_figures() -> None:
    past = live("xx")
    assert past[0].reason == "1 of the last 1 windows violated, 2 needed"
    assert past[1].reason == "2 of the last 2 windows violated, 2 needed" and past[1].violations == 2
    third = decide(4, True, past)
    assert third.reason == (
        "3 of the last 3 windows violated, 2 needed; but asked for by the window that ended 2011-03-03, cooldown 3 days"
    )
    assert decide(4, False, past).reason == "2 of the last 3 windows violated, 2 needed, but this window is not"
    assert "this window was not checked" in decide(4, None, past).reason


def test_first_model() -> None:
    first = decide(2, None, [], champion=None, champion_as_of=None)
    assert first.retrain and first.cause == "no_champion" and first.idempotency_key == "2011-03-01..2011-03-02@none"


def test_what_the_champion_has_learned_does_not_count() -> None:
    past = live("xx")
    assert decide(4, True, past, RetrainPolicy(cooldown_days=0), champion_as_of=date(2011, 3, 1)).violations == 3
    learned = decide(4, True, past, RetrainPolicy(cooldown_days=0), champion_as_of=date(2011, 3, 3))
    assert not learned.retrain and learned.violations == 1
    assert "2 more ended by 2011-03-03, and the champion has learned from it" in learned.reason
    itself = decide(4, True, past, RetrainPolicy(violations=1, cooldown_days=0), champion_as_of=date(2011, 3, 4))
    assert not itself.retrain and itself.violated and itself.violations == 0


@pytest.mark.parametrize(("age", "retrain"), [(30, False), (31, True)])
def test_an_old_champion_is_trained_again(age: int, retrain: bool) -> None:
    policy = RetrainPolicy(max_age_days=30)
    as_of = date(2011, 3, 10) - timedelta(days=age)
    decision = decide(10, False, [], policy, champion_as_of=as_of)
    assert (decision.retrain, decision.cause) == (retrain, "schedule" if retrain else "none")
    assert f"the champion's data is {age} days old, 30 allowed" in decision.reason
    if retrain:
        assert not decide(11, False, [decision], policy, champion_as_of=as_of).retrain, "one request, then the cooldown"


def test_replay_gives_the_same_decisions(own_home: Any) -> None:
    """Deciding again, with everything recorded that came later, changes nothing."""
    ledger = Ledger(f"sqlite:///{own_home}/titleholder.db")
    pattern = "x.xx.xxx.x"
    first = live(pattern)
    assert all(ledger.record_decision(decision) for decision in first)
    everything = ledger.decisions("shop")
    assert everything == first
    again = [decide(end, sign == "x", everything) for end, sign in enumerate(pattern, start=2)]
    assert again == first
    assert not any(ledger.record_decision(decision) for decision in again)
    assert ledger.decisions("shop") == first


def test_a_window_is_decided_once_per_champion() -> None:
    past = live("xx")
    successor = CHAMPION.model_copy(update={"version": 8})
    under_next = decide(3, True, past, champion=successor, champion_as_of=date(2011, 3, 2))
    assert under_next.idempotency_key == "2011-03-02..2011-03-03@8" != past[-1].idempotency_key
    assert not under_next.retrain, "its own yes under the last champion is within the cooldown"


def test_unreachable_policies_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"violations \(4\) cannot exceed of_last \(3\)"):
        RetrainPolicy(violations=4, of_last=3)

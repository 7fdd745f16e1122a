"""The author of a rollback, and which promotions are watched."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasks.contracts.promotion import Action, LedgerEntry, Trust
from tasks.errors import NothingToDo, PromotionRefused
from tasks.jobs import rollback
from tasks.jobs.run import Run
from tasks.stages import registry
from tasks.stages.registry import BakeJudgement, BakePolicy
from tests.tasks.jobs.conftest import CASE


def promote(run: Run, version: int, action: Action = Action.PROMOTE) -> LedgerEntry:
    return run.ledger.append(
        use_case=CASE,
        action=action,
        version=version,
        expected_head=run.ledger.head(CASE),
        manifest_digest="f" * 64,
        data_digest="d" * 64,
        report_digest="e" * 64,
        code_version="abc",
        actor="ada",
        trust=Trust.LOCAL,
        reason="because",
        dag_run=f"run-{version}",
    )


@pytest.fixture
def calls(run: Run, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The arguments of `registry.rollback`, and the version that the endpoint is awaited for."""
    made: list[Any] = []
    entry = promote(run, 1)

    def rollback_of(*given: Any, **named: Any) -> LedgerEntry:
        made.append((given, named))
        return entry

    monkeypatch.setattr(registry, "rollback", rollback_of)
    monkeypatch.setattr(rollback, "await_version", lambda name, version: made.append((name, version)))
    return made


@pytest.mark.parametrize(("is_signed_in", "actor", "trust"), [(True, "grace", Trust.AIRFLOW), (False, "ada", Trust.ON_TRUST)])
def test_the_account_counts_where_users_sign_in(
    run: Run, calls: list[Any], is_signed_in: bool, actor: str, trust: Trust
) -> None:
    rollback.roll_back(
        run, to_version=None, reason="worse", name="ada", user="grace", is_signed_in=is_signed_in, is_promotion=False
    )
    (given, named), awaited = calls
    assert given == (CASE, actor, "worse", "run", run.ledger)
    assert named == {"to_version": None, "trust": trust}
    assert awaited == (CASE, 1)


def test_a_promotion_requests_no_rollback(run: Run, calls: list[Any]) -> None:
    with pytest.raises(NothingToDo, match="this run watches a promotion"):
        rollback.roll_back(run, to_version=None, reason="", name="", user="", is_signed_in=False, is_promotion=True)
    assert calls == []


def expect(run: Run, sequence: int | None, after: timedelta = timedelta()) -> rollback.Expected:
    return rollback.expect(run, sequence=sequence, now=datetime.now(UTC) + after)


def test_a_new_promotion_is_watched_with_its_rehearsal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    promote(run, 1)
    monkeypatch.setattr(registry, "rehearse", lambda *_: [1, 2, 3])
    assert expect(run, 1) == rollback.Expected(sequence=1, version=1, scores=(1, 2, 3))


def test_a_failed_rehearsal_leaves_errors_and_latency(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> list[int]:
        raise PromotionRefused("its export cannot be found")

    promote(run, 1)
    monkeypatch.setattr(registry, "rehearse", refuse)
    assert expect(run, 1).scores == ()


def test_promotions_that_are_not_watched(run: Run) -> None:
    with pytest.raises(NothingToDo, match="started by hand"):
        expect(run, None)
    with pytest.raises(NothingToDo, match="entry 1 is not the newest one"):
        expect(run, 1)
    promote(run, 1)
    with pytest.raises(NothingToDo, match="entry 2 is not the newest one"):
        expect(run, 2)
    with pytest.raises(NothingToDo, match="version 1 was promoted more than 30 minutes ago"):
        expect(run, 1, after=timedelta(minutes=31))
    promote(run, 2, Action.ROLLBACK)
    with pytest.raises(NothingToDo, match="entry 2 is a rollback"):
        expect(run, 2)


def test_a_bake_period_can_be_switched_off(run: Run) -> None:
    promote(run, 1)
    case = run.use_case.model_copy(update={"bake": BakePolicy(minutes=0)})
    with pytest.raises(NothingToDo, match="its promotions are not watched"):
        expect(Run(case, run.settings, run.storage, "run"), 1)


def judge(state: str) -> rollback.BakeOutcome:
    return rollback.BakeOutcome(version=1, judgement=BakeJudgement.model_validate({"state": state, "reason": "3% failed"}))


@pytest.mark.parametrize(("state", "is_final"), [("watching", False), ("held", True), ("violated", True), ("ended", True)])
def test_watching_goes_on_until_there_is_an_outcome(state: str, is_final: bool) -> None:
    assert judge(state).is_final is is_final


@pytest.mark.parametrize("state", ["held", "ended"])
def test_a_champion_that_kept_to_the_limits_stays(run: Run, calls: list[Any], state: str) -> None:
    with pytest.raises(NothingToDo, match=f"{state}: 3% failed"):
        rollback.withdraw(run, judge(state))
    assert calls == []


def test_a_broken_limit_withdraws_that_version_by_policy(run: Run, calls: list[Any]) -> None:
    rollback.withdraw(run, judge("violated"))
    (given, named), awaited = calls
    assert given == (CASE, "policy:bake", "3% failed", "run", run.ledger)
    assert named == {"trust": Trust.POLICY, "of_version": 1}
    assert awaited == (CASE, 1)

"""Whose decision counts, and how a review waits, without Airflow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tasks.contracts.promotion import Approval, OpenReview, ReviewChannel, Trust
from tasks.errors import NothingToDo, PromotionRefused, ServiceUnavailable
from tasks.io import tracking
from tasks.jobs import review
from tasks.jobs.run import Run
from tasks.settings import get_settings
from tasks.stages import registry
from tasks.stages import review as review_stage
from tasks.use_case import ReviewSpec
from tests.tasks.jobs.conftest import CASE
from tests.tasks.jobs.test_rollback import promote
from tests.tasks.jobs.test_training import VERSION

NOW = datetime(2026, 1, 10, tzinfo=UTC)
BLANK = {"version": 3, "reason": "", "override": False, "reviewer": None, "code": None}
LOOPBACK, PUBLIC = "http://127.0.0.1:8080", "http://airflow.example.org"


@pytest.fixture
def waiting() -> OpenReview:
    return OpenReview(version=VERSION, champion_version=None, dag_run="run", opened_at=NOW, expires_at=NOW + timedelta(days=7))


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The decisions that are recorded, and the channels through which they came."""
    kept: list[Any] = []
    monkeypatch.setattr(review_stage, "record_review", lambda decision, channel, *_: kept.append((decision, channel)))
    return kept


# which version


def test_the_form_wins_over_the_challenger(run: Run) -> None:
    assert review.choose_version(run, stated=3, challenger=4) == 3
    assert review.choose_version(run, stated=None, challenger=4) == 4


def test_without_a_version_there_is_nothing_to_promote(run: Run) -> None:
    with pytest.raises(NothingToDo, match="nothing to promote"):
        review.choose_version(run, stated=None, challenger=None)


def test_a_former_champion_comes_back_by_a_rollback(run: Run) -> None:
    promote(run, 4)
    with pytest.raises(NothingToDo, match=f"version 4 was champion before .entry 1.: use {CASE}.rollback"):
        review.choose_version(run, stated=None, challenger=4)
    assert review.choose_version(run, stated=4, challenger=None) == 4


# the form


def decide(run: Run, *, user: str = "grace", is_signed_in: bool = False, **form: Any) -> Approval:
    decision = review.decide_by_form(run, VERSION, BLANK | form, user=user, is_signed_in=is_signed_in, now=NOW)
    assert isinstance(decision, Approval)
    return decision


def test_a_form_counts_by_its_account_or_its_name(run: Run) -> None:
    signed_in, by_name = decide(run, reviewer="ada", is_signed_in=True), decide(run, reviewer=" ada ")
    assert (signed_in.actor, signed_in.trust) == ("grace", Trust.AIRFLOW)
    assert (by_name.actor, by_name.trust, by_name.reason) == ("ada", Trust.ON_TRUST, "approved by hand")
    assert by_name.expires_at == NOW + run.use_case.review.expires_after


@pytest.mark.parametrize("reviewer", [None, "", "  "])
def test_a_form_without_a_name_is_refused(run: Run, reviewer: str | None) -> None:
    with pytest.raises(PromotionRefused, match="the form has no reviewer"):
        decide(run, reviewer=reviewer)


def test_an_override_needs_a_reason(run: Run) -> None:
    with pytest.raises(PromotionRefused, match="an override needs a reason"):
        decide(run, reviewer="ada", override=True, reason=" ")
    assert decide(run, reviewer="ada", override=True, reason="broken").is_override


def test_a_code_that_does_not_count_is_recorded(run: Run) -> None:
    with pytest.raises(PromotionRefused, match="forged, so it does not count"):
        decide(run, code="eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm5hIn0.")
    (record,) = run.ledger.reviews(CASE)
    assert (record.said, record.counted, record.channel) == ("a code", False, ReviewChannel.FORM)


# the policy


BY_NOBODY = BLANK | {"version": None}


@pytest.fixture
def by_policy(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A use case whose reviews are automatic, and a challenger that passed."""
    monkeypatch.setattr(registry, "version_of", lambda *_: VERSION)
    monkeypatch.setattr(registry, "read_verdict", lambda *_: "verdict")
    monkeypatch.setattr(tracking, "version_tags", lambda *_: {})
    case = run.use_case.model_copy(update={"review": ReviewSpec(by="auto")})
    return Run(case, run.settings, run.storage, "run")


def begin(run: Run) -> Any:
    return review.begin(run, form=BY_NOBODY, challenger=3, user="", is_signed_in=False, now=NOW)


def test_a_policy_approves_what_passed(by_policy: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "needs_person", lambda *_: "")
    assert begin(by_policy) == review.approve_by_policy(VERSION)


def test_a_policy_waits_for_a_person_where_the_champion_could_not_be_scored(
    by_policy: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(review, "notify", lambda title, body, **_: told.append((title, body)))
    monkeypatch.setattr(registry, "needs_person", lambda *_: "the features lack the column x")
    monkeypatch.setattr(review_stage, "open_review", lambda *_: None)
    found = begin(by_policy)
    assert isinstance(found, review.Pending) and not found.is_open
    review.open_review(by_policy, found.review)
    assert told == [(f"{CASE}: version 3 needs a person", "Because the features lack the column x")]


# Airflow's page


@pytest.mark.parametrize(
    ("url", "is_signed_in", "trust"),
    [(PUBLIC, True, Trust.AIRFLOW), (LOOPBACK, True, Trust.AIRFLOW), (LOOPBACK, False, Trust.ON_TRUST)],
)
def test_airflow_is_trusted_as_far_as_it_has_a_sign_in(url: str, is_signed_in: bool, trust: Trust) -> None:
    assert review.trust_in_airflow(url, is_signed_in=is_signed_in) is trust


def test_an_airflow_without_sign_in_that_others_reach_is_refused() -> None:
    with pytest.raises(PromotionRefused, match="has no sign-in"):
        review.trust_in_airflow(PUBLIC, is_signed_in=False)


@pytest.mark.parametrize(
    ("is_approved", "name", "is_signed_in", "actor", "reason"),
    [
        (True, "ada", False, "ada", "approved in Airflow"),
        (True, " ", False, "grace", "approved in Airflow"),
        (False, "ada", True, "grace", "rejected in Airflow"),
    ],
)
def test_a_button_is_recorded_with_its_person(
    run: Run,
    waiting: OpenReview,
    recorded: list[Any],
    is_approved: bool,
    name: str,
    is_signed_in: bool,
    actor: str,
    reason: str,
) -> None:
    decision = review.decide_on_page(
        run, waiting, is_approved=is_approved, name=name, reason="", user="grace", is_signed_in=is_signed_in, now=NOW
    )
    assert isinstance(decision, Approval) is is_approved
    assert (decision.actor, decision.reason, decision.report_digest) == (actor, reason, VERSION.report_digest)
    assert recorded == [(decision, ReviewChannel.PAGE)]


# the poll


def test_a_failed_poll_waits_until_the_deadline(waiting: OpenReview, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ServiceUnavailable("MLflow does not answer")

    monkeypatch.setattr(review, "_poll_once", fail)
    assert review.poll(waiting, NOW) is None
    closed = review.poll(waiting, waiting.expires_at)
    assert closed is not None
    assert closed["closed"].endswith("the last poll failed: MLflow does not answer")


def test_a_broken_use_case_does_not_end_the_waiting(
    waiting: OpenReview, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TITLEHOLDER_USE_CASES", str(tmp_path))
    get_settings.cache_clear()
    assert review.poll(waiting, NOW) is None


def test_what_a_poll_finds_completes_the_review(
    run: Run, waiting: OpenReview, recorded: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    approval = review.approve_by_policy(VERSION)
    monkeypatch.setattr(review, "_poll_once", lambda *_: approval)
    event = review.poll(waiting, NOW)
    assert event is not None
    assert review.complete(run, event, waiting, now=NOW) == approval
    assert recorded == [(approval, ReviewChannel.MLFLOW)]


def test_a_closed_review_is_nothing_to_do(
    run: Run, waiting: OpenReview, recorded: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(review_stage, "close_review", lambda waiting, closed: shown.append(closed.why))
    with pytest.raises(NothingToDo, match="superseded"):
        review.complete(run, {"closed": "superseded"}, waiting, now=NOW)
    assert (shown, recorded) == (["superseded"], [])

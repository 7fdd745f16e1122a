"""A review at a real MLflow store and a real ledger: opened, answered, recorded, ended."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from tasks.contracts.judging import Role
from tasks.contracts.promotion import (
    Action,
    Approval,
    Decision,
    ModelVersion,
    OpenReview,
    Rejection,
    ReviewChannel,
    ReviewRecord,
    Trust,
)
from tasks.io import tracking
from tasks.io.ledger import Ledger
from tasks.settings import get_settings
from tasks.stages.registry import version_of
from tasks.stages.review import (
    ANSWER,
    OPENED,
    Closed,
    close_review,
    invite,
    open_review,
    opened_before,
    poll,
    prepare_review,
    record_review,
    recorded_decision,
)
from tasks.stages.review.signatures import Code, make_key, public_line, sign

SHOP, NOW, WEEK = "shop", datetime(2026, 3, 2, 12, tzinfo=UTC), timedelta(days=7)
ANNA = make_key()
KEYS = {"anna": public_line(ANNA)}


def challenger(folder: Path, **tags: str) -> ModelVersion:
    """A version that passed its gates, with the alias, as `register` leaves it."""
    client = tracking.get_client()
    if not tracking.versions(SHOP):
        client.create_registered_model(SHOP)
    defaults = {
        "run_id": "r",
        "model_uri": "models:/m-1",
        "kind": "als",
        "manifest_digest": "f" * 64,
        "data_digest": "d" * 64,
        "report_digest": f"{len(tracking.versions(SHOP)) + 1}" * 64,
        "code_version": "abc",
        "passed": "true",
        "as_of": date(2026, 3, 1).isoformat(),
    }
    made = client.create_model_version(SHOP, source=str(folder), tags=defaults | tags)
    tracking.set_alias(SHOP, Role.CHALLENGER, int(made.version))
    return version_of(SHOP, int(made.version))


@pytest.fixture
def ledger(store: Path) -> Ledger:
    return Ledger(get_settings().ledger_url)


def begin(version: ModelVersion, ledger: Ledger) -> OpenReview:
    review = prepare_review(version, ledger, "run", WEEK, NOW)
    open_review(review, ledger)
    return review


def decisions(ledger: Ledger) -> list[ReviewRecord]:
    """All records except those of openings."""
    return [record for record in ledger.reviews(SHOP) if record.said != OPENED]


def answer(version: ModelVersion) -> str:
    return tracking.version_tags(SHOP, version.version)[ANSWER]


def test_a_wrong_code_is_answered_once_and_a_right_one_decides(store: Path, ledger: Ledger) -> None:
    version = challenger(store)
    review = begin(version, ledger)
    assert "set the tag review to approved or rejected" in answer(version)
    assert poll(review, KEYS, True, ledger, NOW) is None
    fields = {"use_case": SHOP, "version": 9, "manifest_digest": "f" * 64, "report_digest": version.report_digest}
    fields |= {"decision": Decision.APPROVED, "reason": "x", "reviewer": "anna", "issued_at": NOW, "expires_at": NOW + WEEK}
    tracking.tag_version(SHOP, 1, {"review": sign(Code.model_validate(fields), ANNA)})
    for minute in range(3):
        assert poll(review, KEYS, True, ledger, NOW + timedelta(minutes=minute)) is None
    assert answer(version).startswith("mismatched, so it does not count: the code is of shop version 9, this is shop version 1")
    (refused,) = decisions(ledger)
    assert (refused.said, refused.counted, refused.trust, refused.channel) == ("a code", False, None, ReviewChannel.MLFLOW)
    assert refused.why_not == answer(version)

    tracking.get_client().delete_model_version_tag(SHOP, "1", "review")
    assert poll(review, KEYS, True, ledger, NOW) is None
    assert answer(version) == invite(review), "a withdrawn decision needs no answer"

    tracking.tag_version(SHOP, 1, {"review": sign(Code.model_validate(fields | {"version": 1}), ANNA)})
    decision = poll(review, KEYS, True, ledger, NOW)
    assert isinstance(decision, Approval)
    record_review(decision, ReviewChannel.MLFLOW, "run", ledger, NOW)
    record_review(decision, ReviewChannel.MLFLOW, "run", ledger, NOW + timedelta(minutes=1))
    assert [one.counted for one in decisions(ledger)] == [False, True], "a retried task records nothing twice"
    assert answer(version) == "approved by anna (signed): x"
    assert tracking.aliases(SHOP) == {"challenger": 1}, "only promotion takes the alias of an approved version"
    assert recorded_decision(version, "run", WEEK, ledger) == (decision, ReviewChannel.MLFLOW)
    assert recorded_decision(version, "another run", WEEK, ledger) is None


def test_a_review_goes_on_in_a_second_try_as_it_was_opened(store: Path, ledger: Ledger) -> None:
    version = challenger(store)
    review = begin(version, ledger)
    tracking.tag_version(SHOP, 1, {"review": "approved", "reviewer": "ada"})
    assert opened_before(version, "run", WEEK, ledger) == review, "a decision after the first opening is not early"
    assert opened_before(version, "another run", WEEK, ledger) is None
    open_review(review, ledger)
    assert len(ledger.reviews(SHOP)) == 1


def test_a_rejection_removes_the_challenger_alias(store: Path, ledger: Ledger) -> None:
    version = challenger(store)
    review = begin(version, ledger)
    tracking.tag_version(SHOP, 1, {"review": "rejected", "reviewer": "ada", "review_reason": "unfair to new users"})
    decision = poll(review, {}, True, ledger, NOW)
    assert isinstance(decision, Rejection)
    record_review(decision, ReviewChannel.MLFLOW, "run", ledger, NOW)
    assert tracking.aliases(SHOP) == {}
    assert answer(version) == "rejected by ada (on trust): unfair to new users"
    assert recorded_decision(version, "run", WEEK, ledger) == (decision, ReviewChannel.MLFLOW)
    (kept,) = decisions(ledger)
    assert (kept.said, kept.actor, kept.trust, kept.reason) == ("rejected", "ada", Trust.ON_TRUST, "unfair to new users")


def test_a_rejection_of_an_older_challenger_keeps_the_newer(store: Path, ledger: Ledger) -> None:
    older = challenger(store)
    challenger(store)
    rejection = Rejection(
        use_case=SHOP, version=1, report_digest=older.report_digest, actor="ada", reason="old", trust=Trust.AIRFLOW
    )
    record_review(rejection, ReviewChannel.PAGE, "run", ledger, NOW)
    assert tracking.aliases(SHOP) == {"challenger": 2}


def test_a_tag_from_before_the_review_is_early(store: Path, ledger: Ledger) -> None:
    version = challenger(store, review="approved", reviewer="ada")
    review = begin(version, ledger)
    assert poll(review, {}, True, ledger, NOW) is None
    assert answer(version).startswith("early")
    remedy = f"approved:{version.report_digest[:12]}"
    assert remedy in answer(version)
    tracking.tag_version(SHOP, 1, {"review": remedy})
    assert isinstance(poll(review, {}, True, ledger, NOW), Approval)


def test_a_newer_challenger_a_new_champion_and_time_end_a_review(store: Path, ledger: Ledger) -> None:
    version = challenger(store)
    review = begin(version, ledger)
    tracking.tag_version(SHOP, 1, {"review": "approved", "reviewer": "ada"})
    late = poll(review, {}, True, ledger, NOW + WEEK)
    assert isinstance(late, Closed), "an approval after the end does not count"
    assert "expired" in late.why
    challenger(store)
    newer = poll(review, {}, True, ledger, NOW)
    assert isinstance(newer, Closed)
    assert "names version 2" in newer.why
    close_review(review, newer)
    assert answer(version) == f"closed: {newer.why}"
    ledger.append(
        use_case=SHOP,
        action=Action.PROMOTE,
        version=5,
        expected_head=None,
        manifest_digest="m" * 64,
        data_digest="d" * 64,
        report_digest="r" * 64,
        code_version="abc",
        actor="ada",
        trust=Trust.LOCAL,
        reason="better",
        dag_run="run",
    )
    changed = poll(review, {}, True, ledger, NOW)
    assert isinstance(changed, Closed)
    assert "the champion is version 5 now" in changed.why

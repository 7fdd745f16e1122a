"""Which review tags and codes decide on a challenger, and the answer to those that do not."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tasks.contracts.promotion import Approval, Decision, ModelVersion, OpenReview, Rejection, Trust
from tasks.stages.review import Refused, closed_reason, is_loopback, judge_code, read_decision
from tasks.stages.review.signatures import Code, make_key, public_line, sign

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
WEEK = timedelta(days=7)
REPORT, MODEL = "a1b2c3d4e5f6" + "0" * 52, "f" * 64
ANNA, MALLORY = make_key(), make_key()
KEYS = {"anna": public_line(ANNA)}
VERSION = ModelVersion(
    use_case="shop",
    version=3,
    run_id="r",
    model_uri="models:/m-1",
    kind="als",
    manifest_digest=MODEL,
    data_digest="d" * 64,
    report_digest=REPORT,
    code_version="abc",
    passed=True,
    as_of=date(2026, 3, 1),
)
OPEN = OpenReview(version=VERSION, champion_version=2, dag_run="run", opened_at=NOW, expires_at=NOW + WEEK)


def code(key: bytes = ANNA, **changes: Any) -> str:
    """Anna's signed approval of the version, with the test's changes."""
    fields: dict[str, Any] = {
        "use_case": "shop",
        "version": 3,
        "manifest_digest": MODEL,
        "report_digest": REPORT,
        "decision": "approved",
        "reason": "better for new users",
        "reviewer": "anna",
        "issued_at": NOW,
        "expires_at": NOW + timedelta(days=1),
    }
    return sign(Code.model_validate(fields | changes), key)


def claims(**changes: Any) -> dict[str, Any]:
    return jwt.decode(code(), options={"verify_signature": False, "verify_aud": False}) | changes


def read(value: str, review: OpenReview = OPEN, *, private: bool = True, now: datetime = NOW, **tags: str) -> Any:
    return read_decision(review, {"review": value, **tags}, KEYS, private, now)


# decisions that count


def test_no_tag_is_no_decision() -> None:
    assert read_decision(OPEN, {"reviewer": "ada"}, KEYS, True, NOW) is None
    assert read_decision(OPEN, {"review": "  "}, KEYS, True, NOW) is None


@pytest.mark.parametrize("private", [True, False], ids=["loopback", "reachable"])
def test_a_signed_code_counts_on_loopback_and_elsewhere(private: bool) -> None:
    decision = read(f"  {code()}\n", private=private, reviewer="mallory")
    assert isinstance(decision, Approval)
    assert (decision.actor, decision.trust, decision.reason) == ("anna", Trust.SIGNED, "better for new users")
    assert (decision.version, decision.report_digest, decision.is_override) == (3, REPORT, False)
    assert decision.expires_at == NOW + timedelta(days=1)


def test_a_code_does_not_outlive_the_review() -> None:
    decision = read(code(expires_at=NOW + timedelta(days=30)))
    assert decision.expires_at == OPEN.expires_at


def test_a_signed_rejection_counts_for_a_refused_version() -> None:
    decision = judge_code(VERSION.model_copy(update={"passed": False}), code(decision=Decision.REJECTED), KEYS, NOW)
    assert isinstance(decision, Rejection)
    assert (decision.actor, decision.trust) == ("anna", Trust.SIGNED)


@pytest.mark.parametrize("value", ["approved", "Approved ", f"approved:{REPORT[:12]}", f"approved:{REPORT}"])
def test_a_plain_approval_counts_on_loopback_as_on_trust(value: str) -> None:
    decision = read(value, reviewer="ada", review_reason="looked at the slices")
    assert isinstance(decision, Approval)
    assert (decision.actor, decision.trust, decision.reason) == ("ada", Trust.ON_TRUST, "looked at the slices")
    assert (decision.report_digest, decision.expires_at) == (REPORT, OPEN.expires_at)


def test_a_plain_rejection_counts() -> None:
    decision = read("rejected", reviewer="ada")
    assert isinstance(decision, Rejection)
    assert (decision.actor, decision.reason, decision.trust) == ("ada", "rejected in MLflow", Trust.ON_TRUST)


def test_a_signed_override_counts() -> None:
    refused = VERSION.model_copy(update={"passed": False})
    decision = judge_code(refused, code(is_override=True), KEYS, NOW)
    assert isinstance(decision, Approval)
    assert decision.is_override


# decisions that do not count


@dataclass
class Wrong:
    """A value of the tag that must not count, and the expected answer."""

    name: str
    value: Callable[[], str]
    fault: str
    message: str
    tags: dict[str, str] = field(default_factory=lambda: {"reviewer": "ada"})
    review: OpenReview = OPEN
    private: bool = True
    now: datetime = NOW


def with_public_key_as_secret() -> str:
    """A known attack: HS256, keyed with the public key. PyJWT accepts raw bytes as a key."""
    return jwt.encode(claims(), base64.b64decode(KEYS["anna"]), algorithm="HS256")


def without_signature() -> str:
    return jwt.encode(claims(), "", algorithm="none")


def tampered() -> str:
    """Anna's signature with a body that was changed afterwards."""
    head, _, signature = code().split(".")
    body = base64.urlsafe_b64encode(json.dumps(claims(version=3, reason="mine")).encode()).rstrip(b"=").decode()
    return f"{head}.{body}.{signature}"


def of_another_purpose() -> str:
    key = load_pem_private_key(ANNA, None)
    assert isinstance(key, Ed25519PrivateKey)
    return jwt.encode(claims(aud="another.program"), key, algorithm="EdDSA")


def with_more_than_a_code_has() -> str:
    key = load_pem_private_key(ANNA, None)
    assert isinstance(key, Ed25519PrivateKey)
    return jwt.encode(claims(admin=True), key, algorithm="EdDSA")


def without_end() -> str:
    key = load_pem_private_key(ANNA, None)
    assert isinstance(key, Ed25519PrivateKey)
    fields = {name: value for name, value in claims().items() if name != "exp"}
    return jwt.encode(fields, key, algorithm="EdDSA")


BEFORE = OPEN.model_copy(update={"early": "approved"})
UNPASSED = OPEN.model_copy(update={"version": VERSION.model_copy(update={"passed": False})})
WRONG = [
    Wrong("another key", lambda: code(MALLORY), "forged", "anna's key did not sign it"),
    Wrong("a stranger", lambda: code(MALLORY, reviewer="mallory"), "forged", "'mallory', but review.reviewers of"),
    Wrong("no algorithm", without_signature, "forged", "algorithm 'none'; only EdDSA"),
    Wrong("the public key as a secret", with_public_key_as_secret, "forged", "algorithm 'HS256'; only EdDSA"),
    Wrong("a changed body", tampered, "forged", "anna's key did not sign it"),
    Wrong("half a code", lambda: code()[:60], "malformed", "not a code of `titleholder approve`"),
    Wrong("a token for something else", of_another_purpose, "malformed", "not as a decision on a version"),
    Wrong("a token with more in it", with_more_than_a_code_has, "malformed", "not as a decision on a version"),
    Wrong("a code without an end", without_end, "malformed", 'missing the "exp" claim'),
    Wrong("another version", lambda: code(version=4), "mismatched", "the code is of shop version 4, this is shop version 3"),
    Wrong("another use case", lambda: code(use_case="films"), "mismatched", "the code is of films version 3"),
    Wrong("another model", lambda: code(manifest_digest="0" * 64), "mismatched", "the code is of the model 000000000000"),
    Wrong("an older report", lambda: code(report_digest="b" * 64), "stale", "the code is of report bbbbbbbbbbbb, this"),
    Wrong("expired", code, "stale", "the code expired at 2026-03-03 12:00 UTC", now=NOW + timedelta(days=1)),
    Wrong("from tomorrow", lambda: code(issued_at=NOW + timedelta(hours=1)), "early", "signed at 2026-03-02 13:00 UTC"),
    Wrong("before the gates", code, "early", "the version did not pass the gates", review=UNPASSED),
    Wrong("plain before the gates", lambda: "approved", "early", "the version did not pass the gates", review=UNPASSED),
    Wrong("there before", lambda: "approved", "early", "'approved' was set before", review=BEFORE),
    Wrong("plain, of an older report", lambda: "approved:bbbbbbbbbbbb", "stale", "it names report bbbbbbbbbbbb"),
    Wrong("too short a report", lambda: "approved:a1b2", "malformed", "expected approved or rejected, got 'approved:a1b2'"),
    Wrong("no word", lambda: "lgtm", "malformed", "got 'lgtm'. Set review to one of them"),
    Wrong("nobody", lambda: "approved", "nameless", "the tag reviewer is empty. Set it to your name", tags={"reviewer": " "}),
    Wrong("unsigned", lambda: "approved", "unsigned", "everybody who reaches this MLflow could have written it", private=False),
    Wrong("an unsigned no", lambda: "rejected", "unsigned", "everybody who reaches this MLflow", private=False),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.name)
def test_what_does_not_count_is_answered_with_a_reason(wrong: Wrong) -> None:
    decision = read_decision(wrong.review, {"review": wrong.value(), **wrong.tags}, KEYS, wrong.private, wrong.now)
    assert isinstance(decision, Refused), decision
    assert decision.fault == wrong.fault
    assert wrong.message in str(decision)
    assert decision.remedy.endswith(".")
    assert str(decision).startswith(f"{wrong.fault}, so it does not count: ")


def test_an_early_tag_counts_once_it_names_the_report() -> None:
    """The remedy that the answer names works, and so does any change after the opening."""
    assert isinstance(read(f"approved:{REPORT[:12]}", BEFORE, reviewer="ada"), Approval)
    assert isinstance(read("rejected", BEFORE, reviewer="ada"), Rejection)


def test_a_clock_ahead_by_seconds_is_accepted() -> None:
    assert isinstance(read(code(issued_at=NOW + timedelta(seconds=30))), Approval)


# the end of a review


@pytest.mark.parametrize(
    ("challenger", "champion", "after", "message"),
    [
        (3, 2, timedelta(), ""),
        (3, 2, WEEK - timedelta(seconds=1), ""),
        (3, 2, WEEK, "expired"),
        (4, 2, timedelta(), "names version 4"),
        (None, 2, timedelta(), "is gone"),
        (3, 5, timedelta(), "the champion is version 5 now; train shop again"),
        (3, None, timedelta(), "superseded"),
        (None, 3, timedelta(), "version 3 is the champion already"),
    ],
)
def test_a_review_ends_without_a_decision(challenger: int | None, champion: int | None, after: timedelta, message: str) -> None:
    why = closed_reason(OPEN, challenger, champion, NOW + after)
    assert (message in why) if message else why == ""


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("http://127.0.0.1:5000", True),
        ("http://127.3.2.1", True),
        ("http://[::1]:5000", True),
        ("http://localhost:5000", True),
        ("sqlite:////var/mlflow.db", True),
        ("http://mlflow:5000", False),
        ("http://10.0.0.5:5000", False),
        ("https://mlflow.example.org", False),
        ("http://127.0.0.1.example.org", False),
        ("http://localhost.example.org", False),
        ("http://0.0.0.0:5000", False),
        ("http://", False),
    ],
)
def test_only_this_machine_is_loopback(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback

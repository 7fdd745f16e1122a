"""A person's decision on a challenger: which decisions count, and what the others lack.

A review is of one version, as one report shows it, from its opening until it expires, while the champion that the challenger
was judged against is in service. Other values in the tags of the version end nothing: a tag explains what is wrong and what
to do, and the review stays open. No answer counts as a rejection.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import urlsplit

from tasks.contracts.base import Contract
from tasks.contracts.judging import Role
from tasks.contracts.promotion import (
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
from tasks.stages.review.signatures import Code, ForgedCode, MalformedCode, is_code, read_code

REVIEW, REVIEWER, REASON, ANSWER = "review", "reviewer", "review_reason", "review_answer"
OPENED = "opened"
CLOCKS_DIFFER = timedelta(minutes=1)  # how far the clock of a reviewer's machine may be ahead
_PLAIN = re.compile(r"(approved|rejected)(?::([0-9a-f]{12,64}))?")


class Fault(StrEnum):
    """Why a decision does not count."""

    FORGED = "forged"
    MALFORMED = "malformed"
    MISMATCHED = "mismatched"  # on another use case, version or model
    STALE = "stale"  # expired, or on another report of this version's model
    EARLY = "early"  # made before there was a report that passed
    UNSIGNED = "unsigned"  # anybody could have written it
    NAMELESS = "nameless"


class Refused(Contract):
    """A decision that does not count, why, and what to do."""

    fault: Fault
    why: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.fault}, so it does not count: {self.why}. {self.remedy}"


class Closed(Contract):
    """The review ended without a decision."""

    why: str


ReviewDecision = Approval | Rejection


def read_decision(
    review: OpenReview, tags: Mapping[str, str], reviewers: Mapping[str, str], is_private: bool, now: datetime
) -> ReviewDecision | Refused | None:
    """The decision in the tags of the version; None where there is none.

    Parameters
    ----------
    tags : all tags of the version, as they are now.
    reviewers : name -> public key, of the use case.
    is_private : whether only this machine reaches MLflow; otherwise plain tags do not count.
    """
    decision = tags.get(REVIEW, "").strip()
    if not decision:
        return None
    if is_code(decision):
        return judge_code(review.version, decision, reviewers, now, review.expires_at)
    return _judge_tag(review, decision, tags, is_private)


def judge_code(
    version: ModelVersion, text: str, reviewers: Mapping[str, str], now: datetime, open_until: datetime | None = None
) -> ReviewDecision | Refused:
    """The decision of a signed code on one version, or why it does not count."""
    try:
        code = read_code(text, reviewers)
    except ForgedCode as error:
        return _refused(Fault.FORGED, f"{error}", "Sign with the key whose public half is in the use case's YAML")
    except MalformedCode as error:
        return _refused(Fault.MALFORMED, f"{error}", "Paste the whole line that titleholder approve printed")
    again = f"Sign again: titleholder approve {version.use_case} {version.version}"
    ours, theirs = (f"{one.use_case} version {one.version}" for one in (version, code))
    model, report = version.manifest_digest[:12], version.report_digest[:12]
    unpassed = not version.passed and not code.is_override and code.decision is Decision.APPROVED
    return _first_fault(
        (ours != theirs, Fault.MISMATCHED, f"the code is of {theirs}, this is {ours}", again),
        (
            code.manifest_digest != version.manifest_digest,
            Fault.MISMATCHED,
            f"the code is of the model {code.manifest_digest[:12]}, this version's is {model}",
            again,
        ),
        (
            code.report_digest != version.report_digest,
            Fault.STALE,
            f"the code is of report {code.report_digest[:12]}, this version's is {report}",
            f"Look at that report. {again}",
        ),
        (now >= code.expires_at, Fault.STALE, f"the code expired at {_written(code.expires_at)}", again),
        (
            code.issued_at > now + CLOCKS_DIFFER,
            Fault.EARLY,
            f"the code was signed at {_written(code.issued_at)}, which is in the future",
            f"Set the clock of the machine that signs. {again}",
        ),
        (unpassed, Fault.EARLY, "the version did not pass the gates", f"{again} --override, with the reason"),
    ) or _as_decision(code, min(code.expires_at, open_until or code.expires_at))


def _judge_tag(review: OpenReview, decision: str, tags: Mapping[str, str], is_private: bool) -> ReviewDecision | Refused:
    version, short = review.version, decision[:40]
    signed = f"Paste the code that titleholder approve {version.use_case} {version.version} prints, or answer in Airflow"
    found = _PLAIN.fullmatch(decision.lower())
    said, named = (found[1], found[2] or "") if found else ("", "")
    exactly = f"Look at the report, then set {REVIEW} to {said}:{review.mark}"
    actor, reason = tags.get(REVIEWER, "").strip()[:200], tags.get(REASON, "").strip()[:1000]
    refused = _first_fault(
        (
            not is_private,
            Fault.UNSIGNED,
            f"{short!r} is not signed, and everybody who reaches this MLflow could have written it",
            signed,
        ),
        (
            found is None,
            Fault.MALFORMED,
            f"expected approved or rejected, got {short!r}",
            f"Set {REVIEW} to one of them. {signed}",
        ),
        (
            not version.report_digest.startswith(named),
            Fault.STALE,
            f"it names report {named[:12]}, this version's is {review.mark}",
            exactly,
        ),
        (
            not named and decision == review.early,
            Fault.EARLY,
            f"{short!r} was set before the review of this report was opened",
            exactly,
        ),
        (said == Decision.APPROVED and not version.passed, Fault.EARLY, "the version did not pass the gates", signed),
        (not actor, Fault.NAMELESS, f"the tag {REVIEWER} is empty", "Set it to your name"),
    )
    if refused is not None:
        return refused
    fields = {"use_case": version.use_case, "version": version.version, "report_digest": version.report_digest}
    fields |= {"actor": actor, "trust": Trust.ON_TRUST, "reason": reason or f"{said} in MLflow"}
    if said == Decision.REJECTED:
        return Rejection.model_validate(fields)
    return Approval.model_validate({**fields, "expires_at": review.expires_at})


def invite(review: OpenReview) -> str:
    """What the version's page says while the review has no decision."""
    return (
        f"open until {_written(review.expires_at)}: set the tag {REVIEW} to approved or rejected and {REVIEWER} to your name "
        f"({REASON}: why), or {REVIEW} to a code of titleholder approve; or answer in Airflow under Required Actions. "
        "No answer counts as a rejection."
    )


def closed_reason(review: OpenReview, challenger: int | None, champion: int | None, now: datetime) -> str:
    """Why a review is closed; empty while it is open. `challenger` is the version that the alias names."""
    name, version = review.version.use_case, review.version.version
    if champion == version:
        return f"version {version} is the champion already"
    if champion != review.champion_version:
        return f"superseded: the champion is version {champion} now; train {name} again to judge against that one"
    if challenger != version:
        rival = "is gone" if challenger is None else f"names version {challenger}"
        return f"superseded: the alias {Role.CHALLENGER} of {name} {rival}"
    if now >= review.expires_at:
        return f"expired: there was no decision that counts until {_written(review.expires_at)}"
    return ""


def is_loopback(address: str) -> bool:
    """Whether an address is of this machine only: of its loopback, or of a file."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https"):
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.hostname == "localhost"


# the edge: MLflow's tags and the record


def prepare_review(version: ModelVersion, ledger: Ledger, dag_run: str, open_for: timedelta, now: datetime) -> OpenReview:
    """The review of a version against the present champion. Nothing is written yet."""
    head = ledger.head(version.use_case)
    tags = tracking.version_tags(version.use_case, version.version)
    return OpenReview(
        version=version,
        champion_version=head.version if head else None,
        dag_run=dag_run,
        opened_at=now,
        expires_at=now + open_for,
        early=tags.get(REVIEW, "").strip(),
    )


def open_review(review: OpenReview, ledger: Ledger) -> None:
    """Record the opening, and show on the version's page how to answer."""
    version = review.version
    opening = ReviewRecord(
        use_case=version.use_case,
        version=version.version,
        report_digest=version.report_digest,
        said=OPENED,
        actor="",
        trust=None,
        reason=review.early[:1000],
        channel=ReviewChannel.PAGE,
        dag_run=review.dag_run,
        at=review.opened_at,
        why_not=f"no decision yet: open until {_written(review.expires_at)}",
    )
    ledger.record_review(opening)
    tracking.tag_version(version.use_case, version.version, {ANSWER: invite(review)})


def opened_before(version: ModelVersion, dag_run: str, open_for: timedelta, ledger: Ledger) -> OpenReview | None:
    """The review that an earlier try of this run opened: decisions since then count, and the deadline stays."""
    head = ledger.head(version.use_case)
    for record in ledger.reviews(version.use_case):
        names = (record.dag_run, record.version, record.report_digest)
        if record.said == OPENED and names == (dag_run, version.version, version.report_digest):
            return OpenReview(
                version=version,
                champion_version=head.version if head else None,
                dag_run=dag_run,
                opened_at=record.at,
                expires_at=record.at + open_for,
                early=record.reason,
            )
    return None


def poll(
    review: OpenReview, reviewers: Mapping[str, str], is_private: bool, ledger: Ledger, now: datetime
) -> ReviewDecision | Closed | None:
    """Poll once: a decision that counts, the end of the review, or None. The version shows why a decision does not count."""
    use_case, version = review.version.use_case, review.version.version
    head = ledger.head(use_case)
    reason = closed_reason(review, tracking.aliases(use_case).get(Role.CHALLENGER), head.version if head else None, now)
    if reason:
        return Closed(why=reason)
    tags = tracking.version_tags(use_case, version)
    decision = read_decision(review, tags, reviewers, is_private, now)
    if isinstance(decision, Approval | Rejection):
        return decision
    answer = invite(review) if decision is None else str(decision)
    if tags.get(ANSWER) != answer:
        if decision is not None:
            record_refusal(review.version, tags, answer, review.dag_run, ledger, now)
        tracking.tag_version(use_case, version, {ANSWER: answer})
    return None


def record_refusal(
    version: ModelVersion,
    tags: Mapping[str, str],
    why_not: str,
    dag_run: str,
    ledger: Ledger,
    now: datetime,
    *,
    channel: ReviewChannel = ReviewChannel.MLFLOW,
) -> None:
    """Record a decision that did not count."""
    said = tags.get(REVIEW, "")
    record = ReviewRecord(
        use_case=version.use_case,
        version=version.version,
        report_digest=version.report_digest,
        said="a code" if is_code(said) else said[:100],
        actor=tags.get(REVIEWER, "")[:200],
        trust=None,
        reason=tags.get(REASON, "")[:1000],
        channel=channel,
        dag_run=dag_run,
        at=now,
        why_not=why_not,
    )
    ledger.record_review(record)


def record_review(decision: ReviewDecision, channel: ReviewChannel, dag_run: str, ledger: Ledger, now: datetime) -> None:
    """Record a decision and show it on the version. A rejection removes the alias challenger. Again changes nothing."""
    is_yes = isinstance(decision, Approval)
    said = Decision.APPROVED if is_yes else Decision.REJECTED
    record = ReviewRecord(
        use_case=decision.use_case,
        version=decision.version,
        report_digest=decision.report_digest,
        said=said.value,
        actor=decision.actor,
        trust=decision.trust,
        reason=decision.reason,
        channel=channel,
        dag_run=dag_run,
        at=now,
    )
    ledger.record_review(record)
    if not is_yes and tracking.aliases(decision.use_case).get(Role.CHALLENGER) == decision.version:
        tracking.set_alias(decision.use_case, Role.CHALLENGER, None)
    how = decision.trust.value.replace("_", " ")
    tracking.tag_version(
        decision.use_case, decision.version, {ANSWER: f"{said} by {decision.actor} ({how}): {decision.reason}"}
    )


def close_review(review: OpenReview, closed: Closed) -> None:
    """Show on the version that the review ended without a decision."""
    tracking.tag_version(review.version.use_case, review.version.version, {ANSWER: f"closed: {closed.why}"})


def recorded_decision(
    version: ModelVersion, dag_run: str, open_for: timedelta, ledger: Ledger
) -> tuple[ReviewDecision, ReviewChannel] | None:
    """The decision that an earlier try of this run recorded, so that a person need not answer twice."""
    recorded = [
        record
        for record in ledger.reviews(version.use_case)
        if (record.dag_run, record.version, record.report_digest) == (dag_run, version.version, version.report_digest)
        and record.counted
    ]
    if not recorded:
        return None
    last = recorded[-1]
    fields = {"use_case": last.use_case, "version": last.version, "report_digest": last.report_digest}
    fields |= {"actor": last.actor, "reason": last.reason, "trust": last.trust}
    if last.said == Decision.REJECTED:
        return Rejection.model_validate(fields), last.channel
    return Approval.model_validate({**fields, "expires_at": last.at + open_for}), last.channel


def _as_decision(code: Code, expires_at: datetime) -> ReviewDecision:
    said = {"use_case": code.use_case, "version": code.version, "report_digest": code.report_digest}
    said |= {"actor": code.reviewer, "reason": code.reason, "trust": Trust.SIGNED}
    if code.decision is Decision.REJECTED:
        return Rejection.model_validate(said)
    return Approval.model_validate({**said, "is_override": code.is_override, "expires_at": expires_at})


def _refused(fault: Fault, why: str, remedy: str) -> Refused:
    return Refused(fault=fault, why=why, remedy=f"{remedy}.")


def _first_fault(*faults: tuple[bool, Fault, str, str]) -> Refused | None:
    return next((_refused(fault, why, remedy) for applies, fault, why, remedy in faults if applies), None)


def _written(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"

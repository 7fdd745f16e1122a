"""The jobs of a review: open it, poll MLflow for a decision, and record what a person or the policy decided."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tasks.contracts.base import Contract
from tasks.contracts.promotion import Approval, ModelVersion, OpenReview, Rejection, ReviewChannel, Trust
from tasks.errors import NothingToDo, PromotionRefused
from tasks.io import tracking
from tasks.io.notifications import Level, notify
from tasks.jobs.run import Run
from tasks.stages import registry
from tasks.stages import review as review_stage
from tasks.stages.reporting import markdown

_log = logging.getLogger(__name__)


class Pending(Contract):
    """A review that waits for a person."""

    review: OpenReview
    is_open: bool  # an earlier try of this task opened it and wrote the request


@dataclass(frozen=True)
class Request:
    """What a reviewer reads on Airflow's page; `body` is Markdown."""

    subject: str
    body: str


def begin(
    run: Run, *, form: Mapping[str, Any], challenger: int | None, user: str, is_signed_in: bool, now: datetime
) -> Approval | Rejection | Pending:
    """Decide by the form or the policy at once; else prepare a review.

    The policy decides nothing where `registry.needs_person` gives a reason.

    A task that is tried again gets what its earlier try recorded or opened, so that a person need not answer twice.

    Parameters
    ----------
    form : `version`, `reason`, `override`, `reviewer` and `code` of the promotion DAG. A stated version is a decision.
    challenger : the version of the event that started this run; None for a run that was started by hand.
    user, is_signed_in : the account in Airflow, and whether Airflow makes users sign in.

    Raises
    ------
    NothingToDo : there is no version to promote, or it was champion before.
    PromotionRefused : the form is incomplete, or its code does not count.
    ModelError : there is no such version.
    """
    stated, open_for = form["version"], run.use_case.review.expires_after
    number = choose_version(run, stated=stated, challenger=challenger)
    version = registry.version_of(run.name, number)
    if stated:
        decision = decide_by_form(run, version, form, user=user, is_signed_in=is_signed_in, now=now)
        return record(run, decision, ReviewChannel.FORM, now)
    if run.use_case.review.by == "auto":
        why = registry.needs_person(registry.read_verdict(run.name, number), run.ledger.head(run.name))
        if not why:
            return approve_by_policy(version)
        _log.warning("version %d needs a person although review is auto, because %s", number, why)
    recorded = review_stage.recorded_decision(version, run.run_id, open_for, run.ledger)
    if recorded is not None:
        return record(run, *recorded, now)
    review = review_stage.opened_before(version, run.run_id, open_for, run.ledger)
    if review is not None:
        return Pending(review=review, is_open=True)
    review = review_stage.prepare_review(version, run.ledger, run.run_id, open_for, now)
    return Pending(review=review, is_open=False)


def choose_version(run: Run, *, stated: int | None, challenger: int | None) -> int:
    """The version of the form, else the challenger that started this run.

    Raises
    ------
    NothingToDo : there is neither, or the challenger was champion before. A stated version passes: `promote` judges it.
    """
    if stated:
        return stated
    if challenger is None:
        raise NothingToDo("no version was stated and no challenger started this run: nothing to promote")
    entries = [entry.sequence for entry in run.ledger.entries(run.name) if entry.version == challenger]
    if entries:
        raise NothingToDo(f"version {challenger} was champion before (entry {entries[-1]}): use {run.name}.rollback")
    return challenger


def approve_by_policy(version: ModelVersion) -> Approval:
    """The approval of a use case with `review: {by: auto}`."""
    return Approval(
        use_case=version.use_case,
        version=version.version,
        report_digest=version.report_digest,
        actor="policy:auto",
        reason="passed every enabled gate",
        trust=Trust.POLICY,
    )


def decide_by_form(
    run: Run, version: ModelVersion, form: Mapping[str, Any], *, user: str, is_signed_in: bool, now: datetime
) -> Approval | Rejection:
    """The decision of a person who triggered the promotion with a version: a signed code, or the account.

    Raises
    ------
    PromotionRefused : the code does not count (which is recorded), or a name or the reason of an override is missing.
    """
    where, review = f"{run.name} version {version.version}", run.use_case.review
    if form["code"]:
        decision = review_stage.judge_code(version, form["code"].strip(), review.reviewers, now)
        if isinstance(decision, review_stage.Refused):
            tags = {
                review_stage.REVIEW: form["code"],
                review_stage.REVIEWER: form["reviewer"] or "",
                review_stage.REASON: form["reason"],
            }
            review_stage.record_refusal(version, tags, str(decision), run.run_id, run.ledger, now, channel=ReviewChannel.FORM)
            raise PromotionRefused(f"{where}: {decision}")
        return decision
    trust, reason = trust_in_airflow(run.settings.airflow_url, is_signed_in=is_signed_in), form["reason"].strip()
    actor = user if trust is Trust.AIRFLOW else (form["reviewer"] or "").strip()
    if not actor:
        raise PromotionRefused(f"{where}: the form has no reviewer. Trigger it again with your name")
    if form["override"] and not reason:
        raise PromotionRefused(f"{where}: an override needs a reason. Trigger it again with one")
    return Approval(
        use_case=run.name,
        version=version.version,
        report_digest=version.report_digest,
        actor=actor,
        trust=trust,
        reason=reason or "approved by hand",
        is_override=form["override"],
        expires_at=now + review.expires_after,
    )


def decide_on_page(
    run: Run, review: OpenReview, *, is_approved: bool, name: str, reason: str, user: str, is_signed_in: bool, now: datetime
) -> Approval | Rejection:
    """Record the decision of a person who pressed a button under Required Actions.

    Parameters
    ----------
    name, reason : of the page's form. The name counts only where Airflow does not make users sign in.

    Raises
    ------
    PromotionRefused : Airflow does not make users sign in, and other machines reach it.
    """
    trust = trust_in_airflow(run.settings.airflow_url, is_signed_in=is_signed_in)
    typed = name.strip() if trust is Trust.ON_TRUST else ""
    fields: dict[str, Any] = {
        "use_case": run.name,
        "version": review.version.version,
        "report_digest": review.version.report_digest,
        "actor": typed or user,
        "trust": trust,
        "reason": reason.strip() or ("approved in Airflow" if is_approved else "rejected in Airflow"),
    }
    if is_approved:
        return record(run, Approval(**fields, expires_at=review.expires_at), ReviewChannel.PAGE, now)
    return record(run, Rejection(**fields), ReviewChannel.PAGE, now)


def trust_in_airflow(airflow_url: str, *, is_signed_in: bool) -> Trust:
    """How far a user's name in Airflow is trusted: it is proven only where Airflow makes users sign in.

    Raises
    ------
    PromotionRefused : Airflow does not make users sign in, and other machines reach it.
    """
    if is_signed_in:
        return Trust.AIRFLOW
    if not review_stage.is_loopback(airflow_url):
        raise PromotionRefused(
            f"Airflow at {airflow_url} has no sign-in, so anybody could have approved there: configure users and set "
            "TITLEHOLDER_AIRFLOW_USER, or paste a code of titleholder approve"
        )
    return Trust.ON_TRUST


def write_request(run: Run, review: OpenReview) -> Request:
    """What a reviewer needs to decide: links to the model card and the version, the deadline, and the report."""
    version = review.version
    verdict = registry.read_verdict(run.name, version.version)
    why = registry.needs_person(verdict, run.ledger.head(run.name))
    warning = f"**A person must decide**, because {why}\n\n" if why else ""
    report = markdown.write_report(verdict)
    return Request(
        subject=f"{run.use_case.title}: promote version {version.version}?",
        body=(
            f"[Model card]({registry.card_page(version)}) · [version {version.version} in MLflow]"
            f"({tracking.version_page(run.name, version.version)}) · report `{review.mark}`\n\n"
            f"Open until {review.expires_at:%Y-%m-%d %H:%M} UTC. No answer counts as a rejection. **Approve** promotes this "
            f"version as this report shows it. **Reject** withdraws the challenger.\n\n{warning}{report}"
        ),
    )


def open_review(run: Run, review: OpenReview) -> None:
    """Record that the review is open, show on the version's page how to answer, and tell people whom nothing else tells.

    A use case whose reviews are by policy has nobody who looks for one.
    """
    review_stage.open_review(review, run.ledger)
    if run.use_case.review.by == "auto":
        why = registry.needs_person(registry.read_verdict(run.name, review.version.version), run.ledger.head(run.name))
        notify(f"{run.name}: version {review.version.version} needs a person", f"Because {why}", level=Level.WARNING)


def poll(review: OpenReview, now: datetime) -> dict[str, Any] | None:
    """Look for a decision in MLflow once: an event for `complete`, or None while there is none.

    A failure is logged and waits for the next poll, because a person may still answer on Airflow's page; after the deadline
    it closes the review. Takes no `Run`: a use case whose file is broken for a while must not end the waiting.
    """
    where = f"{review.version.use_case} version {review.version.version}"
    try:
        found = _poll_once(Run.open(review.version.use_case, run_id=review.dag_run), review, now)
    except Exception as error:
        _log.warning("could not poll the review of %s: %s", where, error)
        if now < review.expires_at:
            return None
        return {"closed": f"no answer until the deadline counts as a rejection; the last poll failed: {error}"}
    if found is None:
        return None
    if isinstance(found, review_stage.Closed):
        return {"closed": found.why}
    return {"approval" if isinstance(found, Approval) else "rejection": found.to_json()}


def _poll_once(run: Run, review: OpenReview, now: datetime) -> Approval | Rejection | review_stage.Closed | None:
    is_private = review_stage.is_loopback(run.settings.mlflow_tracking_uri)
    return review_stage.poll(review, run.use_case.review.reviewers, is_private, run.ledger, now)


def complete(run: Run, event: Mapping[str, Any], review: OpenReview, *, now: datetime) -> Approval | Rejection:
    """Record the decision that a poll found.

    Parameters
    ----------
    event : of `poll`, with one of `approval`, `rejection` and `closed`.

    Raises
    ------
    NothingToDo : the review was closed without a decision.
    """
    if "closed" in event:
        review_stage.close_review(review, review_stage.Closed(why=event["closed"]))
        raise NothingToDo(event["closed"])
    if "approval" in event:
        return record(run, Approval.from_json(event["approval"]), ReviewChannel.MLFLOW, now)
    return record(run, Rejection.from_json(event["rejection"]), ReviewChannel.MLFLOW, now)


def record(run: Run, decision: Approval | Rejection, channel: ReviewChannel, now: datetime) -> Approval | Rejection:
    """Keep a decision in the database, and show it on the version. Recording it again changes nothing."""
    review_stage.record_review(decision, channel, run.run_id, run.ledger, now)
    if isinstance(decision, Rejection):
        _log.info("version %s was rejected by %s: %s", decision.version, decision.actor, decision.reason)
    return decision

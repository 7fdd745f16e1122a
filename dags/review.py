"""One task, two doors: a challenger's review, answered on Airflow's page, in MLflow's tags, by form or by policy."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param
from airflow.sdk.bases.skipmixin import SkipMixin
from airflow.sdk.exceptions import TaskAwaitingInput

from dags import assets
from dags.defaults import fail_without_retry, skip
from dags.review_trigger import ReviewTrigger

if TYPE_CHECKING:
    from tasks.contracts.promotion import Approval, ModelVersion, Rejection, ReviewChannel, Trust
    from tasks.stages.review import OpenReview
    from tasks.use_case import UseCase

APPROVE, REJECT = "Approve", "Reject"
LOOK_EVERY_SECONDS = 5.0
# Airflow's pages take a field whose type does not allow null for a required one, and grey out their buttons until it is filled.
FORM = {
    "why": Param("", type="string", maxLength=1000, title="Reason", description="Why; kept in the ledger."),
    "who": Param(
        None,
        type=["null", "string"],
        maxLength=100,
        title="Reviewer",
        description="Your name, where Airflow asks nobody to sign in. Elsewhere your account counts.",
    ),
}


class ReviewOperator(HITLOperator, SkipMixin):  # type: ignore[misc]  # Airflow carries no types
    """Ends with the approval that `promote` needs; skips `promote` where there is none.

    The provider's operator writes the request that Airflow shows under Required Actions. It would then wait without a trigger;
    this one defers to `ReviewTrigger`, which also looks at MLflow. Airflow resumes also a deferred task that is answered there.
    """

    inherits_from_skipmixin = True

    def __init__(self, *, use_case: str, **settings: Any) -> None:
        super().__init__(subject=f"Review of {use_case}", options=[APPROVE, REJECT], execution_timeout=None, **settings)
        self.use_case = use_case

    def execute(self, context: Any) -> dict[str, Any]:
        """By the form or the policy at once; else the request, then the waiting."""
        from tasks.contracts.promotion import Approval, Trust
        from tasks.io.ledger import Ledger
        from tasks.settings import get_settings
        from tasks.stages.registry import version_of
        from tasks.stages.review import opened_before, prepare_review, review_of_run
        from tasks.use_case import load_use_case

        name, params, now = self.use_case, context["params"], datetime.now(UTC)
        events = assets.events_of(context, assets.challenger(name))
        version = params["version"] or (events[-1]["version"] if events else None)
        with fail_without_retry():
            case, ledger = load_use_case(name), Ledger(get_settings().ledger_url)
            if version is None:
                skip("no version was stated and no challenger started this run: nothing to promote")
            held = [entry for entry in ledger.entries(name) if entry.version == version]
            if held and not params["version"]:
                skip(f"version {version} held the title before (entry {held[-1].sequence}): {name}.rollback brings it back")
            known = version_of(name, version)
            if params["version"]:
                return self._by_form(context, known, case, now)
            if case.review.by == "auto":
                return Approval(
                    use_case=name,
                    version=version,
                    report_digest=known.report_digest,
                    actor="policy:auto",
                    reason="passed every enabled gate",
                    trust=Trust.POLICY,
                ).to_json()
            heard = review_of_run(known, context["run_id"], case.review.expires_after, ledger)
            if heard is not None:
                return self._end(context, *heard)
            before = opened_before(known, context["run_id"], case.review.expires_after, ledger)
            if before is not None:
                self._wait(context, before)
            self._ask(context, prepare_review(known, ledger, context["run_id"], case.review.expires_after, now))

    def _ask(self, context: Any, review: OpenReview) -> NoReturn:
        """Write the request, then wait. Airflow empties an answer that is there when a request is written again."""
        from tasks.io.ledger import Ledger
        from tasks.settings import get_settings
        from tasks.stages.review import open_review
        from tasks.use_case import load_use_case

        self.subject = f"{load_use_case(self.use_case).title}: shall version {review.version.version} take the title?"
        self.body = write_request(review)
        try:
            super().execute(context)
        except TaskAwaitingInput:
            open_review(review, Ledger(get_settings().ledger_url))
        self._wait(context, review)

    def _wait(self, context: Any, review: OpenReview) -> NoReturn:
        trigger = ReviewTrigger(
            review=review.to_json(),
            ti_id=context["task_instance"].id,
            options=self.options,
            params=self.serialized_params,
            timeout_datetime=None,
            poke_interval=LOOK_EVERY_SECONDS,
        )
        self.defer(trigger=trigger, method_name="execute_complete", kwargs={"review": review.to_json()})
        raise AssertionError("unreachable: defer raises")

    def execute_complete(self, context: Any, event: dict[str, Any], review: dict[str, Any]) -> dict[str, Any]:
        """Somebody answered at one of the doors, or nobody will."""
        from tasks.contracts.promotion import Approval, Rejection, ReviewChannel
        from tasks.stages.review import OpenReview, Over, close

        open_review = OpenReview.from_json(review)
        with fail_without_retry():
            if "unasked" in event:
                self._ask(context, open_review)
            if "over" in event:
                close(open_review, Over(why=event["over"]))
                skip(event["over"])
            if "approval" in event:
                return self._end(context, Approval.from_json(event["approval"]), ReviewChannel.MLFLOW)
            if "rejection" in event:
                return self._end(context, Rejection.from_json(event["rejection"]), ReviewChannel.MLFLOW)
            return self._by_page(context, super().execute_complete(context, event), open_review)

    def _by_page(self, context: Any, answer: dict[str, Any], review: OpenReview) -> dict[str, Any]:
        """Somebody pressed a button under Required Actions."""
        from tasks.contracts.promotion import Approval, Rejection, ReviewChannel, Trust

        user, filled, trust = answer["responded_by_user"], answer["params_input"], trust_in_airflow()
        typed = (filled.get("who") or "").strip() if trust is Trust.ON_TRUST else ""
        is_yes = answer["chosen_options"] == [APPROVE]
        said = {
            "use_case": self.use_case,
            "version": review.version.version,
            "report_digest": review.version.report_digest,
            "actor": typed or user["name"] or user["id"],
            "trust": trust,
            "reason": (filled.get("why") or "").strip() or ("approved in Airflow" if is_yes else "rejected in Airflow"),
        }
        if not is_yes:
            return self._end(context, Rejection.model_validate(said), ReviewChannel.PAGE)
        return self._end(context, Approval.model_validate({**said, "expires_at": review.expires_at}), ReviewChannel.PAGE)

    def _by_form(self, context: Any, version: ModelVersion, case: UseCase, now: datetime) -> dict[str, Any]:
        """Somebody triggered this DAG with a version: a word of its own, signed or by the account."""
        from tasks.contracts.promotion import Approval, ReviewChannel, Trust
        from tasks.errors import PromotionRefused
        from tasks.io.ledger import Ledger
        from tasks.settings import get_settings
        from tasks.stages.review import REASON, REVIEWER, WORD, Refused, judge_code, record_refusal

        params = context["params"]
        if params["code"]:
            word = judge_code(version, params["code"].strip(), case.review.reviewers, now)
            if isinstance(word, Refused):
                tags = {WORD: params["code"], REVIEWER: params["reviewer"] or "", REASON: params["reason"]}
                ledger = Ledger(get_settings().ledger_url)
                record_refusal(version, tags, str(word), context["run_id"], ledger, now, ReviewChannel.FORM)
                raise PromotionRefused(f"{case.name} version {version.version}: {word}")
            return self._end(context, word, ReviewChannel.FORM)
        trust, typed, reason = trust_in_airflow(), (params["reviewer"] or "").strip(), params["reason"].strip()
        actor = context["dag_run"].triggering_user_name if trust is Trust.AIRFLOW else typed
        if not actor or (params["override"] and not reason):
            missing = "your name" if not actor else "a reason: an override cannot do without"
            raise PromotionRefused(f"{case.name} version {version.version}: the form wants {missing}; trigger it again with it")
        approval = Approval(
            use_case=case.name,
            version=version.version,
            report_digest=version.report_digest,
            actor=actor,
            trust=trust,
            reason=reason or "approved by hand",
            is_override=params["override"],
            expires_at=now + case.review.expires_after,
        )
        return self._end(context, approval, ReviewChannel.FORM)

    def _end(self, context: Any, word: Approval | Rejection, channel: ReviewChannel) -> dict[str, Any]:
        """Keep the word; hand an approval on, and skip what follows a rejection."""
        from tasks.contracts.promotion import Approval
        from tasks.io.ledger import Ledger
        from tasks.settings import get_settings
        from tasks.stages.review import record_review

        ledger, run = Ledger(get_settings().ledger_url), context["run_id"]
        record_review(word, channel, run, ledger, datetime.now(UTC))
        if not isinstance(word, Approval):
            self.log.info("version %s was rejected by %s: %s", word.version, word.actor, word.reason)
            self.skip(ti=context["ti"], tasks=context["task"].get_direct_relatives(upstream=False))
        return word.to_json()


def asks_to_sign_in() -> bool:
    """Whether a user's name in Airflow is more than a claim."""
    from airflow.sdk.configuration import conf

    from tasks.settings import get_settings

    return bool(get_settings().airflow_user) and not conf.getboolean("core", "simple_auth_manager_all_admins", fallback=False)


def trust_in_airflow() -> Trust:
    """How far Airflow's word about a user goes: as far as it made them sign in.

    Raises
    ------
    PromotionRefused : it lets everybody in, and more than this machine reaches it.
    """
    from tasks.contracts.promotion import Trust
    from tasks.errors import PromotionRefused
    from tasks.settings import get_settings
    from tasks.stages.review import is_loopback

    if asks_to_sign_in():
        return Trust.AIRFLOW
    settings = get_settings()
    if not is_loopback(settings.airflow_url):
        raise PromotionRefused(
            f"Airflow at {settings.airflow_url} asks nobody to sign in, so an approval there is nobody's: let it have users, "
            "set TITLEHOLDER_AIRFLOW_USER, or paste a code of titleholder approve"
        )
    return Trust.ON_TRUST


def write_request(review: OpenReview) -> str:
    """What a reviewer needs at a glance, as Markdown, for Airflow's page."""
    from tasks.io import tracking
    from tasks.stages.registry import card_page, read_verdict
    from tasks.stages.reporting.markdown import write_report

    version = review.version
    report = write_report(read_verdict(version.use_case, version.version))
    return (
        f"[Model card]({card_page(version)}) · [version {version.version} in MLflow]"
        f"({tracking.version_page(version.use_case, version.version)}) · report `{review.mark}`\n\n"
        f"Open until {review.expires_at:%Y-%m-%d %H:%M} UTC; silence is a no. **Approve** promotes this version as this report "
        f"shows it, **Reject** takes it out of the running.\n\n{report}"
    )

"""The review task of a promotion: a person answers on Airflow's page or in MLflow, else the form or the policy decides."""

from __future__ import annotations

from typing import Any, NoReturn

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param
from airflow.sdk.bases.skipmixin import SkipMixin
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import TaskAwaitingInput

from dags import assets
from dags.defaults import open_run
from dags.review_trigger import NO_REQUEST, ReviewTrigger
from tasks import clock
from tasks.contracts.promotion import Approval, OpenReview, Rejection
from tasks.jobs import review as jobs
from tasks.jobs.run import Run
from tasks.settings import get_settings

APPROVE, REJECT = "Approve", "Reject"
POLL_SECONDS = 5.0
# Airflow's pages take a field whose type does not allow null for a required one, and grey out their buttons until it is filled.
FORM = {
    "why": Param("", type="string", maxLength=1000, title="Reason", description="Why; kept in the ledger."),
    "who": Param(
        None,
        type=["null", "string"],
        maxLength=100,
        title="Reviewer",
        description="Your name, if Airflow has no sign-in. Otherwise your account counts.",
    ),
}


class ReviewOperator(HITLOperator, SkipMixin):  # type: ignore[misc]  # Airflow carries no types
    """Ends with the approval that `promote` needs, or skips `promote`.

    The provider's operator writes the request that Airflow shows under Required Actions, and would then wait without a
    trigger. This one defers to `ReviewTrigger`, which polls MLflow too. Airflow also resumes a deferred task whose request is
    answered on its page.
    """

    inherits_from_skipmixin = True

    def __init__(self, *, use_case: str, **settings: Any) -> None:
        super().__init__(subject=f"Review of {use_case}", options=[APPROVE, REJECT], execution_timeout=None, **settings)
        self.use_case = use_case

    def execute(self, context: Any) -> dict[str, Any]:
        """End with a decision, or write the request and defer."""
        events = assets.events_of(context, assets.challenger(self.use_case))
        with open_run(self.use_case, context) as run:
            found = jobs.begin(
                run,
                form=context["params"],
                challenger=events[-1]["version"] if events else None,
                user=context["dag_run"].triggering_user_name or "",
                is_signed_in=asks_to_sign_in(),
                now=clock.now(),
            )
            if not isinstance(found, jobs.Pending):
                return self._end(context, found)
            if not found.is_open:
                self._request(context, run, found.review)
            self._wait(context, found.review)

    def execute_complete(self, context: Any, event: dict[str, Any], review: dict[str, Any]) -> dict[str, Any]:
        """End with the decision of a poll or of Airflow's page."""
        waiting, now = OpenReview.from_json(review), clock.now()
        with open_run(self.use_case, context) as run:
            if NO_REQUEST in event:
                self._request(context, run, waiting)
                self._wait(context, waiting)
            if "chosen_options" not in event:
                return self._end(context, jobs.complete(run, event, waiting, now=now))
            answer = super().execute_complete(context, event)
            user, form = answer["responded_by_user"], answer["params_input"]
            decision = jobs.decide_on_page(
                run,
                waiting,
                is_approved=answer["chosen_options"] == [APPROVE],
                name=form.get("who") or "",
                reason=form.get("why") or "",
                user=user["name"] or user["id"],
                is_signed_in=asks_to_sign_in(),
                now=now,
            )
            return self._end(context, decision)

    def _request(self, context: Any, run: Run, review: OpenReview) -> None:
        """Write the request. Once only: Airflow deletes an answer when its request is written again."""
        request = jobs.write_request(run, review)
        self.subject, self.body = request.subject, request.body
        try:
            super().execute(context)
        except TaskAwaitingInput:
            jobs.open_review(run, review)

    def _wait(self, context: Any, review: OpenReview) -> NoReturn:
        trigger = ReviewTrigger(
            review=review.to_json(),
            ti_id=context["task_instance"].id,
            options=self.options,
            params=self.serialized_params,
            timeout_datetime=None,
            poke_interval=POLL_SECONDS,
        )
        self.defer(trigger=trigger, method_name="execute_complete", kwargs={"review": review.to_json()})
        raise AssertionError("unreachable: defer raises")

    def _end(self, context: Any, decision: Approval | Rejection) -> dict[str, Any]:
        """Hand an approval on; skip what follows a rejection."""
        if isinstance(decision, Rejection):
            self.skip(ti=context["ti"], tasks=context["task"].get_direct_relatives(upstream=False))
        return decision.to_json()


def asks_to_sign_in() -> bool:
    """Whether Airflow makes users sign in, so that an account's name proves who acted."""
    return bool(get_settings().airflow_user) and not conf.getboolean("core", "simple_auth_manager_all_admins", fallback=False)

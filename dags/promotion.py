"""`<use_case>.promotion`: challenger -> review -> ledger -> alias -> endpoint."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, get_current_context, task

from dags import assets
from dags.defaults import describe, fail_without_retry, for_each_use_case
from dags.review import FORM, ReviewOperator
from tasks.use_case import UseCase

TEXT = """
Makes a challenger the champion: one entry in the ledger, then the alias, then the endpoint, which must answer with the new
version before this run is green. Runs when a challenger passed the gates.

* **Review by a person** (`review: {by: person}`): the run waits at `review`. Approve or reject it under *Required Actions*, or
  in MLflow: set the tag `review` of the version to `approved` or `rejected` and `reviewer` to your name. A word that does not
  count is answered in the tag `review_answer`. Silence is a no, and a newer challenger ends the waiting.
* **By hand**: trigger this DAG with a version and the reason. An override promotes a version that a gate refused.
* **Refused**: the version did not pass, or was judged against another champion than today's. Train again.
"""
MANY = 16  # a run that waits for a person must not hold up the next challenger; the ledger lets one promotion through


def build(use_case: UseCase) -> object:
    name, challenger, product = use_case.name, assets.challenger(use_case.name), assets.champion(use_case.name)
    params = {
        "version": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="Version",
            description="The version to promote. Empty: the challenger that started this run.",
        ),
        "reason": Param("", type="string", maxLength=1000, title="Reason", description="Why; kept in the ledger."),
        "override": Param(
            False,
            type="boolean",
            title="Override",
            description="Promote although a gate refused. Needs the reason, and the ledger calls it an override.",
        ),
        "reviewer": Param(
            None,
            type=["null", "string"],
            maxLength=100,
            title="Reviewer",
            description="Your name, where Airflow asks nobody to sign in. Elsewhere your account counts.",
        ),
        "code": Param(
            None,
            type=["null", "string"],
            maxLength=4000,
            title="Signed code",
            description="What titleholder approve printed. Then the code says who, why, and whether it is an override.",
        ),
    }

    @dag(**describe(use_case, "promotion", TEXT) | {"max_active_runs": MANY}, schedule=[challenger], params=params)
    def promotion() -> None:
        review = ReviewOperator(task_id="review", use_case=name, params=FORM)

        @task(outlets=[product])
        def promote(approval: dict[str, Any]) -> dict[str, Any]:
            """Ledger, then alias, then wait until the endpoint answers with it."""
            from tasks.contracts.promotion import Approval
            from tasks.io.endpoint import await_version
            from tasks.io.ledger import Ledger
            from tasks.settings import get_settings
            from tasks.stages.registry import promote

            context = get_current_context()
            with fail_without_retry():
                ledger = Ledger(get_settings().ledger_url)
                entry = promote(Approval.from_json(approval), context["run_id"], ledger)
                await_version(name, entry.version)
            context["outlet_events"][product].extra = {"version": entry.version, "sequence": entry.sequence}
            return entry.to_json()

        promote(review.output)

    return promotion()


for_each_use_case(build)

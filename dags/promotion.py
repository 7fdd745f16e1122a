"""`<use_case>.promotion`: challenger -> review -> ledger -> alias -> endpoint."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task

from dags import assets
from dags.defaults import describe, for_each_use_case, open_run
from dags.review import FORM, ReviewOperator
from tasks.contracts.promotion import Approval
from tasks.jobs import promotion as jobs
from tasks.use_case import UseCase

TEXT = """
Makes a challenger the champion: one entry in the ledger, then the alias, then the endpoint, which must answer with the new
version before this run succeeds. Runs when a challenger passed the gates.

* **Review by a person** (`review: {by: person}`): the run waits at `review`. Approve or reject it under *Required Actions*, or
  in MLflow: set the tag `review` of the version to `approved` or `rejected` and `reviewer` to your name. The tag
  `review_answer` explains a decision that does not count. No answer counts as a rejection. A newer challenger ends the review.
* **By hand**: trigger this DAG with a version and the reason. An override promotes a version that a gate refused.
* **Refused**: the version did not pass, or was judged against another champion than the present one. Train again.
"""
MAX_RUNS = 16  # a run that waits for a person must not block the next challenger; the ledger accepts one promotion only
PARAMS = {
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
        description="Promote despite a failed gate. Needs a reason; the ledger records it as an override.",
    ),
    "reviewer": Param(
        None,
        type=["null", "string"],
        maxLength=100,
        title="Reviewer",
        description="Your name, if Airflow has no sign-in. Otherwise your account counts.",
    ),
    "code": Param(
        None,
        type=["null", "string"],
        maxLength=4000,
        title="Signed code",
        description="The code of `titleholder approve`. It then states who, why, and whether it is an override.",
    ),
}


def build(use_case: UseCase) -> object:
    name, challenger, product = use_case.name, assets.challenger(use_case.name), assets.champion(use_case.name)

    @dag(**describe(use_case, "promotion", TEXT) | {"max_active_runs": MAX_RUNS}, schedule=[challenger], params=PARAMS)
    def promotion() -> None:
        review = ReviewOperator(task_id="review", use_case=name, params=FORM)

        @task(outlets=[product])
        def promote(approval: dict[str, Any]) -> dict[str, Any]:
            """Ledger, then alias, then wait until the endpoint answers with it."""
            with open_run(name) as run:
                entry = jobs.promote(run, Approval.from_json(approval))
            assets.describe_event(product, jobs.champion_event(entry))
            return entry.to_json()

        promote(review.output)

    return promotion()


for_each_use_case(build)

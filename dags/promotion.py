"""`<use_case>.promotion`: challenger -> review -> ledger -> alias -> endpoint."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, get_current_context, task

from dags import assets
from dags.defaults import describe, for_each_use_case, skip, told_plainly
from tasks.use_case import UseCase

TEXT = """
Makes a challenger the champion: one entry in the ledger, then the alias, then the endpoint, which must answer with the new
version before this run is green. Runs when a challenger passed the gates.

* **Review by a person** (`review: {by: person}`): the automatic run stops at `review`. Look at the version in MLflow, then
  trigger this DAG with its version, your name and the reason.
* **Refused**: the version did not pass, or was judged against another champion than today's. Train again.
"""


def build(use_case: UseCase) -> object:
    name, challenger, product = use_case.name, assets.challenger(use_case.name), assets.champion(use_case.name)
    params = {
        "version": Param(
            None, type=["null", "integer"], minimum=1, title="Version",
            description="The version to promote. Empty: the challenger that started this run.",
        ),
        "reviewer": Param("", type="string", maxLength=100, title="Reviewer", description="Who says yes."),
        "reason": Param("", type="string", maxLength=1000, title="Reason", description="Why; kept in the ledger."),
    }  # fmt: skip

    @dag(**describe(use_case, "promotion", TEXT), schedule=[challenger], params=params)
    def promotion() -> None:
        @task
        def review() -> dict[str, Any]:
            """By whose word: the policy's or a person's."""
            from tasks.contracts import Approval, Trust
            from tasks.ledger import Ledger
            from tasks.registry import version_of
            from tasks.settings import get_settings
            from tasks.use_case import load_use_case

            context = get_current_context()
            params = context["params"]
            events = assets.events_of(context, challenger)
            version = params["version"] or (events[-1]["version"] if events else None)
            with told_plainly():
                case = load_use_case(name)
            if version is None:
                skip("no version was stated and no challenger started this run: nothing to promote")
            held = [entry for entry in Ledger(get_settings().ledger_url).entries(name) if entry.version == version]
            if held and not params["version"]:
                skip(f"version {version} held the title before (entry {held[-1].sequence}): {name}.rollback brings it back")
            with told_plainly():
                report_digest = version_of(name, version).report_digest
            yes = {"use_case": name, "version": version, "report_digest": report_digest}
            if params["reviewer"]:
                why = params["reason"] or "approved by hand"
                return Approval(**yes, actor=params["reviewer"], reason=why, trust=Trust.ON_TRUST).to_json()
            if case.review.by == "person":
                skip(
                    f"version {version} waits for a person: look at it in MLflow, then trigger {name}.promotion "
                    "with its version, your name and the reason"
                )
            why = "passed every enabled gate"
            return Approval(**yes, actor="policy:auto", reason=why, trust=Trust.POLICY).to_json()

        @task(outlets=[product])
        def promote(approval: dict[str, Any]) -> dict[str, Any]:
            """Ledger, then alias, then wait until the endpoint answers with it."""
            from tasks.contracts import Approval
            from tasks.endpoint import await_version
            from tasks.ledger import Ledger
            from tasks.registry import promote
            from tasks.settings import get_settings

            context = get_current_context()
            with told_plainly():
                ledger = Ledger(get_settings().ledger_url)
                entry = promote(Approval.from_json(approval), context["run_id"], ledger)
                await_version(name, entry.version)
            context["outlet_events"][product].extra = {"version": entry.version, "sequence": entry.sequence}
            return entry.to_json()

        promote(review())

    return promotion()


for_each_use_case(build)

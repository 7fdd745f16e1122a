"""`<use_case>.rollback`: undo a promotion, by hand. A new ledger entry; nothing is erased."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, get_current_context, task

from dags import assets
from dags.defaults import describe, for_each_use_case, told_plainly
from tasks.use_case import UseCase

TEXT = """
Gives the title back to the champion before, or to any version that held it. Fill the form: your name and the reason go into
the ledger. The endpoint must answer with the old version before this run is green.
"""


def build(use_case: UseCase) -> object:
    name, product = use_case.name, assets.champion(use_case.name)
    params = {
        "to_version": Param(
            None, type=["null", "integer"], minimum=1, title="Version",
            description="A former champion. Empty: the one before the present champion.",
        ),
        "actor": Param("", type="string", minLength=1, maxLength=100, title="Who", description="Your name."),
        "reason": Param("", type="string", minLength=1, maxLength=1000, title="Reason", description="Why; kept in the ledger."),
    }  # fmt: skip

    @dag(**describe(use_case, "rollback", TEXT), schedule=None, params=params)
    def rollback() -> None:
        @task(outlets=[product])
        def roll_back() -> dict[str, Any]:
            """Ledger, then alias, then wait until the endpoint answers with the former champion."""
            from tasks.endpoint import await_version
            from tasks.ledger import Ledger
            from tasks.registry import rollback
            from tasks.settings import get_settings

            context = get_current_context()
            params = context["params"]
            with told_plainly():
                ledger = Ledger(get_settings().ledger_url)
                entry = rollback(name, params["actor"], params["reason"], context["run_id"], ledger, params["to_version"])
                await_version(name, entry.version)
            context["outlet_events"][product].extra = {"version": entry.version, "sequence": entry.sequence}
            return entry.to_json()

        roll_back()

    return rollback()


for_each_use_case(build)

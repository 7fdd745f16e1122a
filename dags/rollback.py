"""`<use_case>.rollback`: undo a promotion, by hand or by the bake period's policy. A new ledger entry; nothing is erased."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, PokeReturnValue, dag, get_current_context, task

from dags import assets
from dags.defaults import describe, for_each_use_case, open_run
from dags.review import asks_to_sign_in
from tasks import clock
from tasks.contracts.promotion import LedgerEntry
from tasks.jobs import rollback as jobs
from tasks.jobs.promotion import champion_event
from tasks.use_case import UseCase

TEXT = """
Makes the champion before the present one, or any former champion, the champion again. A fresh process loads the target and
requests predictions of it before anything changes. The endpoint must answer with it before this run succeeds.

* **By hand**: fill the form. Your name and the reason go into the ledger. Runs at once, also during a bake period.
* **By policy** (`bake` in the use case): after each promotion `watch` reads the endpoint's errors, latency and scores of the
  new champion. If a limit is broken, `withdraw` rolls back with the reason. `withdraw` is skipped if the champion kept to the
  limits, or was replaced meanwhile. A rollback is not watched, so that versions cannot oscillate.
"""
PARAMS = {
    "to_version": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        title="Version",
        description="A former champion. Empty: the one before the present champion that was not itself rolled back from.",
    ),
    "actor": Param(
        None,
        type=["null", "string"],
        minLength=1,
        maxLength=100,
        title="Who",
        description="Your name, if Airflow has no sign-in. Otherwise your account counts.",
    ),
    "reason": Param(
        None,
        type=["null", "string"],
        minLength=1,
        maxLength=1000,
        title="Reason",
        description="Why; kept in the ledger.",
    ),
}


def build(use_case: UseCase) -> object:
    name, product, bake = use_case.name, assets.champion(use_case.name), use_case.bake

    # Several runs at once: a rollback by hand must not wait for the end of a bake period
    @dag(**{**describe(use_case, "rollback", TEXT), "max_active_runs": 8}, schedule=[product], params=PARAMS)
    def rollback() -> None:
        @task(outlets=[product])
        def roll_back() -> dict[str, Any]:
            """By hand: ledger, then alias, then wait until the endpoint answers with the former champion."""
            context = get_current_context()
            params, user = context["params"], context["dag_run"].triggering_user_name
            with open_run(name) as run:
                entry = jobs.roll_back(
                    run,
                    to_version=params["to_version"],
                    reason=params["reason"] or "",
                    name=params["actor"] or "",
                    user=user or "",
                    is_signed_in=asks_to_sign_in(),
                    is_promotion=bool(assets.events_of(context, product)),
                )
            return announce(entry)

        @task
        def expect() -> dict[str, Any]:
            """The ledger entry to watch, and the scores that its version gave in a rehearsal."""
            events = assets.events_of(get_current_context(), product)
            with open_run(name) as run:
                sequence = events[-1]["sequence"] if events else None
                return jobs.expect(run, sequence=sequence, now=clock.now()).to_json()

        @task.sensor(
            mode="reschedule",
            poke_interval=max(5, min(30, bake.minutes * 6)),
            timeout=bake.minutes * 60 + 3600,
        )
        def watch(expected: dict[str, Any]) -> PokeReturnValue:
            """Read the endpoint's figures at intervals, until the bake period is over or a limit is broken."""
            with open_run(name) as run:
                outcome = jobs.watch(run, jobs.Expected.from_json(expected), now=clock.now())
            return PokeReturnValue(outcome.is_final, outcome.to_json())

        @task(outlets=[product])
        def withdraw(outcome: dict[str, Any]) -> dict[str, Any]:
            """By policy: roll back from a champion that broke a limit, and from no other."""
            with open_run(name) as run:
                return announce(jobs.withdraw(run, jobs.BakeOutcome.from_json(outcome)))

        def announce(entry: LedgerEntry) -> dict[str, Any]:
            assets.describe_event(product, champion_event(entry))
            return entry.to_json()

        roll_back()
        withdraw(watch(expect()))

    return rollback()


for_each_use_case(build)

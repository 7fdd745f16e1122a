"""`<use_case>.rollback`: undo a promotion, by hand or by the bake period's policy. A new ledger entry; nothing is erased."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import Param, PokeReturnValue, dag, get_current_context, task

from dags import assets
from dags.defaults import describe, fail_without_retry, for_each_use_case, skip
from dags.review import asks_to_sign_in
from tasks.use_case import UseCase

if TYPE_CHECKING:
    from tasks.contracts.promotion import LedgerEntry

TEXT = """
Gives the title back to the champion before, or to any version that held it. The target is loaded in a fresh process and asked
before anything moves; the endpoint must answer with it before this run is green.

* **By hand**: fill the form; your name and the reason go into the ledger. Runs at once, also while a promotion bakes.
* **By policy** (`bake` in the use case): after each promotion `watch` looks at the endpoint's errors, latency and scores of the
  new champion. If a limit is broken, `withdraw` rolls back and says why. `withdraw` skipped: the champion held, or lost the
  title otherwise. A rollback is not watched, so that no title goes to and fro.
"""


def build(use_case: UseCase) -> object:
    name, product, bake = use_case.name, assets.champion(use_case.name), use_case.bake
    params = {
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
            description="Your name, where Airflow asks nobody to sign in. Elsewhere your account counts.",
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

    # Several runs at once: a rollback by hand must not wait for the end of a bake period.
    @dag(**{**describe(use_case, "rollback", TEXT), "max_active_runs": 8}, schedule=[product], params=params)
    def rollback() -> None:
        @task(outlets=[product])
        def roll_back() -> dict[str, Any]:
            """By hand: ledger, then alias, then wait until the endpoint answers with the former champion."""
            from tasks.contracts.promotion import Trust
            from tasks.io.ledger import Ledger
            from tasks.settings import get_settings
            from tasks.stages.registry import rollback

            context = get_current_context()
            params = context["params"]
            if assets.events_of(context, product):
                skip("nobody asked for a rollback: this run watches a promotion")
            with fail_without_retry():
                ledger = Ledger(get_settings().ledger_url)
                is_user, why = asks_to_sign_in(), params["reason"] or ""
                who = context["dag_run"].triggering_user_name if is_user else params["actor"]
                trust = Trust.AIRFLOW if is_user else Trust.ON_TRUST
                entry = rollback(name, who or "", why, context["run_id"], ledger, params["to_version"], trust)
            return _announce(entry)

        @task
        def expect() -> dict[str, Any]:
            """Which entry to watch, and the scores that its version gave in a rehearsal."""
            from tasks.contracts.promotion import Action
            from tasks.errors import PromotionRefused
            from tasks.io.ledger import Ledger
            from tasks.settings import get_settings
            from tasks.stages.registry import rehearse

            events = assets.events_of(get_current_context(), product)
            if not events:
                skip("this run was started by hand: there is no promotion to watch")
            if not bake.minutes:
                skip("the use case says bake: {minutes: 0}: nobody watches its promotions")
            head = Ledger(get_settings().ledger_url).head(name)
            if head is None or head.sequence != events[-1]["sequence"]:
                skip(f"entry {events[-1]['sequence']} is not the newest one: its version is not champion any more")
            if head.action is Action.ROLLBACK:
                skip(f"entry {head.sequence} is a rollback, which is not watched: no title goes to and fro")
            if datetime.now(UTC) >= head.at + timedelta(minutes=bake.minutes):
                skip(f"version {head.version} was promoted more than {bake.minutes} minutes ago")
            try:
                scores = rehearse(name, head.version, head.manifest_digest)
            except PromotionRefused as error:
                scores = []
                print(f"no expected scores, so that only errors and latency are watched: {error}")  # noqa: T201
            return {"sequence": head.sequence, "version": head.version, "scores": scores}

        @task.sensor(
            mode="reschedule",
            poke_interval=max(5, min(30, bake.minutes * 6)),
            timeout=bake.minutes * 60 + 3600,
        )
        def watch(expected: dict[str, Any]) -> PokeReturnValue:
            """Look at the endpoint's figures now and then, until the bake period is over or a limit is broken."""
            from tasks.io.ledger import Ledger
            from tasks.settings import get_settings
            from tasks.stages.registry import watch_bake

            ledger, now = Ledger(get_settings().ledger_url), datetime.now(UTC)
            judged = watch_bake(name, expected["sequence"], bake, expected["scores"], ledger, now)
            print(f"{judged.state}: {judged.reason}")  # noqa: T201
            return PokeReturnValue(judged.state != "watching", {**judged.to_json(), "version": expected["version"]})

        @task(outlets=[product])
        def withdraw(judged: dict[str, Any]) -> dict[str, Any]:
            """By policy: take the title from a champion that broke a limit, and from nobody else."""
            from tasks.contracts.promotion import Trust
            from tasks.io.ledger import Ledger
            from tasks.settings import get_settings
            from tasks.stages.registry import rollback

            if judged["state"] != "violated":
                skip(f"{judged['state']}: {judged['reason']}")
            with fail_without_retry():
                ledger, run = Ledger(get_settings().ledger_url), get_current_context()["run_id"]
                entry = rollback(
                    name, "policy:bake", judged["reason"], run, ledger, trust=Trust.POLICY, of_version=judged["version"]
                )
            return _announce(entry)

        def _announce(entry: LedgerEntry) -> dict[str, Any]:
            """Wait until the endpoint answers with the new champion, and tell those who follow it."""
            from tasks.io.endpoint import await_version

            await_version(name, entry.version)
            extra = {"version": entry.version, "sequence": entry.sequence}
            get_current_context()["outlet_events"][product].extra = extra
            return entry.to_json()

        roll_back()
        withdraw(watch(expect()))

    return rollback()


for_each_use_case(build)

"""`<use_case>.backtest`: replay past or generated windows with a simulated clock, and compare policies. By hand only."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, get_current_context, task

from dags.defaults import as_task_outcome, describe, for_each_use_case
from dags.links import show_page, with_page
from tasks.io import isolated_process
from tasks.use_case import UseCase

ENDPOINT_COMMAND = isolated_process.command("serving.standalone")  # serves one export, to the gates alone
TEXT = """
Replays past windows of this use case, or a generated world, through the same jobs with a simulated clock, in its own folder.
Nothing of this installation changes: no snapshot, no champion, no answer.

* **What it compares**: the use case as it is, the YAML in the form, never retraining, and retraining every week.
* **Before you change gates or drift**: paste the changed YAML into the form, and read the first table of the report.
* **Report**: the button on `replay` opens the page in MLflow, experiment `<use case>.backtest`.
* **An interrupted run**: clear the task. It goes on with the window that was interrupted.
"""
PARAMS = {
    "start": Param(type="string", format="date", title="First day", description="The first day that is decided about."),
    "end": Param(type="string", format="date", title="Day after the last", description="The end is exclusive."),
    "policy": Param(
        "",
        type="string",
        format="multiline",
        maxLength=100_000,
        title="Changed YAML",
        description="The whole use-case file with other settings. Empty: no further policy.",
    ),
    "window_days": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        maximum=366,
        title="Days of a window",
        description="Empty: the windows of the schedule.",
    ),
    "history_days": Param(
        None,
        type=["null", "integer"],
        minimum=0,
        maximum=3660,
        title="Days of history",
        description="Days before the first that are only ingested. Empty: what a first training needs.",
    ),
    "answer_days": Param(
        1.0,
        type="number",
        minimum=0,
        maximum=365,
        title="Days until an answer",
        description="How long a review takes.",
    ),
    "world": Param(
        "",
        type="string",
        maxLength=100,
        title="Generated world",
        description="Empty: the use case's own files. `titleholder backtest --world list` names the worlds.",
    ),
    "seed": Param(7, type="integer", minimum=0, title="Seed", description="Of the generated world."),
}


def build(use_case: UseCase) -> object:
    name = use_case.name

    @dag(**describe(use_case, "backtest", TEXT), schedule=None, params=PARAMS)
    def backtest() -> None:
        @task(execution_timeout=timedelta(days=3))
        def replay() -> None:
            """Replay every policy, and write the report."""
            from tasks.backtest.form import replay_form

            context: Any = get_current_context()
            with as_task_outcome():
                show_page(replay_form(name, context["params"], endpoint_command=ENDPOINT_COMMAND))

        with_page(replay(), "Report")

    return backtest()


for_each_use_case(build)

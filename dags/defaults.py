"""What all DAGs share: retries, tags, the loop over use cases, and the adapter between Airflow's context and a job."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any

from airflow.sdk import CronDataIntervalTimetable, Param, get_current_context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from tasks.contracts.base import Window
from tasks.contracts.calendar import local_day, start_of_day
from tasks.errors import ConfigurationError, NothingToDo, ServiceUnavailable, TitleholderError
from tasks.io.notifications import Level, notify
from tasks.jobs.run import Run
from tasks.jobs.windows import choose_window, parse_day
from tasks.reasons import translated
from tasks.settings import get_settings
from tasks.use_case import UseCase, list_use_cases, load_use_case

_log = logging.getLogger(__name__)


def tell_failure(context: Any) -> None:
    """Log what a failed task leaves behind and which runbook helps, and notify people."""
    task = context["task_instance"]
    runbooks = "docs/runbooks (quarantine-above-tolerance, mlflow-is-down, endpoint-not-ready, ...)"
    _log.error(
        "%s.%s failed after %s tries: %s. The champion stays as it is. What to do: %s; then clear this task.",
        task.dag_id,
        task.task_id,
        task.try_number,
        context.get("exception"),
        runbooks,
    )
    notify(
        f"{task.dag_id}.{task.task_id} failed",
        f"After {task.try_number} tries: {context.get('exception')}. The champion stays as it is. What to do: {runbooks}.\n"
        f"{getattr(task, 'log_url', '')}",
        level=Level.FAILURE,
    )


# Only what can pass by itself is tried again: a server that is restarting, a killed process.
TASK_DEFAULTS: dict[str, Any] = {
    "retries": 2,
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=5),
    "execution_timeout": timedelta(hours=3),
    "on_failure_callback": tell_failure,
}

WINDOW_PARAMS = {
    "window_start": Param(
        None,
        type=["null", "string"],
        format="date",
        title="First day",
        description="First day of the window, as YYYY-MM-DD. Empty: the run's own data interval.",
    ),
    "window_end": Param(
        None,
        type=["null", "string"],
        format="date",
        title="Day after the last",
        description="The day after the last one (the end is exclusive). Empty: the run's own data interval.",
    ),
}


def for_each_use_case(build: Callable[[UseCase], object]) -> None:
    """Build one DAG per use case. A broken file stops only its own DAGs; broken_use_cases.py shows it in the UI."""
    for name in list_use_cases():
        try:
            use_case = load_use_case(name)
        except ConfigurationError:
            continue
        build(use_case)


def describe(use_case: UseCase, step: str, text: str) -> dict[str, Any]:
    """The arguments that every DAG of a use case shares."""
    return {
        "dag_id": f"{use_case.name}.{step}",
        "dag_display_name": f"{use_case.name}.{step}",
        "description": f"{use_case.title}: {step.replace('_', ' ')}",
        "doc_md": f"# {use_case.title}\n\n{text.strip()}\n\n*Owner: {use_case.owner}. {use_case.description.strip()}*",
        "tags": ["titleholder", use_case.name, step],
        "start_date": start_of_day(use_case.start_date, use_case.zone),
        "catchup": False,
        "max_active_runs": 1,
        "is_paused_upon_creation": False,
        "default_args": {**TASK_DEFAULTS, "owner": use_case.owner},
        "render_template_as_native_obj": True,
    }


def clock(use_case: UseCase) -> CronDataIntervalTimetable | None:
    """The time schedule of a use case, unless this machine runs nothing by the clock.

    Each run carries the interval between two ticks, which is its window; Airflow 3's own default for a cron string is a moment.
    It ticks in the use case's time zone, on days that daylight saving shortens or lengthens too.
    """
    if use_case.schedule is None or get_settings().schedules == "off":
        return None
    return CronDataIntervalTimetable(use_case.schedule, timezone=use_case.time_zone)


@contextmanager
def as_task_outcome() -> Iterator[None]:
    """Turn what a job raises into a task's outcome.

    `NothingToDo` skips the task and what depends on it. Errors of other programs become ours. A server that does not answer
    and a failure whose reason is not known are tried again. Every other error of ours cannot be repaired by another try, so it
    fails the task at once, with its message and no stack of retries.
    """
    try:
        with translated("the task"):
            yield
    except NothingToDo as error:
        raise AirflowSkipException(str(error)) from error
    except ServiceUnavailable:
        raise
    except TitleholderError as error:
        if type(error) is TitleholderError:  # another program failed for a reason that is not known
            raise
        _log.exception("%s", error)
        raise AirflowFailException(str(error)) from error


@contextmanager
def open_run(use_case: str, context: Any = None) -> Iterator[Run]:
    """The `Run` of a task, and the outcome of the job that the body calls.

    Parameters
    ----------
    context : of the task; default: of the one that runs now.
    """
    dag_run = (context or get_current_context())["dag_run"]
    with as_task_outcome():
        yield Run.open(use_case, dag_id=dag_run.dag_id, run_id=dag_run.run_id)


def window_of_run(use_case: UseCase, context: Any) -> Window:
    """The window of a run: from the form, else from its data interval."""
    params, interval = context["params"], (context.get("data_interval_start"), context.get("data_interval_end"))
    stated = params.get("window_start"), params.get("window_end")
    with as_task_outcome():
        return choose_window(*stated, None if None in interval else interval, use_case.zone)


def stated_window(use_case: UseCase, context: Any) -> Window | None:
    """The window of the form; None where it was left empty."""
    return window_of_run(use_case, context) if context["params"]["window_start"] else None


def day_param(context: Any, name: str) -> date | None:
    """A day from the form; None where it was left empty."""
    value = context["params"].get(name)
    with as_task_outcome():
        return parse_day(value, name) if value else None


def day_of_run(use_case: UseCase, context: Any) -> date:
    """The local day that a run belongs to: of its logical date, else of when it was due. The same however often it is tried."""
    return local_day(context.get("logical_date") or context["dag_run"].run_after, use_case.zone)

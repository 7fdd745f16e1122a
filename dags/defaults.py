"""What all DAGs share: retries, tags, the window of a run, errors that are told as they are, and the loop over use cases."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any, NoReturn

from airflow.sdk import CronDataIntervalTimetable, Param
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from tasks.contracts.base import Window
from tasks.errors import ConfigurationError, ServiceUnavailable, TitleholderError
from tasks.settings import get_settings
from tasks.use_case import UseCase, list_use_cases, load_use_case

_log = logging.getLogger(__name__)


def tell_failure(context: Any) -> None:
    """The last line of a failed task's log, and a message to people: where it stands, and where it says what to do."""
    from tasks.io.notifications import Tone, tell

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
    tell(
        f"{task.dag_id}.{task.task_id} failed",
        f"After {task.try_number} tries: {context.get('exception')}. The champion stays as it is. What to do: {runbooks}.\n"
        f"{getattr(task, 'log_url', '')}",
        Tone.FAILURE,
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
        "start_date": datetime.combine(use_case.start_date, datetime.min.time(), UTC),
        "catchup": False,
        "max_active_runs": 1,
        "is_paused_upon_creation": False,
        "default_args": {**TASK_DEFAULTS, "owner": use_case.owner},
        "render_template_as_native_obj": True,
    }


def clock(use_case: UseCase) -> CronDataIntervalTimetable | None:
    """The time schedule of a use case, unless this machine runs nothing by the clock.

    Each run carries the interval between two ticks, which is its window; Airflow 3's own default for a cron string is a moment.
    """
    if use_case.schedule is None or get_settings().schedules == "off":
        return None
    return CronDataIntervalTimetable(use_case.schedule, timezone="UTC")


@contextmanager
def fail_without_retry() -> Iterator[None]:
    """An error that another try cannot mend fails the task at once, with its own words and no stack of retries."""
    try:
        yield
    except ServiceUnavailable:
        raise
    except TitleholderError as error:
        _log.exception("%s", error)
        raise AirflowFailException(str(error)) from error


def window_of_run(context: Any) -> Window:
    """The window of a run: from the form, else from its data interval. Never from the clock."""
    params = context["params"]
    start, end = params.get("window_start"), params.get("window_end")
    if bool(start) != bool(end):
        raise AirflowFailException(
            f"window_start and window_end belong together; got {start!r} and {end!r}. Fill both, or neither."
        )
    if start:
        first, last = _day(start, "window_start"), _day(end, "window_end")
        if last <= first:
            raise AirflowFailException(f"window_end is exclusive and lies after window_start; got {start} and {end}")
        return Window(start=first, end=last)
    begin, finish = context.get("data_interval_start"), context.get("data_interval_end")
    if begin is None or finish is None or finish.date() <= begin.date():
        raise AirflowFailException(
            "this run has no data interval of a day or more: state window_start and window_end in the form"
        )
    return Window(start=begin.date(), end=finish.date())


def day_param(context: Any, name: str) -> date | None:
    """A day from the form, or None where it was left empty."""
    value = context["params"].get(name)
    return _day(value, name) if value else None


def day_of_run(context: Any) -> date:
    """The day that a run belongs to: its logical date, else when it was due. The same however often it is tried."""
    moment = context.get("logical_date") or context["dag_run"].run_after
    return moment.date()  # type: ignore[no-any-return]


def skip(message: str) -> NoReturn:
    """End this task, and what depends on it, as skipped: a normal outcome with its reason."""
    raise AirflowSkipException(message)


def _day(value: str, name: str) -> date:
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        raise AirflowFailException(f"{name}: a day is written YYYY-MM-DD; got {value!r}") from error

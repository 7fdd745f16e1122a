"""Close the runs that a killed task left behind, also where that task is not tried again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from tasks.io import tracking

_log = logging.getLogger(__name__)
IsOver = Callable[[str, str], bool]  # dag_id, run_id -> whether that Airflow run has ended


def close_interrupted_runs(use_case: str, now: datetime, after_hours: float, is_over: IsOver) -> list[str]:
    """Close the MLflow runs that no process writes any more. Returns one line for each.

    A run was interrupted if its process ran on this host and is gone, if the Airflow run that it belongs to has ended, or if
    it is older than any task may be.

    Parameters
    ----------
    is_over : whether an Airflow run has ended. Called only for runs that an Airflow task wrote.
    """
    closed = []
    for run in tracking.open_runs(use_case):
        dag_id, dag_run = run.tags.get("dag_id", ""), run.tags.get("run_id", "")
        if run.writer_is_gone:
            reason = "the process that wrote it is gone"
        elif now - run.started > timedelta(hours=after_hours):
            reason = f"it was still running after {after_hours:g} hours"
        elif dag_id and dag_run and is_over(dag_id, dag_run):
            reason = f"its Airflow run {dag_run} of {dag_id} has ended"
        else:
            continue
        tracking.close_run(run.run_id, reason)
        closed.append(
            f"run {run.name} ({run.run_id}) of {use_case}, started {run.started:%Y-%m-%d %H:%M} UTC: closed, {reason}"
        )
        _log.warning(closed[-1])
    return closed

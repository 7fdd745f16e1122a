"""A backtest runs the jobs that the DAGs run."""

from __future__ import annotations

import ast
from pathlib import Path

from tasks.settings import ROOT

# Jobs of DAGs that a backtest leaves out, and why.
LEFT_OUT = {
    "reconcile": "repairs aliases that people moved",
    "profile": "a page that decides nothing",
    "draw_learning_curve": "a figure of the model card that decides nothing",
    "newest_page": "the address of a page",
    "champion_event": "the extra of an event for Airflow",
    "write_request": "a text for a person",
}
DAGS = ("features", "monitoring", "training", "promotion", "batch_scoring", "review", "review_trigger")
JOBS = {
    node.name
    for path in (ROOT / "tasks" / "jobs").glob("*.py")
    for node in ast.parse(path.read_text()).body
    if isinstance(node, ast.FunctionDef)
}


def called_jobs(path: Path) -> set[str]:
    """The jobs that a file names."""
    return {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)} & JOBS


def test_a_backtest_runs_every_job_of_the_dags_that_decides() -> None:
    of_dags = set().union(*(called_jobs(ROOT / "dags" / f"{name}.py") for name in DAGS))
    replayed = called_jobs(ROOT / "tasks" / "backtest" / "replay.py")
    assert {"ingest", "judge", "promote"} <= replayed & of_dags
    assert of_dags - replayed - set(LEFT_OUT) == set(), "add the job to the replay, or to LEFT_OUT with the reason"
    assert set(LEFT_OUT) <= of_dags, "no DAG runs it any more"

"""Opening a run: what it reads, and what it leaves closed."""

from __future__ import annotations

import pytest

from tasks.errors import ConfigurationError
from tasks.io.storage import Storage
from tasks.jobs.run import Run
from tests.tasks.jobs.conftest import CASE


@pytest.mark.parametrize(("dag_id", "name"), [(f"{CASE}.features", f"{CASE}.features/run"), ("", "run")])
def test_snapshots_name_the_run_that_made_them(storage: Storage, dag_id: str, name: str) -> None:
    opened = Run.open(CASE, run_id="run", dag_id=dag_id)
    assert opened.storage.run == name
    assert opened.storage.root == storage.root


def test_tags_name_the_airflow_run(run: Run) -> None:
    assert run.tags == {"dag_id": f"{CASE}.training", "run_id": "run"}
    assert run.name == CASE


def test_the_database_opens_on_first_use(run: Run) -> None:
    database = run.settings.home / "titleholder.db"
    assert not database.exists()
    assert run.ledger is run.ledger
    assert database.exists()


def test_an_unknown_use_case_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="use case 'unknown': no file"):
        Run.open("unknown", run_id="run")

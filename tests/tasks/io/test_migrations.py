"""A database of any earlier schema becomes one of this code, with everything that it held."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from tasks.contracts.promotion import Action, ReviewChannel, Trust
from tasks.errors import ConfigurationError
from tasks.io import database
from tasks.io.api_keys import ApiKeys
from tasks.io.database import MIGRATIONS, SCHEMA, VERSION_TABLE, open_database
from tasks.io.decisions import DecisionLog
from tasks.io.events import EventStore
from tasks.io.judgings import JudgingLog
from tasks.io.ledger import Ledger
from tasks.settings import ROOT

CASE = "purchase_propensity"
ALWAYS = datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
BEFORE = Path(__file__).parent / "database_before_migrations.sql"  # written by the demo of commit 1196778: generated data


@pytest.fixture
def former(tmp_path: Path) -> Path:
    """A database as the code before migrations wrote it."""
    path = tmp_path / "former.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(BEFORE.read_text())
    return path


def rows(path: Path, query: str) -> list[dict[str, Any]]:
    with sqlite3.connect(path) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query)]


def schema_of(path: Path) -> list[dict[str, Any]]:
    return rows(path, f"SELECT version_num FROM {VERSION_TABLE}")


def test_the_ledger_of_a_former_database_reads_as_before(former: Path) -> None:
    before = rows(former, "SELECT * FROM ledger ORDER BY sequence")
    ledger = Ledger(f"sqlite:///{former}")
    entries = ledger.entries(CASE)
    assert [entry.entry_digest for entry in entries] == [row["entry_digest"] for row in before]
    assert [(one.action, one.version, one.actor) for one in entries] == [
        (Action.PROMOTE, 1, "policy:auto"),
        (Action.PROMOTE, 3, "policy:auto"),
        (Action.ROLLBACK, 1, "demo"),
    ]
    assert ledger.broken_links(CASE) == []
    added = {"judged_digest": None}  # the columns that came since, of which the former entries' digests know nothing
    assert rows(former, "SELECT * FROM ledger ORDER BY sequence") == [{**row, **added} for row in before]
    assert schema_of(former) == [{"version_num": SCHEMA}]


def test_decisions_requests_and_reports_read_as_before(former: Path) -> None:
    decided = [json.loads(row["decision"]) for row in rows(former, "SELECT decision FROM retrain_decisions ORDER BY id")]
    reported = [json.loads(row["report"]) for row in rows(former, "SELECT report FROM drift_reports ORDER BY window_end")]
    log = DecisionLog(f"sqlite:///{former}")
    complete = [{**one, "checked": True} for one in decided]  # every window was checked at that time
    assert [json.loads(json.dumps(one.to_json())) for one in log.decisions(CASE)] == complete
    known = [{**one, "notes": {}} for one in reported]  # reports of that time give no reasons
    assert [json.loads(json.dumps(one.to_json())) for one in log.reports(CASE)] == known
    assert [(one.version, one.passed) for one in log.requests(CASE)] == [(1, True), (2, False), (3, True)]


def test_reviews_read_as_before_and_are_still_kept_once(former: Path) -> None:
    ledger = Ledger(f"sqlite:///{former}")
    opened, approved = ledger.reviews(CASE)
    assert (opened.channel, opened.said, opened.trust, opened.counted) == (ReviewChannel.PAGE, "opened", None, False)
    assert (approved.channel, approved.actor, approved.trust) == (ReviewChannel.MLFLOW, "ada", Trust.SIGNED)
    assert not ledger.record_review(opened)
    assert not ledger.record_review(approved)
    assert ledger.record_review(approved.model_copy(update={"channel": ReviewChannel.FORM}))


def test_keys_events_and_outcomes_read_as_before(former: Path) -> None:
    url = f"sqlite:///{former}"
    assert [key.name for key in ApiKeys(url).all()] == ["shop"]
    assert [event.event_id for event in EventStore(url).events_after(0)] == ["e1"]
    assert [one.prediction_id for one in EventStore(url).outcomes_between(CASE, *ALWAYS)] == ["p1"]


@pytest.mark.parametrize("is_former", [False, True])
def test_the_schema_is_what_the_adapters_define(former: Path, tmp_path: Path, is_former: bool) -> None:
    path = former if is_former else tmp_path / "fresh.db"
    assert JudgingLog(f"sqlite:///{path}").judgings(CASE) == []
    with open_database(f"sqlite:///{path}").connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, database.tables) == []


def test_revisions_are_numbered_and_the_last_is_the_schema() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    script = ScriptDirectory.from_config(config)
    numbers = [one.revision for one in reversed(list(script.walk_revisions()))]
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]
    assert script.get_current_head() == SCHEMA


@pytest.mark.servers
def test_processes_that_start_at_once_migrate_once(former: Path) -> None:
    code = "import sys; from tasks.io.ledger import Ledger; print(len(Ledger(sys.argv[1]).reviews('purchase_propensity')))"
    command = [sys.executable, "-c", code, f"sqlite:///{former}"]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) for _ in range(3)]
    assert [one.communicate() for one in started] == [(b"2\n", b"")] * 3


def test_a_failed_migration_changes_nothing(former: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second revision fails at its last statement; what it and the first one did before is undone."""
    with sqlite3.connect(former) as connection:
        connection.execute(
            "CREATE TRIGGER refuse BEFORE UPDATE ON reviews WHEN new.said = 'approved' BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    before = rows(former, "SELECT name, sql FROM sqlite_master ORDER BY name")
    with pytest.raises(Exception, match="no"):
        open_database(f"sqlite:///{former}")
    assert rows(former, "SELECT name, sql FROM sqlite_master ORDER BY name") == before
    with sqlite3.connect(former) as connection:
        connection.execute("DROP TRIGGER refuse")
    assert len(Ledger(f"sqlite:///{former}").reviews(CASE)) == 2


@pytest.mark.servers
def test_a_schema_that_is_up_to_date_is_left_alone(former: Path) -> None:
    """Opening it again loads no Alembic and writes nothing."""
    url = f"sqlite:///{former}"
    open_database(url)
    before = former.read_bytes()
    code = (
        "import sys; from tasks.io.ledger import Ledger; "
        "print(len(Ledger(sys.argv[1]).entries('purchase_propensity')), 'alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, url], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, former.read_bytes()) == ("3 False\n", before)


def test_a_newer_schema_is_refused(former: Path) -> None:
    open_database(f"sqlite:///{former}").dispose()
    with sqlite3.connect(former) as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    open_database.cache_clear()
    with pytest.raises(ConfigurationError, match=f"has schema 9999, and this code knows schemas up to {SCHEMA}"):
        Ledger(f"sqlite:///{former}")


def test_a_database_of_other_programs_tables_keeps_them(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shared.db") as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES ('of another program')")
    Ledger(f"sqlite:///{tmp_path}/shared.db")
    assert rows(tmp_path / "shared.db", "SELECT * FROM alembic_version") == [{"version_num": "of another program"}]
    engine = create_engine(f"sqlite:///{tmp_path}/shared.db")
    with engine.connect() as connection_again:
        assert connection_again.dialect.has_table(connection_again, "ledger")

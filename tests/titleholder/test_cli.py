"""The command, as a user types it: answers, and messages for invalid input."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.contracts.predictions import Prediction
from tasks.contracts.promotion import Action, Trust
from tasks.io.ledger import Ledger
from tasks.io.prediction_log import PredictionLog
from tasks.settings import ROOT

pytestmark = pytest.mark.servers

CASE = "purchase_propensity"


def titleholder(home: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "TITLEHOLDER_HOME": str(home), "COLUMNS": "200", "NO_COLOR": "1", **environment}
    command = [str(Path(sys.executable).parent / "titleholder"), *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60, cwd=ROOT)


@pytest.fixture
def ledger(own_home: Path) -> Ledger:
    """Two champions, an hour apart."""
    ledger = Ledger(f"sqlite:///{own_home}/titleholder.db")
    for version, hour in ((1, 12), (2, 13)):
        ledger.append(
            use_case=CASE,
            action=Action.PROMOTE,
            version=version,
            expected_head=ledger.head(CASE),
            manifest_digest="a" * 64,
            data_digest="b" * 64,
            report_digest="c" * 64,
            code_version="abc",
            actor="ada",
            trust=Trust.LOCAL,
            reason="better",
            dag_run="run",
            at=datetime(2026, 1, 1, hour, tzinfo=UTC),
        )
    return ledger


def test_status_of_a_new_installation(own_home: Path) -> None:
    rows = json.loads(titleholder(own_home, "status", "--json").stdout)
    assert [row["use_case"] for row in rows] == ["breast_cancer", "movie_rating", CASE]
    assert {row["champion"] for row in rows} == {None}


def test_history_says_who_was_champion_when(own_home: Path, ledger: Ledger) -> None:
    completed = titleholder(own_home, "history", CASE)
    assert "the chain of digests is intact" in completed.stdout
    (then,) = json.loads(titleholder(own_home, "history", CASE, "--at", "2026-01-01T12:30", "--json").stdout)
    assert (then["version"], then["by"]) == (1, "ada")
    assert json.loads(titleholder(own_home, "history", CASE, "--at", "2025-01-01", "--json").stdout) == []


def test_history_at_the_shown_time_finds_the_entry(own_home: Path, ledger: Ledger) -> None:
    ledger.append(
        use_case=CASE,
        action=Action.ROLLBACK,
        version=1,
        expected_head=ledger.head(CASE),
        manifest_digest="a" * 64,
        data_digest="b" * 64,
        report_digest="c" * 64,
        code_version="abc",
        actor="bob",
        trust=Trust.LOCAL,
        reason="worse",
        dag_run="run",
    )
    shown = json.loads(titleholder(own_home, "history", CASE, "--json").stdout)["ledger"][-1]
    (then,) = json.loads(titleholder(own_home, "history", CASE, "--at", shown["at"], "--json").stdout)
    assert (then["entry"], then["version"], then["by"], then["at"][:26]) == (3, 1, "bob", shown["at"][:26])
    (before,) = json.loads(titleholder(own_home, "history", CASE, "--at", "2026-01-01T14:30+01:00", "--json").stdout)
    assert (before["entry"], before["version"]) == (2, 2), "half past one in UTC"
    with closing(sqlite3.connect(own_home / "titleholder.db")) as database:
        database.execute("UPDATE ledger SET actor = 'eve' WHERE sequence = 2")
        database.commit()
    completed = titleholder(own_home, "history", CASE, "--at", shown["at"])
    assert "the chain is broken at entries [2]" in completed.stderr


def test_a_moved_alias_is_found_and_reconciled(own_home: Path, ledger: Ledger, tmp_path: Path) -> None:
    import mlflow

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.create_registered_model(CASE)
    for _ in range(2):
        client.create_model_version(CASE, source=str(tmp_path))
    client.set_registered_model_alias(CASE, "champion", "1")
    here = {"TITLEHOLDER_MLFLOW_TRACKING_URI": uri, "TITLEHOLDER_AIRFLOW_URL": "http://127.0.0.1:1"}
    findings = {one["what"]: one for one in json.loads(titleholder(own_home, "doctor", "--json", **here).stdout)}
    found = findings[f"aliases of {CASE}"]
    assert not found["ok"]
    assert "champion names version 1, the ledger says 2" in found["detail"]
    lines = [one["found"] for one in json.loads(titleholder(own_home, "reconcile", CASE, "--json", **here).stdout)]
    assert lines[0] == f"alias champion of {CASE} named version 1, the ledger says version 2: restored"
    assert {alias: str(version) for alias, version in client.get_registered_model(CASE).aliases.items()} == {
        "champion": "2",
        "previous_champion": "1",
    }
    assert json.loads(titleholder(own_home, "reconcile", "--json", **here).stdout) == []


def test_explain_traces_a_prediction_to_its_approver(own_home: Path, ledger: Ledger) -> None:
    made = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
    PredictionLog(own_home / "predictions").append(
        Prediction(
            prediction_id=name,
            made_at=made + timedelta(hours=version - 1),
            use_case=CASE,
            channel="online",
            subject="17850",
            model_version=version,
            manifest_digest="a" * 64,
            features_version="f" * 16,
            path="model",
            items=("85123A",),
            scores=(0.5,),
            latency_ms=1.0,
        )
        for name, version in (("first", 1), ("second", 2))
    )
    explained = json.loads(titleholder(own_home, "explain", CASE, "first", "--json").stdout)
    assert (explained["model_version"], explained["approved_by"], explained["data_digest"]) == (1, "ada", "b" * 64)
    assert "85123A" in titleholder(own_home, "explain", CASE, "second").stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("history", "../etc"), "small letters"),
        (("history", "shop"), "there are: breast_cancer, movie_rating, purchase_propensity"),
        (("history", CASE, "--at", "yesterday"), "2026-01-31T12:00"),
        (("explain", CASE, "no-such-id"), "no prediction 'no-such-id'"),
        (("rollback", CASE, "--reason", "x"), "no predecessor"),
        (("rollback", CASE, "--reason", " "), "a reason"),
        (("promote", CASE, "7", "--reason", "x"), "MLflow at http://127.0.0.1:1 does not answer"),
        (("generate", "out", "--start", "1.1.2011", "--end", "2011-02-01"), "YYYY-MM-DD"),
        (("demo", "--data", "/no/such/folder"), "no folder /no/such/folder"),
        (("demo", "--data", str(ROOT / "docs")), "at least 100 trading days"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_invalid_input_gets_a_message_and_no_traceback(own_home: Path, words: tuple[str, ...], message: str) -> None:
    done = titleholder(own_home, *words, TITLEHOLDER_MLFLOW_TRACKING_URI="http://127.0.0.1:1")
    assert done.returncode == 1
    assert message in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_an_occupied_port_is_reported_before_any_start(own_home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = titleholder(own_home, "up", TITLEHOLDER_AIRFLOW_URL=f"http://127.0.0.1:{port}")
    assert done.returncode == 1
    assert str(port) in done.stderr
    assert not (own_home / "supervisord.pid").exists()
    assert not (own_home / "airflow").exists()


def test_doctor_finds_a_broken_use_case(own_home: Path, tmp_path: Path) -> None:
    assert titleholder(own_home, "doctor", "--files").returncode == 0
    cases = tmp_path / "cases"
    cases.mkdir()
    text = (ROOT / "conf" / "use_cases" / f"{CASE}.yaml").read_text()
    (cases / f"{CASE}.yaml").write_text(text.replace("suite: invoice_lines", "suite: invoices"))
    done = titleholder(own_home, "doctor", "--files", "--json", TITLEHOLDER_USE_CASES=str(cases))
    assert done.returncode == 1
    (finding,) = json.loads(done.stdout)
    assert not finding["ok"]
    assert "invoice_lines" in finding["detail"]


def test_generate_writes_days(own_home: Path, tmp_path: Path) -> None:
    done = titleholder(own_home, "generate", str(tmp_path / "out"), "--start", "2026-01-01", "--end", "2026-01-08")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").glob("*.csv"))) == 6  # no file on Saturday


def test_down_reports_that_nothing_runs(own_home: Path) -> None:
    assert "nothing was running" in titleholder(own_home, "down").stdout

"""The command, as a user types it: answers, and what it says to nonsense."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.contracts import Action, Prediction, Trust
from tasks.ledger import Ledger
from tasks.prediction_log import PredictionLog
from tasks.settings import ROOT

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
            use_case=CASE, action=Action.PROMOTE, version=version, expected_head=ledger.head(CASE), manifest_digest="a" * 64,
            data_digest="b" * 64, report_digest="c" * 64, code_version="abc", actor="ada", trust=Trust.LOCAL, reason="better",
            dag_run="run", at=datetime(2026, 1, 1, hour, tzinfo=UTC),
        )  # fmt: skip
    return ledger


def test_status_of_a_new_installation(own_home: Path) -> None:
    rows = json.loads(titleholder(own_home, "status", "--json").stdout)
    assert [row["use_case"] for row in rows] == ["breast_cancer", "movie_rating", CASE]
    assert {row["champion"] for row in rows} == {None}


def test_history_says_who_was_champion_when(own_home: Path, ledger: Ledger) -> None:
    told = titleholder(own_home, "history", CASE)
    assert "the chain of digests holds" in told.stdout
    (then,) = json.loads(titleholder(own_home, "history", CASE, "--at", "2026-01-01T12:30", "--json").stdout)
    assert (then["version"], then["by"]) == (1, "ada")
    assert json.loads(titleholder(own_home, "history", CASE, "--at", "2025-01-01", "--json").stdout) == []


def test_explain_traces_a_prediction_to_its_approver(own_home: Path, ledger: Ledger) -> None:
    made = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
    PredictionLog(own_home / "predictions").append(
        Prediction(
            prediction_id=name, made_at=made + timedelta(hours=version - 1), use_case=CASE, channel="online", subject="17850",
            model_version=version, manifest_digest="a" * 64, features_version="f" * 16, path="model", items=("85123A",),
            scores=(0.5,), latency_ms=1.0,
        )
        for name, version in (("first", 1), ("second", 2))
    )  # fmt: skip
    explained = json.loads(titleholder(own_home, "explain", CASE, "first", "--json").stdout)
    assert (explained["model_version"], explained["approved_by"], explained["data_digest"]) == (1, "ada", "b" * 64)
    assert "85123A" in titleholder(own_home, "explain", CASE, "second").stdout


@pytest.mark.parametrize(
    ("words", "told"),
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
def test_nonsense_gets_one_message_and_no_traceback(own_home: Path, words: tuple[str, ...], told: str) -> None:
    done = titleholder(own_home, *words, TITLEHOLDER_MLFLOW_TRACKING_URI="http://127.0.0.1:1")
    assert done.returncode == 1
    assert told in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_an_occupied_port_is_told_before_anything_starts(own_home: Path) -> None:
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
    assert not finding["well"]
    assert "invoice_lines" in finding["detail"]


def test_generate_writes_days(own_home: Path, tmp_path: Path) -> None:
    done = titleholder(own_home, "generate", str(tmp_path / "out"), "--start", "2026-01-01", "--end", "2026-01-08")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").glob("*.csv"))) == 6  # no file on Saturday


def test_nothing_runs_nothing_to_end(own_home: Path) -> None:
    assert "nothing was running" in titleholder(own_home, "down").stdout

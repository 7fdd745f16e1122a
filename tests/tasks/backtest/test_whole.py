"""A whole backtest of twelve windows: killed in the middle, continued, and without effect on the installation."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.settings import ROOT

pytestmark = [pytest.mark.servers, pytest.mark.timeout(1800)]
CASE = "purchase_propensity"
WINDOWS, HISTORY = 12, 3
# Other tests run every gate, check and rule. Here each would be repeated in twelve windows.
GATES = ("prediction_sanity", "minimum_metric", "beats_champion", "freshness")
CHECKS = ("column_drift", "missing_days", "volume")
RULES = 3


def write_case(folder: Path) -> None:
    """The shipped use case with weekly windows and label windows of one week, and the first rules of its suite."""
    document = yaml.safe_load((ROOT / "conf" / "use_cases" / f"{CASE}.yaml").read_text())
    document |= {"schedule": "0 0 * * 1", "review": {"by": "person"}}
    document["features"]["lookback_days"] = [7]
    document["split"]["holdout_days"] = 7
    document["candidates"] = [one for one in document["candidates"] if one["kind"] in ("popularity", "ials")]
    document["gates"]["checks"] = [gate for gate in document["gates"]["checks"] if gate["kind"] in GATES]
    document["drift"]["labels"] = {"attribution_days": 7, "late_days": 1}
    document["drift"]["checks"] = [check for check in document["drift"]["checks"] if check["kind"] in CHECKS]
    document["drift"]["retrain_when"]["cooldown_days"] = 14
    folder.mkdir()
    (folder / f"{CASE}.yaml").write_text(yaml.safe_dump(document))
    suite = document["validation"]["suite"]
    rules = yaml.safe_load((ROOT / "expectations" / f"{suite}.yaml").read_text())
    expectations = folder.parent / "expectations"
    expectations.mkdir()
    (expectations / f"{suite}.yaml").write_text(yaml.safe_dump(rules | {"rules": rules["rules"][:RULES]}))


def checksums(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class Command:
    """`titleholder backtest` in an installation that holds state."""

    def __init__(self, root: Path) -> None:
        self.home, self.folder = root / "home", root / "backtest"
        write_case(root / "use_cases")
        (self.home / "data" / CASE).mkdir(parents=True)
        (self.home / "titleholder.db").write_bytes(b"the ledger")
        (self.home / "data" / CASE / "CURRENT").write_text("a snapshot")
        # Its windows hold tens of thousands of rows, so Spark runs as in production, not as `tests/conftest.py` sets it.
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in ("SPARK_SUBMIT_OPTS", "PYSPARK_SUBMIT_ARGS")},
            "TITLEHOLDER_HOME": str(self.home),
            "TITLEHOLDER_USE_CASES": str(root / "use_cases"),
            "TITLEHOLDER_EXPECTATIONS": str(root / "expectations"),
            "TITLEHOLDER_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/nothing",
            "TITLEHOLDER_NOTIFY_URLS": '["json://127.0.0.1:9"]',
        }
        self.arguments = [
            *(sys.executable, "-c", "from titleholder.cli import main; main()", "backtest", CASE),
            *("--from", "2011-03-07", "--to", "2011-05-30", "--world", "sudden_drift", "--alone", "--answer-days", "2"),
            *("--history-days", str(7 * HISTORY), "--folder", str(self.folder)),
        ]

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.arguments, env=self.environment, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    def journal(self) -> dict[str, Any]:
        path = self.folder / "policies" / "this" / "journal.json"
        found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {"windows": []}
        return found


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The state after a kill, and after the same command ran to its end."""
    command = Command(tmp_path_factory.mktemp("whole"))
    before = checksums(command.home)
    killed = command.start()
    while (
        sum(one["is_done"] for one in command.journal()["windows"]) <= HISTORY or not command.journal()["windows"][-1]["steps"]
    ):
        assert killed.poll() is None, "it ended before it was killed"
        time.sleep(0.2)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    halfway = command.journal()
    continued = command.start()
    said, _ = continued.communicate()
    assert continued.returncode == 0, said
    return {
        "halfway": halfway,
        "journal": command.journal(),
        "said": said,
        "before": before,
        "after": checksums(command.home),
        "report": json.loads((command.folder / "report.json").read_text()),
        "page": (command.folder / "report.html").read_text(),
    }


def test_a_killed_backtest_goes_on_where_it_stopped(outcome: dict[str, Any]) -> None:
    halfway, journal = outcome["halfway"], outcome["journal"]
    done = [one for one in halfway["windows"] if one["is_done"]]
    assert not halfway["is_done"] and HISTORY < len(done) < HISTORY + WINDOWS
    assert journal["windows"][: len(done)] == done, "what was done is not done again"
    interrupted = halfway["windows"][-1]["steps"]
    assert interrupted.items() <= journal["windows"][len(halfway["windows"]) - 1]["steps"].items()
    assert journal["is_done"] and all(one["is_done"] for one in journal["windows"])
    assert len(journal["windows"]) == HISTORY + WINDOWS and outcome["said"].count("left") >= HISTORY + WINDOWS - len(done)


def test_the_installation_is_untouched(outcome: dict[str, Any]) -> None:
    assert outcome["after"] == outcome["before"]


def test_every_recorded_time_is_simulated(outcome: dict[str, Any]) -> None:
    promoted = [one for window in outcome["journal"]["windows"] for one in window["promotions"]]
    assert promoted and all(one["at"].startswith("2011-") for one in promoted)
    first = next(window for window in outcome["journal"]["windows"] if window["steps"].get("register"))
    assert first["window"]["end"] == "2011-03-14"
    assert promoted[0]["at"].startswith("2011-03-16T01:"), "the person answers two days after the window"
    assert promoted[0]["by"] == "backtest"


def test_the_report_answers_which_policy_is_better(outcome: dict[str, Any]) -> None:
    report, (this,) = outcome["report"], outcome["report"]["policies"]
    assert report["metric"] == "ndcg_at_10" and report["days"] >= 6
    assert 0 < this["quality"]["low"] < this["quality"]["value"] < this["quality"]["high"] < report["best"]["value"] < 1
    assert this["regret"] == 0 and 0 < this["missed"] < 1
    assert "best_possible" in outcome["page"] and "<script" not in outcome["page"]


def test_a_sudden_drift_requests_a_retraining_and_no_job_fails(outcome: dict[str, Any]) -> None:
    (this,) = outcome["report"]["policies"]
    requested = [line["window"] for line in this["windows"] if line["decision"] in ("drift", "quality", "label_shift")]
    assert requested and min(requested) >= "2011-04-04", "the new season begins in the fifth week"
    assert requested[0] <= "2011-04-26", "within four windows"
    assert this["failed_windows"] == 0 and this["trainings"] >= 2

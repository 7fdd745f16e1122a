"""The prediction log: one schema, nothing acknowledged is lost, a batch is there once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from tasks.contracts.predictions import Prediction
from tasks.io.prediction_log import PredictionLog
from tasks.settings import ROOT


def prediction(name: str, day: int = 1, channel: str = "online") -> Prediction:
    return Prediction(
        prediction_id=name,
        made_at=datetime(2026, 1, day, tzinfo=UTC),
        use_case="shop",
        channel=channel,
        subject="17850",
        model_version=1,
        manifest_digest="m" * 64,
        features_version="f" * 16,
        features_as_of=date(2026, 1, 1),
        path="model",
        items=("85123A", 'Ünïcode, "quoted"\n'),
        scores=(0.5, 0.25),
        latency_ms=1.0,
    )


@pytest.fixture
def log(tmp_path: Path) -> PredictionLog:
    return PredictionLog(tmp_path / "predictions")


def test_written_predictions_are_read_back(log: PredictionLog) -> None:
    online, batch = prediction("a"), prediction("b", channel="batch")
    log.append([online])
    log.write_batch("shop", "v1.f", [batch])
    assert sorted(log.read("shop"), key=lambda one: one.prediction_id) == [online, batch]
    assert log.find("shop", "b") == batch
    assert log.find("shop", "c") is None
    assert list(log.read("nobody")) == []


def test_a_batch_written_again_is_there_once(log: PredictionLog) -> None:
    for day in (1, 2):
        log.write_batch("shop", "v1.f", [prediction("b", day, channel="batch")])
    assert [one.made_at.day for one in log.read("shop")] == [1]


def test_reads_are_limited_to_the_given_days(log: PredictionLog) -> None:
    log.append([prediction("a", 1), prediction("b", 2), prediction("c", 3)])
    found = [one.prediction_id for one in log.read("shop", since=date(2026, 1, 2), until=date(2026, 1, 3))]
    assert found == ["b"]


@pytest.mark.servers
def test_acknowledged_rows_survive_a_kill(log: PredictionLog) -> None:
    script = f"""
import os, signal
from tasks.io.prediction_log import PredictionLog
from tests.tasks.io.test_prediction_log import prediction
from pathlib import Path
log = PredictionLog(Path({str(log.root)!r}))
for number in range(50):
    log.append([prediction(str(number))])
    os.write(1, b"x")
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(done.stdout) == 50
    assert {one.prediction_id for one in log.read("shop")} == {str(number) for number in range(50)}


def test_a_torn_line_is_passed_over(log: PredictionLog) -> None:
    log.append([prediction("a")])
    file = next((log.root / "shop" / "online").iterdir())
    with file.open("a") as stream:
        stream.write(prediction("torn").model_dump_json()[:40])
    assert [one.prediction_id for one in log.read("shop")] == ["a"]
    assert log.find("shop", "torn") is None

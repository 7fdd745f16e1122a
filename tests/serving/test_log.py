"""A process that died within a line must not spoil the next process's first line (in a container both have one id)."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tasks.contracts import Prediction
from tasks.prediction_log import PredictionLog


def prediction(prediction_id: str) -> Prediction:
    return Prediction(
        prediction_id=prediction_id, made_at=datetime(2011, 1, 1, tzinfo=UTC), use_case="shop", channel="online",
        subject="u1", model_version=1, manifest_digest="d", features_version="f", path="model", items=("i1",),
        scores=(1.0,), latency_ms=1.0,
    )  # fmt: skip


def test_a_torn_line_spoils_no_other(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.append([prediction("first")])
    [path] = tmp_path.rglob("*.jsonl")
    with path.open("a") as stream:
        stream.write(prediction("torn").model_dump_json()[:40])
    log.append([prediction("second")])
    assert [p.prediction_id for p in log.read("shop")] == ["first", "second"]


def test_a_write_in_part_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, write = PredictionLog(tmp_path), os.write
    monkeypatch.setattr(os, "write", lambda descriptor, payload: write(descriptor, payload[:10]))  # as on a full disk
    with pytest.raises(OSError, match="only a part"):
        log.append([prediction("cut")])
    monkeypatch.undo()
    log.append([prediction("second")])
    assert [p.prediction_id for p in log.read("shop")] == ["second"]

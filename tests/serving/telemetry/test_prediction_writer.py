"""A process that died within a line must not spoil the next process's first line (in a container both have one id)."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from serving.telemetry.metrics import ServingMetrics
from serving.telemetry.prediction_writer import Recorder
from tasks.contracts.predictions import Prediction
from tasks.io.prediction_log import PredictionLog


def prediction(prediction_id: str) -> Prediction:
    return Prediction(
        prediction_id=prediction_id,
        made_at=datetime(2011, 1, 1, tzinfo=UTC),
        use_case="shop",
        channel="online",
        subject="u1",
        model_version=1,
        manifest_digest="d",
        features_version="f",
        path="model",
        items=("i1",),
        scores=(1.0,),
        latency_ms=1.0,
    )


def tear(folder: Path, prediction_id: str) -> None:
    """A process died while it wrote this one."""
    [path] = folder.rglob("*.jsonl")
    with path.open("a") as stream:
        stream.write(prediction(prediction_id).model_dump_json()[:40])


def test_a_torn_line_spoils_no_other(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.append([prediction("first")])
    tear(tmp_path, "torn")
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


def names(log: PredictionLog) -> list[str]:
    return sorted(one.prediction_id for one in log.read("shop"))


def test_a_journal_becomes_a_segment_and_nothing_is_doubled(tmp_path: Path) -> None:
    writer, keeper = PredictionLog(tmp_path), PredictionLog(tmp_path)
    writer.append([prediction("a"), prediction("b")])
    before = list(writer.read("shop"))
    assert keeper.seal() == 0, "somebody writes it"
    writer.append([prediction("c")])
    [journal] = tmp_path.rglob("*.jsonl")
    kept = journal.read_bytes()
    writer.rotate()
    assert keeper.seal() == 1
    assert not journal.exists()
    assert list(keeper.read("shop"))[:2] == before, "a row is the same before and after"
    journal.write_bytes(kept)  # killed after the segment was published, before the journal was removed
    assert names(keeper) == ["a", "b", "c"]
    assert keeper.seal() == 0
    assert not journal.exists()
    assert keeper.find("shop", "c") is not None
    writer.append([prediction("d")])  # begins a new one
    assert names(keeper) == ["a", "b", "c", "d"]
    writer.rotate()


def test_a_torn_journal_is_sealed_without_its_torn_lines(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.append([prediction("a")])
    tear(tmp_path, "torn")
    log.append([prediction("b")])
    tear(tmp_path, "last")
    log.rotate()
    assert log.seal() == 1
    assert names(log) == ["a", "b"]


def test_old_segments_are_removed_and_young_ones_are_not(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.append([prediction("old"), prediction("young").model_copy(update={"made_at": datetime(2011, 3, 1, tzinfo=UTC)})])
    log.write_batch("shop", "v1.f", [prediction("batch")])
    log.rotate()
    log.seal()
    assert log.prune(date(2011, 2, 1)) == 1
    assert names(log) == ["batch", "young"]


def test_a_journal_is_as_large_as_it_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = PredictionLog(tmp_path)
    log.append([prediction("a")])
    log.rotate(older_than=3600.0)
    log.append([prediction("b")])
    assert len(list(tmp_path.rglob("*.jsonl"))) == 1
    monkeypatch.setattr("tasks.io.prediction_log.ROTATE_BYTES", 100)
    log.rotate(older_than=3600.0)
    log.append([prediction("c")])
    assert len(list(tmp_path.rglob("*.jsonl"))) == 2
    assert names(log) == ["a", "b", "c"]


def test_the_endpoint_has_its_journals_sealed_beside_itself(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    recorder = Recorder(log, ServingMetrics(), keep_days=100_000)
    given = [prediction(str(n)) for n in range(3)]
    recorder.put("shop", given[0].made_at.date(), [one.model_dump_json().encode() for one in given])
    recorder.flush()
    recorder._keep()
    assert [path.suffix for path in (tmp_path / "shop" / "online").iterdir()] == [".jsonl"], "it is still written"
    log.rotate()
    recorder._keep()
    assert [path.suffix for path in (tmp_path / "shop" / "online").iterdir()] == [".parquet"]
    assert sorted(one.prediction_id for one in log.read("shop")) == [one.prediction_id for one in given]

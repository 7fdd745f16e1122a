"""The prediction log: torn lines, sealing, pruning, rotation, and the endpoint's writer."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from serving.telemetry.metrics import ServingMetrics
from serving.telemetry.prediction_writer import PredictionWriter
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
    """Append a part of a line, as a process that is killed while it writes."""
    [path] = folder.rglob("*.jsonl")
    with path.open("a") as stream:
        stream.write(prediction(prediction_id).model_dump_json()[:40])


def test_torn_line_does_not_affect_other_lines(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.append([prediction("first")])
    tear(tmp_path, "torn")
    log.append([prediction("second")])
    assert [p.prediction_id for p in log.read("shop")] == ["first", "second"]


def test_partial_write_raises_os_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, write = PredictionLog(tmp_path), os.write
    monkeypatch.setattr(os, "write", lambda descriptor, payload: write(descriptor, payload[:10]))  # as on a full disk
    with pytest.raises(OSError, match="only a part"):
        log.append([prediction("cut")])
    monkeypatch.undo()
    log.append([prediction("second")])
    assert [p.prediction_id for p in log.read("shop")] == ["second"]


def names(log: PredictionLog) -> list[str]:
    return sorted(one.prediction_id for one in log.read("shop"))


def test_sealing_a_journal_duplicates_no_row(tmp_path: Path) -> None:
    writer, keeper = PredictionLog(tmp_path), PredictionLog(tmp_path)
    writer.append([prediction("a"), prediction("b")])
    before = list(writer.read("shop"))
    assert keeper.seal() == 0, "an open journal is not sealed"
    writer.append([prediction("c")])
    [journal] = tmp_path.rglob("*.jsonl")
    kept = journal.read_bytes()
    writer.rotate()
    assert keeper.seal() == 1
    assert not journal.exists()
    assert list(keeper.read("shop"))[:2] == before, "sealing does not change rows"
    journal.write_bytes(kept)  # as after a kill between publishing the segment and removing the journal
    assert names(keeper) == ["a", "b", "c"]
    assert keeper.seal() == 0
    assert not journal.exists()
    assert keeper.find("shop", "c") is not None
    writer.append([prediction("d")])  # begins a new journal
    assert names(keeper) == ["a", "b", "c", "d"]
    writer.rotate()


def test_sealing_skips_torn_lines(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.append([prediction("a")])
    tear(tmp_path, "torn")
    log.append([prediction("b")])
    tear(tmp_path, "last")
    log.rotate()
    assert log.seal() == 1
    assert names(log) == ["a", "b"]


def test_prune_removes_only_old_segments(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.append([prediction("old"), prediction("young").model_copy(update={"made_at": datetime(2011, 3, 1, tzinfo=UTC)})])
    log.write_batch("shop", "v1.f", [prediction("batch")])
    log.rotate()
    log.seal()
    assert log.prune(date(2011, 2, 1)) == 1
    assert names(log) == ["batch", "young"]


def test_journal_rotates_at_its_size_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.servers
def test_writer_seals_closed_journals_in_a_subprocess(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    writer = PredictionWriter(log, ServingMetrics(), keep_days=100_000)
    given = [prediction(str(n)) for n in range(3)]
    writer.put("shop", given[0].made_at.date(), [one.model_dump_json().encode() for one in given])
    writer.flush()
    writer._seal_and_prune()
    assert [path.suffix for path in (tmp_path / "shop" / "online").iterdir()] == [".jsonl"], "an open journal is not sealed"
    log.rotate()
    writer._seal_and_prune()
    assert [path.suffix for path in (tmp_path / "shop" / "online").iterdir()] == [".parquet"]
    assert sorted(one.prediction_id for one in log.read("shop")) == [one.prediction_id for one in given]

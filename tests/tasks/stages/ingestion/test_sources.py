"""The contract of all sources. A new kind is found automatically and fails until it has a sample."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from tasks import columns as c
from tasks.io.storage import Storage
from tasks.stages.ingestion import ingest
from tasks.stages.ingestion.sources import SOURCES
from tests.tasks.stages.ingestion.source_examples import find_source_examples, kinds_of_servers

KINDS = sorted(set(SOURCES.kinds) - kinds_of_servers())

pytestmark = pytest.mark.usefixtures("spark")


@pytest.mark.parametrize("kind", KINDS)
def test_every_source_keeps_the_contract(kind: str, tmp_path: Path, storage: Storage) -> None:
    examples = find_source_examples()
    assert kind in examples, f"register a sample of '{kind}' in its test file, see CONTRIBUTING.md, Add a source"
    folder, window = examples[kind].make(tmp_path / "a [b] {c}")  # names that Spark would take for patterns
    source = SOURCES.parse({"kind": kind, **examples[kind].settings}, "test")
    files = source.files(folder, window)
    ref = ingest("test", source, folder, window, storage)
    assert ref is not None
    frame = storage.read(ref)
    assert (c.LOST_CELLS in frame) == bool(source.wanted), "a source that reads cells marks those that it loses"
    frame = frame.drop(columns=c.LOST_CELLS, errors="ignore")

    others = (c.SPLIT_ORDER, c.SPLIT_GROUP, c.LOST_CELLS)  # the first two are of examples
    tabular = tuple(name for name in c.TABULAR_COLUMNS if name not in others)
    canonical = tabular if c.TARGET in frame else c.INTERACTION_COLUMNS
    assert tuple(frame.columns[: len(canonical)]) == canonical
    assert c.TARGET in frame or tuple(frame.columns) == canonical
    assert (ref.layer, ref.partition) == (c.RAW, window.label)
    assert len(frame) == ref.rows[c.ROWS] == sum(file.rows for file in files)
    assert frame[c.ROW_ID].is_unique
    assert frame[[c.ROW_ID, c.SOURCE_FILE, c.INGESTED_AT, c.AS_IT_CAME]].notna().all(axis=None)
    assert (frame[c.INGESTED_AT].dt.date <= window.end).all()
    assert (frame[c.INGESTED_AT] >= frame[c.EVENT_AT]).all()
    assert storage.manifest(ref)["facts"]["files"] == {file.name: file.sha256 for file in files}


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_files_give_the_same_snapshot_anywhere(
    kind: str, tmp_path: Path, storage: Storage, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = find_source_examples()
    folder, window = examples[kind].make(tmp_path / "files")
    source = SOURCES.parse({"kind": kind, **examples[kind].settings}, "test")
    first = ingest("test", source, folder, window, storage)
    assert ingest("test", source, folder, window, Storage(tmp_path / "elsewhere")) == first
    monkeypatch.setattr(type(source), "read", lambda *_: pytest.fail("the same files were read again"))
    assert ingest("test", source, folder, window, storage) == first

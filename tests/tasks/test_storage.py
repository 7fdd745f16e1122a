"""Snapshots: content-addressed, atomic, and still there after a crash."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.errors import SnapshotError
from tasks.settings import ROOT
from tasks.storage import Storage, frame_writer, write_atomically

FRAME = pd.DataFrame({"row_id": ["a", "b", "c"], "x": [1.0, np.nan, 3.0], "n": [1, 2, 3]})
WINDOW = "2011-01-01..2011-01-02"


def publish(storage: Storage, frame: pd.DataFrame = FRAME, partition: str = WINDOW, **extra: object) -> object:
    return storage.publish(
        use_case="shop", layer="raw", partition=partition, tables={"rows": frame_writer(frame)}, **extra  # type: ignore[arg-type]
    )  # fmt: skip


def test_the_same_rows_in_another_order_are_the_same_snapshot(storage: Storage) -> None:
    first = publish(storage)
    assert publish(storage, FRAME.iloc[::-1]) == first
    versions = [path.name for path in (storage.root / "shop/raw" / WINDOW).iterdir() if path.is_dir()]
    assert versions == [first.version]  # type: ignore[attr-defined]


def test_the_digest_does_not_depend_on_how_files_are_cut(storage: Storage) -> None:
    def in_two(folder: Path) -> None:
        folder.mkdir()
        FRAME.iloc[:1].to_parquet(folder / "part-0.parquet", index=False)
        FRAME.iloc[1:].to_parquet(folder / "part-1.parquet", index=False)

    whole = publish(storage)
    cut = storage.publish(use_case="shop", layer="raw", partition=WINDOW, tables={"rows": in_two})
    assert cut.digest == whole.digest  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "other",
    [
        FRAME.assign(x=[1.0, np.nan, 3.0000001]),
        FRAME.assign(x=[1.0, 0.0, 3.0]),
        FRAME.assign(row_id=["a", "b", "C"]),
        FRAME.rename(columns={"x": "y"}),
        FRAME.assign(n=FRAME["n"].astype("float64")),
        pd.concat([FRAME, FRAME.iloc[:1]]),
        FRAME.iloc[:2],
    ],
    ids=["value", "null", "case", "name", "type", "doubled row", "lost row"],
)
def test_any_change_changes_the_digest(storage: Storage, other: pd.DataFrame) -> None:
    assert publish(storage).digest != publish(storage, other).digest  # type: ignore[attr-defined]


def test_the_version_names_its_inputs_and_facts(storage: Storage) -> None:
    raw = publish(storage)
    plain = publish(storage, partition="2011-01-02..2011-01-03")
    derived = publish(storage, partition="2011-01-02..2011-01-03", inputs=[raw], facts={"suite": "v1"})
    assert derived.version != plain.version  # type: ignore[attr-defined]
    assert storage.manifest(derived)["inputs"] == [raw.to_json()]  # type: ignore[arg-type,attr-defined]
    assert storage.current("shop", "raw", "2011-01-02..2011-01-03") == derived


def test_history_ends_where_it_is_told_to(storage: Storage) -> None:
    labels = ["2011-01-03..2011-01-04", "2011-01-01..2011-01-02", "2011-01-01..2011-01-04"]
    for label in labels:
        publish(storage, partition=label)
    found = [ref.partition for ref in storage.history("shop", "raw", date(2011, 1, 4))]
    assert found == ["2011-01-01..2011-01-02", "2011-01-01..2011-01-04", "2011-01-03..2011-01-04"]
    assert [ref.partition for ref in storage.history("shop", "raw", date(2011, 1, 3))] == ["2011-01-01..2011-01-02"]
    assert storage.history("nobody", "raw", date(2011, 1, 3)) == []


def test_altered_rows_are_noticed(storage: Storage) -> None:
    ref = publish(storage)
    storage.verify(ref)  # type: ignore[arg-type]
    file = next(storage.table(ref).glob("*.parquet"))  # type: ignore[arg-type]
    FRAME.assign(x=0.0).to_parquet(file, index=False)
    with pytest.raises(SnapshotError, match="was altered"):
        storage.verify(ref)  # type: ignore[arg-type]


def test_missing_snapshots_and_tables_are_told(storage: Storage) -> None:
    ref = publish(storage)
    with pytest.raises(SnapshotError, match="has no table 'users'; it has: rows"):
        storage.table(ref, "users")  # type: ignore[arg-type]
    with pytest.raises(SnapshotError, match="TITLEHOLDER_HOME"):
        Storage(storage.root / "elsewhere").folder(ref)  # type: ignore[arg-type]


def test_a_failing_writer_leaves_the_old_snapshot_and_no_debris(storage: Storage) -> None:
    ref = publish(storage)

    def broken(folder: Path) -> None:
        folder.mkdir()
        FRAME.to_parquet(folder / "part-0.parquet")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        storage.publish(use_case="shop", layer="raw", partition=WINDOW, tables={"rows": broken})
    assert storage.current("shop", "raw", WINDOW) == ref
    assert not list((storage.root / "shop/raw" / WINDOW).glob(".*"))


def test_a_killed_publisher_leaves_the_old_snapshot_and_the_next_one_sweeps(storage: Storage) -> None:
    ref = publish(storage)
    script = f"""
import os, signal, sys
from pathlib import Path
from tasks.storage import Storage
def die(folder):
    folder.mkdir()
    (folder / "half.parquet").write_bytes(b"PAR1")
    os.kill(os.getpid(), signal.SIGKILL)
Storage(Path({str(storage.root)!r})).publish(use_case="shop", layer="raw", partition={WINDOW!r}, tables={{"rows": die}})
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == -signal.SIGKILL
    folder = storage.root / "shop/raw" / WINDOW
    assert list(folder.glob(".staging-*")), "the fault did not fire"
    assert storage.current("shop", "raw", WINDOW) == ref
    publish(storage, FRAME.iloc[:1])
    assert not list(folder.glob(".staging-*"))


def test_write_atomically_replaces_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "CURRENT"
    write_atomically(path, "old")
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["CURRENT"]

"""Snapshots: content-addressed, atomic, and still there after a crash."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.contracts.data import CurrentVersion, DatasetRef
from tasks.errors import SnapshotError
from tasks.io.storage import Storage, frame_writer, write_atomically
from tasks.settings import ROOT

FRAME = pd.DataFrame({"row_id": ["a", "b", "c"], "x": [1.0, np.nan, 3.0], "n": [1, 2, 3]})
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
WINDOW = "2011-01-01..2011-01-02"


def publish(storage: Storage, frame: pd.DataFrame = FRAME, partition: str = WINDOW, **extra: Any) -> DatasetRef:
    return storage.publish(
        use_case="shop",
        layer="raw",
        partition=partition,
        tables={"rows": frame_writer(frame)},
        **extra,
    )


def test_the_same_rows_in_another_order_are_the_same_snapshot(storage: Storage) -> None:
    first = publish(storage)
    assert publish(storage, FRAME.iloc[::-1]) == first
    versions = [path.name for path in (storage.root / "shop/raw" / WINDOW).iterdir() if path.is_dir()]
    assert versions == [first.version]


def test_the_digest_does_not_depend_on_how_files_are_cut(storage: Storage) -> None:
    def in_two(folder: Path) -> None:
        folder.mkdir()
        FRAME.iloc[:1].to_parquet(folder / "part-0.parquet", index=False)
        FRAME.iloc[1:].to_parquet(folder / "part-1.parquet", index=False)

    whole = publish(storage)
    cut = storage.publish(use_case="shop", layer="raw", partition=WINDOW, tables={"rows": in_two})
    assert cut.digest == whole.digest


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
    assert publish(storage).digest != publish(storage, other).digest


def test_the_version_names_its_inputs_and_facts(storage: Storage) -> None:
    raw = publish(storage)
    plain = publish(storage, partition="2011-01-02..2011-01-03")
    derived = publish(storage, partition="2011-01-02..2011-01-03", inputs=[raw], facts={"suite": "v1"})
    assert derived.version != plain.version
    assert storage.manifest(derived)["inputs"] == [raw.to_json()]
    assert storage.current("shop", "raw", "2011-01-02..2011-01-03") == derived


def test_history_ends_where_it_is_told_to(storage: Storage) -> None:
    labels = ["2011-01-03..2011-01-04", "2011-01-01..2011-01-02", "2011-01-01..2011-01-04"]
    for label in labels:
        publish(storage, partition=label)
    found = [ref.partition for ref in storage.history("shop", "raw", date(2011, 1, 4))]
    assert found == ["2011-01-01..2011-01-02", "2011-01-01..2011-01-04", "2011-01-03..2011-01-04"]
    assert [ref.partition for ref in storage.history("shop", "raw", date(2011, 1, 3))] == ["2011-01-01..2011-01-02"]
    assert storage.history("nobody", "raw", date(2011, 1, 3)) == []


def test_altered_rows_are_detected(storage: Storage) -> None:
    ref = publish(storage)
    storage.verify(ref)
    file = next(storage.table(ref).glob("*.parquet"))
    FRAME.assign(x=0.0).to_parquet(file, index=False)
    with pytest.raises(SnapshotError, match="was altered"):
        storage.verify(ref)


def test_missing_snapshots_and_tables_are_named(storage: Storage) -> None:
    ref = publish(storage)
    with pytest.raises(SnapshotError, match="has no table 'users'; it has: rows"):
        storage.table(ref, "users")
    with pytest.raises(SnapshotError, match=r"does not exist under .* or TITLEHOLDER_HOME names another folder"):
        Storage(storage.root / "elsewhere").folder(ref)


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


@pytest.mark.servers
def test_a_killed_publisher_leaves_the_old_snapshot(storage: Storage) -> None:
    ref = publish(storage)
    script = f"""
import os, signal, sys
from pathlib import Path
from tasks.io.storage import Storage
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


def test_former_current_versions_are_read_by_version_and_time(storage: Storage) -> None:
    hours = iter(range(24))
    clocked = Storage(storage.root, run="run 1", now=lambda: NOON + timedelta(hours=next(hours)))
    first = publish(clocked)
    second = publish(Storage(storage.root, run="run 2", now=clocked.now), FRAME.iloc[:1])
    publish(clocked, FRAME.iloc[:1])  # the same again changes nothing
    past = storage.current_versions("shop", "raw", WINDOW)
    assert [(one.version, one.run) for one in past] == [(first.version, "run 1"), (second.version, "run 2")]
    assert storage.current("shop", "raw", WINDOW) == second
    for one, then in zip(past, (first, second), strict=True):
        assert one.since is not None
        assert storage.at("shop", "raw", WINDOW, one.since) == then
    assert storage.at("shop", "raw", WINDOW, NOON - timedelta(days=1)) is None
    assert storage.version("shop", "raw", WINDOW, first.version) == first
    with pytest.raises(SnapshotError, match=f"no version '0{'0' * 15}'.*existing versions: "):
        storage.version("shop", "raw", WINDOW, "0" * 16)
    made = storage.manifest(second)["made"]
    assert made["run"] == "run 2" and made["at"].startswith("2026-01-01T") and made["code"]


def test_lines_of_earlier_installations_are_read(storage: Storage) -> None:
    """The version alone, then with moment and run, then JSON: all three in one file, and the next version rewrites them."""
    clocked = Storage(storage.root, run="a run {of} today", now=lambda: NOON)
    refs = [publish(clocked, FRAME.iloc[:rows]) for rows in (1, 2, 3)]
    first, second, third = (ref.version for ref in refs)
    current = storage.root / "shop/raw" / WINDOW / "CURRENT"
    json_line = current.read_text().splitlines()[-1]
    assert json.loads(json_line) == {"version": third, "since": "2026-01-01T12:00:00Z", "run": "a run {of} today"}
    current.write_text(f"{first}\n{second} 2025-12-31T12:00:00+00:00 an older run\n{json_line}\n")
    past = storage.current_versions("shop", "raw", WINDOW)
    assert [(one.version, one.run) for one in past] == [(first, ""), (second, "an older run"), (third, "a run {of} today")]
    assert [one.since for one in past] == [None, NOON - timedelta(days=1), NOON]
    assert storage.at("shop", "raw", WINDOW, NOON - timedelta(days=2)) == refs[0]
    assert publish(storage, FRAME.iloc[1:]) == storage.current("shop", "raw", WINDOW)
    assert storage.current_versions("shop", "raw", WINDOW)[:3] == past
    assert all(line.startswith("{") for line in current.read_text().splitlines())


def test_only_unused_snapshots_are_pruned(storage: Storage) -> None:
    early = Storage(storage.root, now=lambda: NOON)
    raw = publish(early)
    kept = early.publish(
        use_case="shop", layer="features", partition="2011-01-02", tables={"rows": frame_writer(FRAME)}, inputs=[raw]
    )
    publish(early, FRAME.iloc[:2])  # raw is superseded, but features were made from it
    lost = publish(early, FRAME.iloc[1:])
    current = publish(early, FRAME.iloc[:1])
    assert storage.superseded(NOON) == [], "nothing was superseded before it was"
    gone = storage.superseded(NOON + timedelta(days=1))
    assert lost in gone and len(gone) == 2 and not any(ref in gone for ref in (raw, kept, current))
    with pytest.raises(SnapshotError, match="is current"):
        storage.remove(current)
    for ref in gone:
        storage.remove(ref)
    assert storage.superseded(NOON + timedelta(days=1)) == []
    storage.verify(raw)
    assert not list((storage.root / "shop/raw" / WINDOW).glob(".*"))


def test_a_removal_waits_for_a_publication_of_the_same_version(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that were published before are published again while their superseded version is removed."""
    old, _ = publish(storage), publish(storage, FRAME.iloc[:1])
    set_current, refused = Storage._set_current, []

    def remove() -> None:
        with pytest.raises(SnapshotError, match="is current") as caught:
            Storage(storage.root).remove(old)
        refused.append(str(caught.value))

    def set_slowly(self: Storage, ref: DatasetRef, made: CurrentVersion | None = None) -> None:
        removal.start()
        removal.join(0.3)
        set_current(self, ref, made)

    removal = threading.Thread(target=remove)
    monkeypatch.setattr(Storage, "_set_current", set_slowly)
    assert publish(storage) == old
    removal.join(30)
    assert len(refused) == 1
    assert storage.current("shop", "raw", WINDOW) == old
    storage.verify(old)


STEPS = ("os.fsync", "Path.rename", "Path.replace")


@pytest.mark.servers
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("time", ["before", "after"])
def test_a_kill_at_any_step_leaves_the_old_or_the_new_snapshot(storage: Storage, step: str, time: str) -> None:
    """kill -9 around each system call that publishing consists of; then a check by another reader, then the next publisher."""
    ref = publish(storage)
    script = f"""
import os, signal
from pathlib import Path
import pandas as pd
from tasks.io.storage import Storage, frame_writer
frame = pd.DataFrame({{"row_id": ["z"], "x": [9.0], "n": [9]}})
owner, name = ({"os" if step.startswith("os") else "Path"}, {step.split(".")[1]!r})
real = getattr(owner, name)
def deadly(*args, **kwargs):
    if name == "replace" and Path(args[1]).name != "CURRENT":
        return real(*args, **kwargs)
    if {time == "after"}:
        real(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, name, deadly)
store = Storage(Path({str(storage.root)!r}))
store.publish(use_case="shop", layer="raw", partition={WINDOW!r}, tables={{"rows": frame_writer(frame)}})
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == -signal.SIGKILL, "the fault did not fire"
    now = storage.current("shop", "raw", WINDOW)
    assert now is not None
    storage.verify(now)
    assert (now == ref) is not (step == "Path.replace" and time == "after"), "current only once CURRENT was replaced"
    last = publish(storage, FRAME.iloc[:2])
    assert storage.current("shop", "raw", WINDOW) == last
    assert not list((storage.root / "shop/raw" / WINDOW).glob(".*")), "debris"


@pytest.mark.servers
def test_a_full_disk_leaves_the_old_snapshot(storage: Storage) -> None:
    """A limit of the kernel on the bytes that one process may write, in place of a full disk."""
    ref = publish(storage)
    script = f"""
import resource, signal
from pathlib import Path
import numpy as np, pandas as pd
from tasks.io.storage import Storage, frame_writer
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
frame = pd.DataFrame({{"x": np.random.default_rng(7).random(100_000)}})
store = Storage(Path({str(storage.root)!r}))
store.publish(use_case="shop", layer="raw", partition={WINDOW!r}, tables={{"rows": frame_writer(frame)}})
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 1 and "File too large" in done.stderr
    assert storage.current("shop", "raw", WINDOW) == ref
    assert not list((storage.root / "shop/raw" / WINDOW).glob(".*"))


@pytest.mark.servers
def test_publishers_at_once_lose_no_version(storage: Storage) -> None:
    script = f"""
import sys
from pathlib import Path
import pandas as pd
from tasks.io.storage import Storage, frame_writer
for place in range(5):
    frame = pd.DataFrame({{"x": [float(sys.argv[1]) * 100 + place]}})
    store = Storage(Path({str(storage.root)!r}))
    store.publish(use_case="shop", layer="raw", partition={WINDOW!r}, tables={{"rows": frame_writer(frame)}})
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = [subprocess.Popen([sys.executable, "-c", script, str(place)], cwd=ROOT, env=env) for place in range(3)]
    assert [one.wait() for one in running] == [0, 0, 0]
    assert len(storage.current_versions("shop", "raw", WINDOW)) == len(storage.versions("shop", "raw", WINDOW)) == 15


def test_write_atomically_replaces_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "CURRENT"
    write_atomically(path, "old")
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["CURRENT"]

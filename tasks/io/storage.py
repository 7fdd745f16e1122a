"""Seam: immutable data set snapshots, published atomically, each with a digest.

    <root>/<use_case>/<layer>/<partition>/<version>/<table>/part-*.parquet
                                                   /manifest.json
                                         /CURRENT          one line for each version that was current, the newest last

A snapshot is staged beside its place, moved there by one rename, and only then named by CURRENT (temporary file,
fsync, rename): a crash leaves the previous snapshot current. Publishing the same rows from the same inputs again gives
the same version and changes nothing. What was current at a moment is read from CURRENT's lines, `version moment run`.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.contracts.base import Window
from tasks.contracts.data import CurrentVersion, DatasetRef
from tasks.errors import SnapshotError
from tasks.settings import get_code_version

if TYPE_CHECKING:
    import pandas as pd

Writer = Callable[[Path], None]
Inspect = Callable[[Path], Mapping[str, Any]]
_STAGING = ".staging-"
_HALF_WRITTEN = ".CURRENT."


class Storage:
    """Snapshots under one folder. Knows nothing of Spark: a writer is any function that fills a folder with Parquet.

    Parameters
    ----------
    root : folder that holds all use cases; made when the first snapshot is published.
    run : what publishes, such as an Airflow run; told in the manifest, and no part of a version.
    now : when something is published; no part of a version either.
    """

    def __init__(self, root: Path, run: str = "by hand", now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.root, self.run, self.now = Path(root), run, now

    # reading

    def folder(self, ref: DatasetRef) -> Path:
        """The folder of a snapshot, refusing one that is not there."""
        folder = self._partition(ref.use_case, ref.layer, ref.partition) / ref.version
        if not (folder / "manifest.json").is_file():
            raise SnapshotError(
                f"snapshot {ref.key} is not under {self.root}; it was pruned, or TITLEHOLDER_HOME points elsewhere"
            )
        return folder

    def table(self, ref: DatasetRef, table: str = "rows") -> Path:
        """The folder with the Parquet files of one table."""
        if table not in ref.rows:
            raise SnapshotError(f"snapshot {ref.key} has no table '{table}'; it has: {', '.join(sorted(ref.rows))}")
        return self.folder(ref) / table

    def read(self, ref: DatasetRef, table: str = "rows", columns: Sequence[str] | None = None) -> pd.DataFrame:
        """One table in memory, in no particular order: sort by a key where order matters."""
        import pyarrow.dataset as ds

        dataset = ds.dataset(self.table(ref, table), format="parquet")
        found = dataset.to_table(columns=list(columns) if columns is not None else None)
        frame: pd.DataFrame = found.to_pandas()
        return frame

    def manifest(self, ref: DatasetRef) -> dict[str, Any]:
        """What was recorded when the snapshot was published: rows, schema, inputs, window, facts, and who made it when."""
        loaded: dict[str, Any] = json.loads((self.folder(ref) / "manifest.json").read_text())
        return loaded

    def current(self, use_case: str, layer: str, partition: str) -> DatasetRef | None:
        """The snapshot that a partition has now; None where it has none."""
        reigns = self.reigns(use_case, layer, partition)
        return self.version(use_case, layer, partition, reigns[-1].version) if reigns else None

    def version(self, use_case: str, layer: str, partition: str, version: str) -> DatasetRef:
        """The snapshot of a version, whether it is current or not."""
        path = self._partition(use_case, layer, partition) / version / "manifest.json"
        if not path.is_file():
            there = ", ".join(self.versions(use_case, layer, partition)) or "none"
            raise SnapshotError(f"{use_case}/{layer}/{partition}: no version {version!r} under {self.root}; there are: {there}")
        return DatasetRef.from_json(json.loads(path.read_text())["dataset"])

    def at(self, use_case: str, layer: str, partition: str, moment: datetime) -> DatasetRef | None:
        """The snapshot that was current at a moment; None where there was none yet."""
        before = [reign for reign in self.reigns(use_case, layer, partition) if reign.since is None or reign.since <= moment]
        return self.version(use_case, layer, partition, before[-1].version) if before else None

    def reigns(self, use_case: str, layer: str, partition: str) -> list[CurrentVersion]:
        """Which version was current since when, oldest first."""
        try:
            lines = (self._partition(use_case, layer, partition) / "CURRENT").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [_reign(line) for line in lines]

    def versions(self, use_case: str, layer: str, partition: str) -> list[str]:
        """All versions of a partition that are kept, sorted by name."""
        return sorted(path.parent.name for path in self._partition(use_case, layer, partition).glob("[!.]*/manifest.json"))

    def partitions(self, use_case: str, layer: str) -> list[str]:
        """The partitions of a layer that have a current snapshot, sorted."""
        return sorted(path.parent.name for path in (self.root / use_case / layer).glob("*/CURRENT"))

    def layers(self) -> list[tuple[str, str]]:
        """Use case and layer of everything that is kept."""
        return sorted({(path.parts[-4], path.parts[-3]) for path in self.root.glob("*/*/*/CURRENT")})

    def history(self, use_case: str, layer: str, until: date) -> list[DatasetRef]:
        """Current snapshots of all windows that end no later than `until`, oldest first."""
        labels = [label for label in self.partitions(use_case, layer) if ".." in label]
        refs = (self.current(use_case, layer, label) for label in labels if Window.from_label(label).end <= until)
        found = [ref for ref in refs if ref is not None]
        return sorted(found, key=lambda ref: (Window.from_label(ref.partition).end, ref.partition))

    def newest(self, use_case: str, layer: str) -> DatasetRef | None:
        """The current snapshot of the last partition by name (features are partitioned by their `as_of` day)."""
        labels = self.partitions(use_case, layer)
        return self.current(use_case, layer, labels[-1]) if labels else None

    def verify(self, ref: DatasetRef) -> None:
        """Read everything again; raise SnapshotError if the rows are no longer those that were published."""
        found = _digest(self.folder(ref), sorted(ref.rows))[0]
        if found != ref.digest:
            raise SnapshotError(f"snapshot {ref.key} was altered: its rows give digest {found}, its name says {ref.digest}")

    # writing

    def publish(
        self,
        *,
        use_case: str,
        layer: str,
        partition: str,
        tables: Mapping[str, Writer],
        inputs: Iterable[DatasetRef] = (),
        facts: Mapping[str, Any] | None = None,
        inspect: Inspect | None = None,
    ) -> DatasetRef:
        """Write, digest and publish one snapshot, and make it the partition's current one.

        Parameters
        ----------
        tables : name -> function that writes Parquet files into the folder that it is given (which does not exist yet).
        inputs : the snapshots that this one was made from; they are part of its version.
        facts : anything JSON that belongs in the manifest; part of the version too, so keep the clock out of it.
        inspect : looks at the written tables before they are published, and refuses them by raising; what it counts goes into
            the manifest as `figures`, no part of the version, which follows from the rows.
        """
        parent = self._partition(use_case, layer, partition)
        parent.mkdir(parents=True, exist_ok=True)
        self._sweep(parent)
        staging = parent / f"{_STAGING}{os.getpid()}-{uuid.uuid4().hex[:8]}"
        staging.mkdir()
        try:
            for name, write in tables.items():
                write(staging / name)
            figures = dict(inspect(staging)) if inspect else {}
            digest, rows, schema = _digest(staging, sorted(tables))
            lineage = [ref.to_json() for ref in inputs]
            recorded = dict(facts or {})
            identity = json.dumps([digest, lineage, recorded], sort_keys=True, default=str)
            version = hashlib.sha256(identity.encode()).hexdigest()[:16]
            ref = DatasetRef(use_case=use_case, layer=layer, partition=partition, version=version, digest=digest, rows=rows)
            made = {"at": self.now().isoformat(), "run": self.run, "code": get_code_version()}
            manifest = {"dataset": ref.to_json(), "inputs": lineage, "facts": recorded, "schema": schema, "made": made}
            if figures:
                manifest["figures"] = figures
            write_atomically(staging / "manifest.json", json.dumps(manifest, indent=1, default=str))
            target = parent / version
            if not (target / "manifest.json").is_file():
                for path in staging.rglob("*.parquet"):
                    fsync(path)
                try:
                    staging.rename(target)
                except OSError:  # another run published the same version in between: it is the same by construction
                    if not (target / "manifest.json").is_file():
                        raise
                fsync(parent)
            self._set_current(ref)
            return ref
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _set_current(self, ref: DatasetRef) -> None:
        """Make a snapshot its partition's current one; nothing changes where it is so already."""
        parent = self._partition(ref.use_case, ref.layer, ref.partition)
        with _locked(parent):
            reigns = self.reigns(ref.use_case, ref.layer, ref.partition)
            if not reigns or reigns[-1].version != ref.version:
                reigns.append(CurrentVersion(version=ref.version, since=self.now(), run=self.run))
                write_atomically(parent / "CURRENT", "".join(_line(reign) for reign in reigns))

    # retention

    def superseded(self, before: datetime) -> list[DatasetRef]:
        """Snapshots that nobody needs: not current since `before`, and no current snapshot was made from them.

        A snapshot that was published and never made current (its process was killed in between) counts from when it was
        made.
        """
        retired: dict[str, tuple[DatasetRef, datetime]] = {}
        needed: set[str] = set()
        manifests: dict[str, list[DatasetRef]] = {}
        for use_case, layer in self.layers():
            for partition in self.partitions(use_case, layer):
                reigns = self.reigns(use_case, layer, partition)
                ended = {old.version: new.since for old, new in itertools.pairwise(reigns)}
                for version in self.versions(use_case, layer, partition):
                    ref = self.version(use_case, layer, partition, version)
                    manifest = self.manifest(ref)
                    manifests[ref.key] = [DatasetRef.from_json(one) for one in manifest["inputs"]]
                    made = manifest.get("made", {}).get("at")
                    if version == reigns[-1].version:
                        needed.add(ref.key)
                    elif end := ended.get(version) or (datetime.fromisoformat(made) if made else None):
                        retired[ref.key] = (ref, end)
        open_ends = list(needed)
        while open_ends:
            for ref in manifests.get(open_ends.pop(), []):
                if ref.key not in needed:
                    needed.add(ref.key)
                    open_ends.append(ref.key)
        return [ref for key, (ref, end) in sorted(retired.items()) if end < before and key not in needed]

    def remove(self, ref: DatasetRef) -> None:
        """Take away a snapshot that is not current: out of sight by one rename first, so that a crash leaves no half of it."""
        if self.current(ref.use_case, ref.layer, ref.partition) == ref:
            raise SnapshotError(f"snapshot {ref.key} is current; publish another one first")
        parent = self._partition(ref.use_case, ref.layer, ref.partition)
        hidden = parent / f"{_STAGING}{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.folder(ref).rename(hidden)
        shutil.rmtree(hidden)

    def _partition(self, use_case: str, layer: str, partition: str) -> Path:
        return self.root / use_case / layer / partition

    def _sweep(self, parent: Path) -> None:
        """Remove what processes of this machine that are gone left half written."""
        for debris in [*parent.glob(f"{_STAGING}*"), *parent.glob(f"{_HALF_WRITTEN}*")]:
            pid = int(debris.name.removeprefix(_STAGING).removeprefix(_HALF_WRITTEN).replace(".", "-").split("-")[0])
            if not Path(f"/proc/{pid}").exists():
                shutil.rmtree(debris) if debris.is_dir() else debris.unlink()


def _reign(line: str) -> CurrentVersion:
    """One line of CURRENT. The first installations wrote the version alone."""
    version, *told = line.split(maxsplit=2)
    return CurrentVersion(version=version, since=told[0] if told else None, run=told[1] if len(told) > 1 else "")


def _line(reign: CurrentVersion) -> str:
    return " ".join([reign.version, *([reign.since.isoformat(), reign.run] if reign.since else [])]).strip() + "\n"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time; the lock ends with its process."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def frame_writer(frame: pd.DataFrame) -> Writer:
    """A writer for `Storage.publish` that writes one pandas frame as one Parquet file."""

    def write(folder: Path) -> None:
        folder.mkdir(parents=True)
        frame.to_parquet(folder / "part-0.parquet", index=False)

    return write


def write_atomically(path: Path, text: str) -> None:
    """Replace a file as a whole: temporary file, fsync, rename, fsync of the folder. Never torn, whoever dies when."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}")
    with temporary.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    fsync(path.parent)


def fsync(path: Path) -> None:
    """Make a file's content, or a folder's names, outlive the power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _batches(path: Path, names: Sequence[str]) -> Iterator[Any]:
    """The rows of one Parquet file, a little at a time: a data set's own reader decodes gigabytes ahead."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(131_072, columns=list(names))


def _digest(folder: Path, tables: Sequence[str]) -> tuple[str, dict[str, int], dict[str, dict[str, str]]]:
    """Digest, rows and schema of the tables in a folder; independent of the order of rows and of how files are cut.

    Each row is hashed to 64 bits under two keys; sums modulo 2^64 and exclusive ors of those go into one sha256 with names,
    types and counts. It notices accidents of every kind; it is not a defence against somebody who can rewrite the store.
    """
    import numpy as np
    import pandas as pd
    import pyarrow.dataset as ds

    total = hashlib.sha256()
    rows: dict[str, int] = {}
    schema: dict[str, dict[str, str]] = {}
    for table in tables:
        dataset = ds.dataset(folder / table, format="parquet")
        names = sorted(dataset.schema.names)
        schema[table] = {name: str(dataset.schema.field(name).type) for name in names}
        sums, xors, count = [0, 0], [0, 0], 0
        for batch in itertools.chain.from_iterable(_batches(Path(path), names) for path in dataset.files):
            frame = batch.to_pandas()
            count += len(frame)
            for slot, key in enumerate(("titleholder-0001", "titleholder-0002")):
                hashes = pd.util.hash_pandas_object(frame, index=False, hash_key=key, categorize=False).to_numpy()
                sums[slot] = (sums[slot] + int(hashes.sum(dtype=np.uint64))) % 2**64
                xors[slot] ^= int(np.bitwise_xor.reduce(hashes)) if len(hashes) else 0
        rows[table] = count
        total.update(json.dumps([table, schema[table], count, sums, xors], sort_keys=True).encode())
    return total.hexdigest(), rows, schema

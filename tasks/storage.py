"""Seam: immutable data set snapshots, published atomically, each with a digest.

    <root>/<use_case>/<layer>/<partition>/<version>/<table>/part-*.parquet
                                                   /manifest.json
                                         /CURRENT          the version that the partition has now

A snapshot is staged beside its place, moved there by one rename, and only then named by CURRENT (temporary file,
fsync, rename): a crash leaves the previous snapshot current. Publishing the same rows from the same inputs again gives
the same version and changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.contracts import DatasetRef, Window
from tasks.errors import SnapshotError

if TYPE_CHECKING:
    import pandas as pd

Writer = Callable[[Path], None]
_STAGING = ".staging-"


class Storage:
    """Snapshots under one folder. Knows nothing of Spark: a writer is any function that fills a folder with Parquet.

    Parameters
    ----------
    root : folder that holds all use cases; made when the first snapshot is published.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

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
        """What was recorded when the snapshot was published: rows, schema, inputs, window, facts."""
        loaded: dict[str, Any] = json.loads((self.folder(ref) / "manifest.json").read_text())
        return loaded

    def current(self, use_case: str, layer: str, partition: str) -> DatasetRef | None:
        """The snapshot that a partition has now; None where it has none."""
        pointer = self._partition(use_case, layer, partition) / "CURRENT"
        try:
            version = pointer.read_text().strip()
        except FileNotFoundError:
            return None
        manifest = json.loads((pointer.parent / version / "manifest.json").read_text())
        return DatasetRef.from_json(manifest["dataset"])

    def history(self, use_case: str, layer: str, until: date) -> list[DatasetRef]:
        """Current snapshots of all windows that end no later than `until`, oldest first."""
        folder = self.root / use_case / layer
        if not folder.is_dir():
            return []
        labels = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and ".." in entry.name)
        refs = (self.current(use_case, layer, label) for label in labels if Window.from_label(label).end <= until)
        found = [ref for ref in refs if ref is not None]
        return sorted(found, key=lambda ref: (Window.from_label(ref.partition).end, ref.partition))

    def newest(self, use_case: str, layer: str) -> DatasetRef | None:
        """The current snapshot of the last partition by name (features are partitioned by their `as_of` day)."""
        folder = self.root / use_case / layer
        labels = sorted(entry.name for entry in folder.iterdir() if (entry / "CURRENT").is_file()) if folder.is_dir() else []
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
    ) -> DatasetRef:
        """Write, digest and publish one snapshot, and make it the partition's current one.

        Parameters
        ----------
        tables : name -> function that writes Parquet files into the folder that it is given (which does not exist yet).
        inputs : the snapshots that this one was made from; they are part of its version.
        facts : anything JSON that belongs in the manifest; part of the version too, so keep the clock out of it.
        """
        parent = self._partition(use_case, layer, partition)
        parent.mkdir(parents=True, exist_ok=True)
        self._sweep(parent)
        staging = parent / f"{_STAGING}{os.getpid()}-{uuid.uuid4().hex[:8]}"
        staging.mkdir()
        try:
            for name, write in tables.items():
                write(staging / name)
            digest, rows, schema = _digest(staging, sorted(tables))
            lineage = [ref.to_json() for ref in inputs]
            recorded = dict(facts or {})
            identity = json.dumps([digest, lineage, recorded], sort_keys=True, default=str)
            version = hashlib.sha256(identity.encode()).hexdigest()[:16]
            ref = DatasetRef(use_case=use_case, layer=layer, partition=partition, version=version, digest=digest, rows=rows)
            manifest = {"dataset": ref.to_json(), "inputs": lineage, "facts": recorded, "schema": schema}
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
            write_atomically(parent / "CURRENT", version)
            return ref
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _partition(self, use_case: str, layer: str, partition: str) -> Path:
        return self.root / use_case / layer / partition

    def _sweep(self, parent: Path) -> None:
        """Remove what processes of this machine that are gone left half written."""
        for debris in parent.glob(f"{_STAGING}*"):
            pid = int(debris.name.removeprefix(_STAGING).split("-")[0])
            if not Path(f"/proc/{pid}").exists():
                shutil.rmtree(debris, ignore_errors=True)


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
        for batch in dataset.to_batches(columns=names, batch_size=131_072):
            frame = batch.to_pandas()
            count += len(frame)
            for slot, key in enumerate(("titleholder-0001", "titleholder-0002")):
                hashes = pd.util.hash_pandas_object(frame, index=False, hash_key=key, categorize=False).to_numpy()
                sums[slot] = (sums[slot] + int(hashes.sum(dtype=np.uint64))) % 2**64
                xors[slot] ^= int(np.bitwise_xor.reduce(hashes)) if len(hashes) else 0
        rows[table] = count
        total.update(json.dumps([table, schema[table], count, sums, xors], sort_keys=True).encode())
    return total.hexdigest(), rows, schema

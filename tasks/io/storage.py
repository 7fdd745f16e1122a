"""Adapter: immutable data set snapshots, published atomically, each with a digest.

    <root>/<use_case>/<layer>/<partition>/<version>/<table>/part-*.parquet
                                                   /manifest.json
                                         /CURRENT          the versions that were current, the newest last

A snapshot is staged beside its target folder, moved there by one rename, and only then named by CURRENT (temporary file,
fsync, rename): a crash leaves the previous snapshot current. Publishing the same rows from the same inputs again gives
the same version and changes nothing. CURRENT has one line of JSON for each version: which version, since when, and the run
that published it. Earlier installations wrote `version moment run`, separated by blanks; such lines are read, and become
JSON when the next version is published.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import json
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import clock
from tasks.code_version import get_code_version, identify_code
from tasks.contracts.base import Window
from tasks.contracts.data import CurrentVersion, DatasetRef
from tasks.errors import SnapshotError

if TYPE_CHECKING:
    import pandas as pd

_log = logging.getLogger(__name__)
Writer = Callable[[Path], None]
Inspect = Callable[[Path], Mapping[str, Any]]
_STAGING = ".staging-"
_HALF_WRITTEN = ".CURRENT."


class Storage:
    """Snapshots under one folder. Independent of Spark: a writer is any function that fills a folder with Parquet.

    Parameters
    ----------
    root : folder that holds all use cases. The first snapshot creates it.
    run : what publishes, such as an Airflow run. It is recorded in the manifest, and is no part of a version.
    now : the clock of the manifest and of CURRENT; no part of a version either.
    """

    def __init__(self, root: Path, *, run: str = "by hand", now: Callable[[], datetime] = clock.now) -> None:
        self.root, self.run, self.now = Path(root), run, now

    # reading

    def folder(self, ref: DatasetRef) -> Path:
        """The folder of a snapshot.

        Raises
        ------
        SnapshotError : it does not exist.
        """
        folder = self._partition(ref.use_case, ref.layer, ref.partition) / ref.version
        if not (folder / "manifest.json").is_file():
            raise SnapshotError(
                f"snapshot {ref.key} does not exist under {self.root}: it was pruned, or TITLEHOLDER_HOME names another folder"
            )
        return folder

    def table(self, ref: DatasetRef, table: str = "rows") -> Path:
        """The folder with the Parquet files of one table."""
        if table not in ref.rows:
            raise SnapshotError(f"snapshot {ref.key} has no table '{table}'; it has: {', '.join(sorted(ref.rows))}")
        return self.folder(ref) / table

    def read(self, ref: DatasetRef, table: str = "rows", columns: Sequence[str] | None = None) -> pd.DataFrame:
        """One table as a frame, in no particular order: sort by a key where the order matters."""
        import pyarrow.dataset as ds

        dataset = ds.dataset(self.table(ref, table), format="parquet")
        found = dataset.to_table(columns=list(columns) if columns is not None else None)
        frame: pd.DataFrame = found.to_pandas()
        return frame

    def manifest(self, ref: DatasetRef) -> dict[str, Any]:
        """What was recorded at publication: rows, schema, inputs, window, facts, the run and the time."""
        loaded: dict[str, Any] = json.loads((self.folder(ref) / "manifest.json").read_text())
        return loaded

    def current(self, use_case: str, layer: str, partition: str) -> DatasetRef | None:
        """The current snapshot of a partition; None if it has none."""
        past = self.current_versions(use_case, layer, partition)
        return self.version(use_case, layer, partition, past[-1].version) if past else None

    def version(self, use_case: str, layer: str, partition: str, version: str) -> DatasetRef:
        """The snapshot of a version, current or not.

        Raises
        ------
        SnapshotError : there is no such version; names those that exist.
        """
        path = self._partition(use_case, layer, partition) / version / "manifest.json"
        if not path.is_file():
            there = ", ".join(self.versions(use_case, layer, partition)) or "none"
            raise SnapshotError(
                f"{use_case}/{layer}/{partition}: no version {version!r} under {self.root}; existing versions: {there}"
            )
        return DatasetRef.from_json(json.loads(path.read_text())["dataset"])

    def at(self, use_case: str, layer: str, partition: str, moment: datetime) -> DatasetRef | None:
        """The snapshot that was current at a moment; None if there was none yet."""
        past = self.current_versions(use_case, layer, partition)
        before = [one for one in past if one.since is None or one.since <= moment]
        return self.version(use_case, layer, partition, before[-1].version) if before else None

    def current_versions(self, use_case: str, layer: str, partition: str) -> list[CurrentVersion]:
        """The versions that were current, oldest first, each with the time since when."""
        try:
            lines = (self._partition(use_case, layer, partition) / "CURRENT").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [_parse_line(line) for line in lines]

    def versions(self, use_case: str, layer: str, partition: str) -> list[str]:
        """All versions of a partition that are kept, sorted by name."""
        return sorted(path.parent.name for path in self._partition(use_case, layer, partition).glob("[!.]*/manifest.json"))

    def partitions(self, use_case: str, layer: str) -> list[str]:
        """The partitions of a layer that have a current snapshot, sorted."""
        return sorted(path.parent.name for path in (self.root / use_case / layer).glob("*/CURRENT"))

    def layers(self) -> list[tuple[str, str]]:
        """Use case and layer of all snapshots, sorted."""
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
        """Read all rows again and compare their digest.

        Raises
        ------
        SnapshotError : the rows are not those that were published.
        """
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
        tables : name -> function that creates the folder that it receives and writes Parquet files into it.
        inputs : the snapshots that this one was made from; they are part of its version.
        facts : JSON values for the manifest; part of the version too, so they must not depend on the clock.
        inspect : checks the written tables before they are published, and refuses them by raising. The counts that it
            returns go into the manifest as `figures`; they are no part of the version, which follows from the rows.
        """
        parent = self._partition(use_case, layer, partition)
        with self.stage(use_case, layer, partition) as staging:
            for name, write in tables.items():
                write(staging / name)
            figures = dict(inspect(staging)) if inspect else {}
            digest, rows, schema = _digest(staging, sorted(tables))
            lineage = [ref.to_json() for ref in inputs]
            recorded = dict(facts or {})
            identity = json.dumps([digest, lineage, recorded], sort_keys=True, default=str)
            version = hashlib.sha256(identity.encode()).hexdigest()[:16]
            ref = DatasetRef(use_case=use_case, layer=layer, partition=partition, version=version, digest=digest, rows=rows)
            made = {"at": self.now().isoformat(), "run": self.run, "code": get_code_version(), "identity": identify_code()}
            manifest = {"dataset": ref.to_json(), "inputs": lineage, "facts": recorded, "schema": schema, "made": made}
            if figures:
                manifest["figures"] = figures
            write_atomically(staging / "manifest.json", json.dumps(manifest, indent=1, default=str))
            target = parent / version
            if not (target / "manifest.json").is_file():
                for path in staging.rglob("*.parquet"):
                    fsync(path)
            with _locked(parent):  # so that no removal takes the version away before it is current
                if not (target / "manifest.json").is_file():
                    staging.rename(target)
                    fsync(parent)
                self._set_current(ref)
            _log.info("published %s: %s; in %s", ref.key, ", ".join(f"{rows[name]} {name}" for name in sorted(rows)), target)
            return ref

    @contextmanager
    def stage(self, use_case: str, layer: str, partition: str) -> Iterator[Path]:
        """A folder beside the versions of a partition, for files that become part of snapshots by renaming.

        It is removed when the body ends. If the process dies, the next one that publishes the partition removes it.
        """
        parent = self._partition(use_case, layer, partition)
        parent.mkdir(parents=True, exist_ok=True)
        self._sweep(parent)
        staging = parent / f"{_STAGING}{os.getpid()}-{uuid.uuid4().hex[:8]}"
        staging.mkdir()
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _set_current(self, ref: DatasetRef, made: CurrentVersion | None = None) -> None:
        """Make a snapshot the current one of its partition, now or as `made` says; changes nothing if it is.

        The caller holds the lock of the partition.
        """
        parent = self._partition(ref.use_case, ref.layer, ref.partition)
        past = self.current_versions(ref.use_case, ref.layer, ref.partition)
        if not past or past[-1].version != ref.version:
            past.append(made or CurrentVersion(version=ref.version, since=self.now(), run=self.run))
            write_atomically(parent / "CURRENT", "".join(json.dumps(one.to_json(), sort_keys=True) + "\n" for one in past))

    def adopt(self, ref: DatasetRef, other: Storage, made: CurrentVersion) -> None:
        """Make a snapshot of another store current here, without copying its rows where both lie on one disk.

        Parameters
        ----------
        made : when and by what run it became current there, which is recorded here.
        """
        parent = self._partition(ref.use_case, ref.layer, ref.partition)
        with self.stage(ref.use_case, ref.layer, ref.partition) as staging, _locked(parent):
            if not (parent / ref.version / "manifest.json").is_file():
                shutil.copytree(other.folder(ref), staging, copy_function=_link_or_copy, dirs_exist_ok=True)
                staging.rename(parent / ref.version)
                fsync(parent)
            self._set_current(ref, made)

    # retention

    def superseded(self, before: datetime) -> list[DatasetRef]:
        """Snapshots that are not needed: not current since `before`, and not an input of any current snapshot.

        A snapshot that was published and never became current (its process was killed in between) counts from its
        publication.
        """
        retired: dict[str, tuple[DatasetRef, datetime]] = {}
        needed: set[str] = set()
        manifests: dict[str, list[DatasetRef]] = {}
        for use_case, layer in self.layers():
            for partition in self.partitions(use_case, layer):
                past = self.current_versions(use_case, layer, partition)
                ended = {old.version: new.since for old, new in itertools.pairwise(past)}
                for version in self.versions(use_case, layer, partition):
                    ref = self.version(use_case, layer, partition, version)
                    manifest = self.manifest(ref)
                    manifests[ref.key] = [DatasetRef.from_json(one) for one in manifest["inputs"]]
                    made = manifest.get("made", {}).get("at")
                    if version == past[-1].version:
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
        """Remove a snapshot that is not current. One rename hides it first, so that a crash leaves no half of it.

        Raises
        ------
        SnapshotError : it is current.
        """
        parent = self._partition(ref.use_case, ref.layer, ref.partition)
        hidden = parent / f"{_STAGING}{os.getpid()}-{uuid.uuid4().hex[:8]}"
        with _locked(parent):
            if self.current(ref.use_case, ref.layer, ref.partition) == ref:
                raise SnapshotError(f"snapshot {ref.key} is current; publish another one first")
            self.folder(ref).rename(hidden)
        shutil.rmtree(hidden)

    def _partition(self, use_case: str, layer: str, partition: str) -> Path:
        return self.root / use_case / layer / partition

    def _sweep(self, parent: Path) -> None:
        """Remove what ended processes of this machine left half written."""
        for debris in [*parent.glob(f"{_STAGING}*"), *parent.glob(f"{_HALF_WRITTEN}*")]:
            pid = int(debris.name.removeprefix(_STAGING).removeprefix(_HALF_WRITTEN).replace(".", "-").split("-")[0])
            if not Path(f"/proc/{pid}").exists():
                shutil.rmtree(debris) if debris.is_dir() else debris.unlink()


def _parse_line(line: str) -> CurrentVersion:
    """One line of CURRENT: JSON, or the text of an earlier installation, whose first release wrote the version alone."""
    if line.startswith("{"):
        return CurrentVersion.from_json(json.loads(line))
    version, *rest = line.split(maxsplit=2)
    return CurrentVersion(version=version, since=rest[0] if rest else None, run=rest[1] if len(rest) > 1 else "")


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or a file system without links
        shutil.copy2(source, target)


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
    """Replace a file as a whole: temporary file, fsync, rename, fsync of the folder. A crash at any time leaves no part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}")
    with temporary.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    fsync(path.parent)


def fsync(path: Path) -> None:
    """Write a file's content, or a folder's names, to the disk, so that it survives a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _batches(path: Path, names: Sequence[str]) -> Iterator[Any]:
    """The rows of one Parquet file in small batches: the reader of a whole data set decodes gigabytes ahead."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(131_072, columns=list(names))


def _digest(folder: Path, tables: Sequence[str]) -> tuple[str, dict[str, int], dict[str, dict[str, str]]]:
    """Digest, rows and schema of the tables in a folder; independent of the order of rows and of how files are cut.

    Each row is hashed to 64 bits under two keys. The sums modulo 2^64 and the exclusive ors of these hashes go into one
    sha256, with names, types and counts. It detects accidents of every kind. It is no defence against an attacker who can
    write to the store.
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

"""Adapter: the prediction log. Batch and online predictions in one schema.

Online predictions go into journals of JSON lines, many with one O_APPEND write, so that they survive a kill of the process.
A journal without a writer is sealed: its Parquet segment is published by one rename, then the journal is removed. The
segment has the name of the journal, and while both exist only the segment is read: a crash in between doubles no row.

    <root>/<use_case>/online/<day>.<journal>.jsonl      locked by its writer (flock) while it is open
    <root>/<use_case>/online/<day>.<journal>.parquet
    <root>/<use_case>/batch/<name>.parquet              one batch, named by the identity of its content
    <root>/<use_case>/forgotten/<digest>.json           a user who is left out when open journals are sealed
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import sys
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tasks import clock
from tasks.contracts.predictions import Prediction
from tasks.io.storage import fsync, write_atomically

if TYPE_CHECKING:
    import pyarrow as pa

ROTATE_BYTES = 32 * 2**20


class PredictionLog:
    """The prediction log of all use cases under one folder. Use one instance a process: it keeps its journals open."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._journals: dict[tuple[str, date], tuple[int, Path]] = {}

    # writing

    def append(self, predictions: Iterable[Prediction]) -> None:
        """Append online predictions. They survive the end of this process once this returns.

        Raises
        ------
        OSError : not all of them were written: do not acknowledge them.
        """
        lines: dict[tuple[str, date], list[bytes]] = {}
        for one in predictions:
            lines.setdefault((one.use_case, one.made_at.date()), []).append(one.model_dump_json().encode())
        for (use_case, day), encoded in lines.items():
            self.append_lines(use_case, day, encoded)

    def append_lines(self, use_case: str, day: date, lines: Sequence[bytes]) -> None:
        """Append predictions as lines of JSON without newlines, all or none.

        Raises
        ------
        OSError : nothing was written; a partial write is cut off again.
        """
        descriptor, path = self._journal(use_case, day)
        payload = b"\n".join(lines) + b"\n"
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            payload = b"\n" + payload  # the torn line of another writer: start a new one
        written = os.write(descriptor, payload)
        if written != len(payload):
            os.ftruncate(descriptor, size)
            raise OSError(errno.ENOSPC, f"{path}: only a part was written; the disk is full")

    def rotate(self, older_than: float = 0.0) -> None:
        """Close the journals that are large, or older than `older_than` seconds, so that they can be sealed."""
        now = clock.now().timestamp()
        for key, (descriptor, path) in list(self._journals.items()):
            if now - _began(path) >= older_than or os.fstat(descriptor).st_size > ROTATE_BYTES:
                del self._journals[key]
                os.close(descriptor)  # and with it, its lock

    def _journal(self, use_case: str, day: date) -> tuple[int, Path]:
        """The open journal of a day; a new one if it was rotated or removed."""
        found = self._journals.get((use_case, day))
        if found is not None and os.fstat(found[0]).st_nlink:
            return found
        folder = self.root / use_case / "online"
        folder.mkdir(parents=True, exist_ok=True)
        began = clock.now_ms()
        path = folder / f"{day.isoformat()}.{began:x}-{uuid.uuid4().hex[:8]}.jsonl"
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o640)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        self._journals[use_case, day] = (descriptor, path)
        return descriptor, path

    def write_batch(self, use_case: str, name: str, predictions: Iterable[Prediction]) -> Path:
        """Write one batch as a whole. `name` is its identity: an existing batch of this name stays as it is."""
        path = self.root / use_case / "batch" / f"{name}.parquet"
        if path.is_file():
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        _publish(_table([one.model_dump() for one in predictions]), path)
        return path

    # reading

    def read(self, use_case: str, since: date | None = None, until: date | None = None) -> Iterator[Prediction]:
        """All predictions made from `since` to before `until`, file by file. Torn lines are skipped."""
        forgotten = self._forgotten(use_case)
        for path in self._files(use_case):
            first = path.name[:10]  # an online file holds one day
            if path.parent.name == "online" and (
                (since is not None and first < since.isoformat()) or (until is not None and first >= until.isoformat())
            ):
                continue
            for row in _rows(path):
                day = row.made_at.date()
                is_inside = (since is None or day >= since) and (until is None or day < until)
                if is_inside and not _is_forgotten(row.subject, row.made_at, forgotten):
                    yield row

    def find(self, use_case: str, prediction_id: str) -> Prediction | None:
        """The prediction with an id, or None."""
        forgotten = self._forgotten(use_case)
        for path in sorted(self._files(use_case), reverse=True):
            for row in _rows(path, prediction_id):
                if row.prediction_id == prediction_id and not _is_forgotten(row.subject, row.made_at, forgotten):
                    return row
        return None

    def find_known(self, use_case: str, prediction_ids: Collection[str]) -> set[str]:
        """Of some ids, those that a prediction of the log has."""
        found: set[str] = set()
        missing = set(prediction_ids)
        for path in reversed(self._files(use_case)):
            if not missing:
                break
            here = missing.intersection(_ids(path))
            found |= here
            missing -= here
        return found

    def _files(self, use_case: str) -> list[Path]:
        """Segments, batches, and the journals without a segment."""
        found = sorted((self.root / use_case).glob("*/*.jsonl")) + sorted((self.root / use_case).glob("*/*.parquet"))
        sealed = {path.with_suffix("") for path in found if path.suffix == ".parquet"}
        return [path for path in found if path.suffix == ".parquet" or path.with_suffix("") not in sealed]

    # retention

    def seal(self) -> int:
        """Turn every journal without a writer into its segment, and return their number. Torn lines are dropped."""
        count = 0
        for path in sorted(self.root.glob("*/online/*.jsonl")):
            with _locked(path) as mine:
                if not mine:
                    continue
                segment = path.with_suffix(".parquet")
                if not segment.is_file():
                    table = self._without_forgotten(_read_journal(path), path.parts[-3])
                    if len(table):
                        _publish(table, segment)
                        count += 1
                path.unlink()
        for use_case in {path.parent.parent.name for path in self.root.glob("*/forgotten/*.json")}:
            self._drop_done(use_case)
        return count

    def wants_sealing(self) -> bool:
        """Whether a journal has no writer, or a user is to be erased from one."""
        if any(self.root.glob("*/forgotten/*.json")):
            return True
        for path in self.root.glob("*/online/*.jsonl"):
            with _locked(path) as mine:
                if mine:
                    return True
        return False

    def prune(self, before: date) -> int:
        """Remove the online segments of the days before `before`, and return their number. Monitoring needs the batches."""
        old = [path for path in self.root.glob("*/online/*.parquet") if path.name[:10] < before.isoformat()]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)

    def forget(self, use_case: str, subject: str, at: datetime) -> int:
        """Erase the predictions for a user until now, and return the number of erased rows.

        Rows in a journal that a running endpoint still writes are left out by every reader from now on, and are dropped
        when the journal is sealed.
        """
        import pyarrow.compute as pc

        folder = self.root / use_case / "forgotten"
        folder.mkdir(parents=True, exist_ok=True)
        digest = _digest(subject)
        write_atomically(folder / f"{digest}.json", json.dumps({"at": at.isoformat()}))
        erased = sum(
            row.subject == subject for path in self._files(use_case) if path.suffix != ".parquet" for row in _rows(path)
        )
        self.seal()
        for path in sorted((self.root / use_case).glob("*/*.parquet")):
            table = _read_segment(path)
            kept = table.filter(pc.not_equal(table["subject"], subject))
            if len(kept) < len(table):
                erased += len(table) - len(kept)
                _publish(kept, path)
        return erased

    def _forgotten(self, use_case: str) -> dict[str, datetime]:
        found = {}
        for path in (self.root / use_case / "forgotten").glob("*.json"):
            with suppress(FileNotFoundError):
                found[path.stem] = datetime.fromisoformat(json.loads(path.read_text())["at"])
        return found

    def _without_forgotten(self, table: pa.Table, use_case: str) -> pa.Table:
        forgotten = self._forgotten(use_case)
        if not forgotten or not len(table):
            return table
        pairs = zip(table["subject"].to_pylist(), table["made_at"].to_pylist(), strict=True)
        return table.filter([not _is_forgotten(subject, made_at, forgotten) for subject, made_at in pairs])

    def _drop_done(self, use_case: str) -> None:
        """Remove the records of erased users that no journal can hold any more."""
        oldest = [
            int(path.name.split(".")[1].split("-")[0], 16) / 1000 for path in self.root.glob(f"{use_case}/online/*.jsonl")
        ]
        for digest, at in self._forgotten(use_case).items():
            if all(began > at.timestamp() for began in oldest):
                (self.root / use_case / "forgotten" / f"{digest}.json").unlink(missing_ok=True)


def _began(journal: Path) -> float:
    """The start of a journal, in seconds since 1970."""
    return int(journal.name.split(".")[1].split("-")[0], 16) / 1000


def _digest(subject: str) -> str:
    return hashlib.sha256(subject.encode()).hexdigest()


def _is_forgotten(subject: str, made_at: datetime, forgotten: dict[str, datetime]) -> bool:
    at = forgotten.get(_digest(subject)) if forgotten else None
    return at is not None and made_at <= at


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Yields whether no other process holds the journal; if so, this process holds it until the end of the body."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield path.exists()
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


def _rows(path: Path, prediction_id: str | None = None) -> Iterator[Prediction]:
    """The predictions of a file. With an id, at least those that have it."""
    if path.suffix == ".jsonl":
        try:
            with path.open("rb") as stream:
                for line in stream:
                    if prediction_id is None or prediction_id.encode() in line:
                        with suppress(ValidationError):  # a line that was torn by a kill was never acknowledged
                            yield Prediction.model_validate_json(line)
            return
        except FileNotFoundError:  # it was sealed after it was listed
            path = path.with_suffix(".parquet")
    if not path.is_file():
        return
    import pyarrow.compute as pc

    table = _read_segment(path)
    if prediction_id is not None:
        table = table.filter(pc.equal(table["prediction_id"], prediction_id))
    for batch in table.to_batches(max_chunksize=4096):
        for row in batch.to_pylist():
            yield Prediction.model_validate({name: value for name, value in row.items() if value is not None})


def _ids(path: Path) -> Iterator[str]:
    """The prediction ids of a file."""
    if path.suffix == ".jsonl":
        yield from (row.prediction_id for row in _rows(path))
        return
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(path).iter_batches(columns=["prediction_id"]):
        yield from batch.column(0).to_pylist()


def _schema() -> pa.Schema:
    import pyarrow as pa

    kinds: dict[str, pa.DataType] = {
        "made_at": pa.timestamp("us", "UTC"),
        "model_version": pa.int64(),
        "features_as_of": pa.date32(),
        "items": pa.list_(pa.string()),
        "scores": pa.list_(pa.float64()),
        "explored": pa.list_(pa.string()),
        "latency_ms": pa.float64(),
        "arm_probability": pa.float64(),
        "explored_probability": pa.float64(),
        "shuffled_place": pa.int64(),
    }
    return pa.schema([(name, kinds.get(name, pa.string())) for name in Prediction.model_fields])


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_pylist(rows, schema=_schema())


def _read_journal(path: Path) -> pa.Table:
    """A journal as a table. Read by Arrow, without the interpreter's lock, or line by line if a line is torn."""
    import pyarrow as pa
    import pyarrow.json

    schema = _schema()
    place = schema.get_field_index("features_as_of")
    as_text = schema.set(place, pa.field("features_as_of", pa.string()))  # Arrow's JSON reader has no type for days
    try:
        read = pa.json.read_json(
            path, pa.json.ReadOptions(use_threads=False), pa.json.ParseOptions(as_text, unexpected_field_behavior="error")
        )
        return read.select(schema.names).cast(schema)
    except pa.ArrowInvalid:
        return _table([row.model_dump() for row in _rows(path)])


def _read_segment(path: Path) -> pa.Table:
    import pyarrow.parquet as pq

    return pq.ParquetFile(path).read(use_threads=False)


def _publish(table: pa.Table, path: Path) -> None:
    """Write a Parquet file as a whole: temporary file, fsync, rename, fsync of the folder."""
    import pyarrow.parquet as pq

    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        pq.write_table(table, temporary, compression="zstd")
        fsync(temporary)
        temporary.replace(path)
        fsync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


if __name__ == "__main__":  # the endpoint runs this in a process of its own
    os.nice(10)
    PredictionLog(Path(sys.argv[1])).seal()

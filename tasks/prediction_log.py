"""Seam: what was predicted, batch or online, in one schema.

Online answers are JSON lines, one O_APPEND write each, so that an acknowledged row survives a kill of the process; one
file a day and process. A batch is one file named by its content's identity and moved into place by one rename, so that
writing it again changes nothing.

    <root>/<use_case>/online/<day>.<pid>.jsonl
    <root>/<use_case>/batch/<name>.jsonl
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path

from pydantic import ValidationError

from tasks.contracts import Prediction
from tasks.storage import write_atomically


class PredictionLog:
    """The prediction log of all use cases under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def append(self, predictions: Iterable[Prediction]) -> None:
        """Append online answers; they survive the death of this process once this returns.

        Raises
        ------
        OSError : they could not be written, or only in part: do not acknowledge them.
        """
        by_file: dict[Path, list[str]] = {}
        for prediction in predictions:
            name = f"{prediction.made_at.date().isoformat()}.{os.getpid()}.jsonl"
            by_file.setdefault(self.root / prediction.use_case / "online" / name, []).append(prediction.model_dump_json())
        for path, lines in by_file.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            payload = ("\n".join(lines) + "\n").encode()
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                size = os.fstat(descriptor).st_size
                if size and os.pread(descriptor, 1, size - 1) != b"\n":
                    payload = b"\n" + payload  # a process of the same id died, or a disk was full, within a line
                if os.write(descriptor, payload) != len(payload):
                    raise OSError(errno.ENOSPC, f"{path}: only a part was written; the disk is full")
            finally:
                os.close(descriptor)

    def write_batch(self, use_case: str, name: str, predictions: Iterable[Prediction]) -> Path:
        """Write one batch as a whole. `name` is its identity: what is there under it stays, with the time it was made at."""
        path = self.root / use_case / "batch" / f"{name}.jsonl"
        if path.is_file():
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, "".join(prediction.model_dump_json() + "\n" for prediction in predictions))
        return path

    def read(self, use_case: str, since: date | None = None, until: date | None = None) -> Iterator[Prediction]:
        """All predictions made from `since` to before `until`, file by file. A torn last line is passed over."""
        for path in sorted((self.root / use_case).glob("*/*.jsonl")):
            with path.open() as stream:
                for line in stream:
                    try:
                        prediction = Prediction.model_validate_json(line)
                    except ValidationError:
                        continue  # the process was killed within this line's write: it was never acknowledged
                    day = prediction.made_at.date()
                    if (since is None or day >= since) and (until is None or day < until):
                        yield prediction

    def find(self, use_case: str, prediction_id: str) -> Prediction | None:
        """The prediction of an id, or None."""
        needle = f'"{prediction_id}"'
        for path in sorted((self.root / use_case).glob("*/*.jsonl"), reverse=True):
            with path.open() as stream:
                for line in stream:
                    if needle in line and line.endswith("\n"):
                        prediction = Prediction.model_validate_json(line)
                        if prediction.prediction_id == prediction_id:
                            return prediction
        return None

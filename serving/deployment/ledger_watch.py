"""Notices writes to an SQLite ledger, so that a promotion need not wait for the next poll."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path

from sqlalchemy.engine import make_url

CHECK_SECONDS = 0.05

FileState = tuple[tuple[int, int], ...]  # modification time in ns and size in bytes of each file


class LedgerFileWatcher:
    """Watches the files of an SQLite database; a check costs two system calls. Other databases are not watched.

    Parameters
    ----------
    url : SQLAlchemy URL; empty to watch nothing.
    """

    def __init__(self, url: str = "") -> None:
        parsed = make_url(url) if url else None
        database = parsed.database if parsed is not None and parsed.get_backend_name() == "sqlite" else None
        self._files = (Path(database), Path(f"{database}-wal")) if database else ()

    def state(self) -> FileState:
        """The state of the files, which every write changes. Read it before the poll that `wait` follows."""
        found = []
        for path in self._files:
            with suppress(OSError):
                status = path.stat()
                found.append((status.st_mtime_ns, status.st_size))
        return tuple(found)

    def wait(self, since: FileState, stop: threading.Event, seconds: float) -> None:
        """Return when the files differ from `since`, `stop` is set, or `seconds` have passed."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if stop.wait(min(CHECK_SECONDS, left) if self._files else left) or self.state() != since:
                return

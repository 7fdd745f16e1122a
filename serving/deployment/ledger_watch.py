"""Rings when the ledger was written, so that a promotion need not wait for the next poll."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path

from sqlalchemy.engine import make_url

LOOK_SECONDS = 0.05

Mark = tuple[tuple[int, int], ...]


class LedgerFileWatcher:
    """Watches the files of an SQLite database, which costs two system calls a look; another database is polled alone."""

    def __init__(self, url: str = "") -> None:
        at = make_url(url) if url else None
        database = at.database if at is not None and at.get_backend_name() == "sqlite" else None
        self._files = (Path(database), Path(f"{database}-wal")) if database else ()

    def mark(self) -> Mark:
        """What changes with every write. Take it before the look whose end is waited for."""
        found = []
        for path in self._files:
            with suppress(OSError):
                told = path.stat()
                found.append((told.st_mtime_ns, told.st_size))
        return tuple(found)

    def wait(self, mark: Mark, stop: threading.Event, seconds: float) -> None:
        """Until something was written since `mark`, it is to stop, or the seconds are over."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if stop.wait(min(LOOK_SECONDS, left) if self._files else left) or self.mark() != mark:
                return

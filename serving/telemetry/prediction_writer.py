"""Writes the prediction log off the request path: a bounded queue, and one thread that writes it to disk.

The rows of a response are encoded and queued before the response is sent, and written every `WRITE_SECONDS`. A killed process
loses at most the rows of its last `LOST_SECONDS`. The request encodes its own rows, because a writer thread that encoded them
would hold Python's lock for milliseconds while requests wait. When rows cannot be written (a full disk), responses continue and
the rows stay queued. When the queue is full, rows are dropped, counted in `titleholder_prediction_log_dropped_total`, and
reported by `/readyz`.
"""

from __future__ import annotations

import logging
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from serving.telemetry.metrics import ServingMetrics
from tasks import clock
from tasks.contracts.predictions import ONLINE, AnswerPath
from tasks.io import isolated_process
from tasks.io.prediction_log import PredictionLog

log = logging.getLogger("uvicorn.error.titleholder")

WRITE_SECONDS = 0.05  # from one write to the next
LOST_SECONDS = 0.2  # what a kill may lose: the pause, one write, and the wait for a core of a busy machine
QUEUE_ROWS = 50_000
ROTATE_SECONDS = 300.0  # a journal this old is closed and then sealed as a Parquet segment
SEAL_SECONDS = 30.0


class LogRow(NamedTuple):
    """What differs between the rows of one response."""

    prediction_id: str
    subject: str
    path: AnswerPath
    items: Sequence[str]
    scores: Sequence[float]
    explored: Sequence[str] = ()
    explored_probability: float = 0.0
    shuffled_place: int = 0


class _Line(msgspec.Struct):
    """A row of the log. The fields of `LogRow` come first."""

    prediction_id: str
    subject: str
    path: AnswerPath
    items: Sequence[str]
    scores: Sequence[float]
    explored: Sequence[str]
    explored_probability: float
    shuffled_place: int
    made_at: datetime
    features_as_of: date | None
    latency_ms: float
    use_case: str
    model_version: int
    manifest_digest: str
    features_version: str
    channel: str = ONLINE
    arm: str = "champion"
    arm_probability: float = 1.0


_encode = msgspec.json.Encoder().encode


def encode_rows(
    rows: Sequence[LogRow],
    provenance: Mapping[str, Any],
    *,
    features_as_of: date | None,
    made_at: datetime,
    latency_ms: float,
) -> list[bytes]:
    """The rows of one response as JSON lines of `tasks.contracts.predictions.Prediction`."""
    shared = {"made_at": made_at, "features_as_of": features_as_of, "latency_ms": latency_ms, **provenance}
    return [_encode(_Line(*row, **shared)) for row in rows]


class PredictionWriter:
    """Accepts encoded rows from any thread and writes them in one thread.

    Parameters
    ----------
    keep_days : days after which segments of the log are deleted.
    """

    def __init__(self, predictions: PredictionLog, metrics: ServingMetrics, keep_days: int) -> None:
        self._log, self._metrics, self._keep_days = predictions, metrics, keep_days
        self._queue: dict[tuple[str, date], list[bytes]] = {}
        self._waiting = 0  # lines in the queue and in the write that is under way
        self._flushing = threading.Lock()
        self._counting = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.last_error = ""

    def put(self, use_case: str, day: date, lines: list[bytes]) -> None:
        """Queue the lines of a response that is about to be sent. Never waits for the disk."""
        with self._counting:
            if self._waiting + len(lines) > QUEUE_ROWS:
                self._metrics.log_dropped.inc(len(lines))
                return
            self._waiting += len(lines)
            queued = self._queue.get((use_case, day))
            if queued is None:
                self._queue[use_case, day] = lines
            else:
                queued += lines

    def flush(self) -> None:
        """Write the queued lines. Lines that cannot be written stay queued for the next flush."""
        with self._flushing:
            with self._counting:
                taken, self._queue = self._queue, {}
            last_error = ""
            for (use_case, day), lines in taken.items():
                try:
                    self._log.append_lines(use_case, day, lines)
                except OSError as error:
                    self._metrics.log_failures.inc()
                    last_error = (
                        f"the prediction log cannot be written ({error.strerror}): free disk space or correct the permissions"
                    )
                    with self._counting:
                        self._queue[use_case, day] = lines + self._queue.get((use_case, day), [])
                else:
                    with self._counting:
                        self._waiting -= len(lines)
            self.last_error = last_error
            self._metrics.log_waiting.set(self._waiting)

    def start(self) -> None:
        """Start the threads: one writes every `WRITE_SECONDS`, one seals and prunes every `SEAL_SECONDS`."""
        for name, work, pause in (
            ("write-log", self._write, WRITE_SECONDS),
            ("seal-log", self._seal_and_prune, SEAL_SECONDS),
        ):
            thread = threading.Thread(target=self._repeat, args=(work, pause), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """End the threads and write what is queued."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=2.0)
        self.flush()
        self._log.rotate()

    def _repeat(self, work: Callable[[], None], pause: float) -> None:
        while not self._stop.is_set():
            try:
                work()
            except Exception:  # an unexpected error must not end the thread
                log.exception("%s failed, retrying in %g s", threading.current_thread().name, pause)
            self._stop.wait(pause)

    def _write(self) -> None:
        self.flush()
        self._log.rotate(ROTATE_SECONDS)

    def _seal_and_prune(self) -> None:
        if self._log.wants_sealing():  # in a process of its own, so that it takes neither memory nor time from requests
            command = [*isolated_process.command("tasks.io.prediction_log"), str(self._log.root.resolve())]
            subprocess.run(command, env=isolated_process.environment(), check=True)
        self._log.prune((clock.now() - timedelta(days=self._keep_days)).date())

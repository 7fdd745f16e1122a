"""The prediction log's way off the request path: a bounded queue, and one thread that writes.

An answer's rows are queued as JSON before it is given and written every `WINDOW_SECONDS`: a killed process loses those of
`LOST_SECONDS` at most. They are encoded by whoever answers, not by the thread: it would hold Python's lock for milliseconds in
front of requests. Where they cannot be written (a full disk), answers go on and their rows wait; when the queue is full, rows
are dropped, each one counted in `titleholder_prediction_log_dropped_total` and told in readiness.
"""

from __future__ import annotations

import logging
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from serving.telemetry.metrics import ServingMetrics
from tasks.contracts.predictions import AnswerPath
from tasks.io import isolated_process
from tasks.io.prediction_log import PredictionLog

log = logging.getLogger("uvicorn.error.titleholder")

WINDOW_SECONDS = 0.05  # from one write to the next
LOST_SECONDS = 0.2  # what a killed process may have lost: a pause, a write, and waiting for a core of a busy machine
QUEUE_ROWS = 50_000
ROTATE_SECONDS = 300.0  # a journal this old is closed, to be sealed as a Parquet segment
SEAL_SECONDS = 30.0


class Row(NamedTuple):
    """What differs between the rows of one answer."""

    prediction_id: str
    subject: str
    path: AnswerPath
    items: Sequence[str]
    scores: Sequence[float]
    explored: Sequence[str] = ()
    explored_probability: float = 0.0


class _Line(msgspec.Struct):
    """A row of the log; the fields of `Row` first."""

    prediction_id: str
    subject: str
    path: AnswerPath
    items: Sequence[str]
    scores: Sequence[float]
    explored: Sequence[str]
    explored_probability: float
    made_at: datetime
    features_as_of: date | None
    latency_ms: float
    use_case: str
    model_version: int
    manifest_digest: str
    features_version: str
    channel: str = "online"
    arm: str = "champion"
    arm_probability: float = 1.0


_encode = msgspec.json.Encoder().encode


def write_lines(
    rows: Sequence[Row], provenance: Mapping[str, Any], features_as_of: date | None, at: datetime, latency_ms: float
) -> list[bytes]:
    """The rows of one answer as `tasks.contracts.Prediction` in JSON."""
    shared = {"made_at": at, "features_as_of": features_as_of, "latency_ms": latency_ms, **provenance}
    return [_encode(_Line(*row, **shared)) for row in rows]


class Recorder:
    """Takes records from any thread, and writes them from one."""

    def __init__(self, predictions: PredictionLog, metrics: ServingMetrics, keep_days: int) -> None:
        self._log, self._metrics, self._keep_days = predictions, metrics, keep_days
        self._queue: dict[tuple[str, date], list[bytes]] = {}
        self._waiting = 0  # lines in the queue and in hand
        self._flushing = threading.Lock()
        self._counting = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.trouble = ""

    def put(self, use_case: str, day: date, lines: list[bytes]) -> None:
        """Queue the lines of an answer that is about to be given; never waits for the disk."""
        with self._counting:
            if self._waiting + len(lines) > QUEUE_ROWS:
                self._metrics.log_dropped.inc(len(lines))
                return
            self._waiting += len(lines)
            kept = self._queue.get((use_case, day))
            if kept is None:
                self._queue[use_case, day] = lines
            else:
                kept += lines

    def flush(self) -> None:
        """Write what is queued. What cannot be written stays, and is tried again."""
        with self._flushing:
            with self._counting:
                taken, self._queue = self._queue, {}
            trouble = ""
            for (use_case, day), lines in taken.items():
                try:
                    self._log.append_lines(use_case, day, lines)
                except OSError as error:
                    self._metrics.log_failures.inc()
                    trouble = f"the prediction log cannot be written ({error.strerror}): free the disk or correct its rights"
                    with self._counting:
                        self._queue[use_case, day] = lines + self._queue.get((use_case, day), [])
                else:
                    with self._counting:
                        self._waiting -= len(lines)
            self.trouble = trouble
            self._metrics.log_waiting.set(self._waiting)

    # the threads

    def start(self) -> None:
        """Write every `WINDOW_SECONDS`; seal and prune now and then."""
        for name, work, pause in (("write-log", self._step, WINDOW_SECONDS), ("seal-log", self._keep, SEAL_SECONDS)):
            thread = threading.Thread(target=self._repeat, args=(work, pause), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Write the rest and end."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=2.0)
        self.flush()
        self._log.rotate()

    def _repeat(self, work: Callable[[], None], pause: float) -> None:
        while not self._stop.is_set():
            try:
                work()
            except Exception:  # the thread outlives whatever happens
                log.exception("%s failed; going on", threading.current_thread().name)
            self._stop.wait(pause)

    def _step(self) -> None:
        self.flush()
        self._log.rotate(ROTATE_SECONDS)

    def _keep(self) -> None:
        if self._log.wants_sealing():  # by a process of its own, whose memory and time are not the requests'
            words = [*isolated_process.command("tasks.io.prediction_log"), str(self._log.root.resolve())]
            subprocess.run(words, env=isolated_process.environment(), check=True)
        self._log.prune((datetime.now(UTC) - timedelta(days=self._keep_days)).date())

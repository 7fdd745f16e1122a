"""The prediction log's way off the request path: a bounded queue, and one thread that writes.

An answer's rows are queued before it is given and written within `WINDOW_SECONDS`: a killed process loses no more than that.
Where they cannot be written (a full disk), answers go on and their rows wait; when the queue is full, rows are dropped, each
one counted in `titleholder_prediction_log_dropped_total` and told in readiness.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import msgspec

from serving.metrics import ServingMetrics
from tasks.prediction_log import PredictionLog

log = logging.getLogger("uvicorn.error.titleholder")

WINDOW_SECONDS = 0.05
QUEUE_ROWS = 50_000
ROTATE_SECONDS = 300.0  # a journal this old is closed, to be sealed as a Parquet segment
SEAL_SECONDS = 30.0


class Row(NamedTuple):
    """What differs between the rows of one answer."""

    prediction_id: str
    subject: str
    path: str
    items: Sequence[str]
    scores: Sequence[float]
    explored: Sequence[str] = ()
    explored_probability: float = 0.0


@dataclass(frozen=True)
class Record:
    """One answer to be logged."""

    use_case: str
    model_version: int
    manifest_digest: str
    features_version: str
    features_as_of: date | None
    at: datetime
    latency_ms: float
    rows: Sequence[Row]

    def lines(self) -> list[bytes]:
        """Its rows as `tasks.contracts.Prediction` in JSON."""
        shared = {
            "made_at": self.at, "use_case": self.use_case, "channel": "online", "model_version": self.model_version,
            "manifest_digest": self.manifest_digest, "features_version": self.features_version,
            "features_as_of": self.features_as_of, "latency_ms": self.latency_ms, "arm": "champion", "arm_probability": 1.0,
        }  # fmt: skip
        return [_encoder.encode(row._asdict() | shared) for row in self.rows]


_encoder = msgspec.json.Encoder()


class Recorder:
    """Takes records from any thread, and writes them from one."""

    def __init__(self, predictions: PredictionLog, metrics: ServingMetrics, keep_days: int) -> None:
        self._log, self._metrics, self._keep_days = predictions, metrics, keep_days
        self._queue: deque[Record] = deque()
        self._waiting = 0  # rows in the queue and in hand
        self._flushing = threading.Lock()
        self._counting = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.trouble = ""

    def put(self, record: Record) -> None:
        """Queue the rows of an answer that is about to be given; never waits."""
        count = len(record.rows)
        with self._counting:
            if self._waiting + count > QUEUE_ROWS:
                self._metrics.log_dropped.inc(count)
                return
            self._waiting += count
        self._queue.append(record)

    def flush(self) -> None:
        """Write what is queued. What cannot be written stays, and is tried again."""
        with self._flushing:
            failed = False
            while self._queue and not failed:
                taken = [self._queue.popleft() for _ in range(min(len(self._queue), 2000))]
                failed = not self._write(taken)
            self._metrics.log_waiting.set(self._waiting)

    def _write(self, taken: list[Record]) -> bool:
        by_journal: dict[tuple[str, date], list[Record]] = {}
        for record in taken:
            by_journal.setdefault((record.use_case, record.at.date()), []).append(record)
        unwritten: list[Record] = []
        for (use_case, day), records in by_journal.items():
            lines = [line for record in records for line in record.lines()]
            try:
                self._log.append_lines(use_case, day, lines)
            except OSError as error:
                self._metrics.log_failures.inc()
                self.trouble = f"the prediction log cannot be written ({error.strerror}): free the disk or correct its rights"
                unwritten += records
            else:
                with self._counting:
                    self._waiting -= len(lines)
        self._queue.extendleft(reversed(unwritten))
        if not unwritten:
            self.trouble = ""
        return not unwritten

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
        self._log.seal()
        self._log.prune((datetime.now(UTC) - timedelta(days=self._keep_days)).date())

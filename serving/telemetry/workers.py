"""Metrics of several workers of one endpoint (uvicorn's WEB_CONCURRENCY), summed by whichever worker Prometheus reaches.

Each worker writes its metrics to a file every second. The worker that is scraped adds the files of the others to its own
metrics: counters and histograms as sums, gauges as the maximum. The counts of a worker that died disappear, which Prometheus
treats as a counter reset.
"""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

log = logging.getLogger("uvicorn.error.titleholder")

WRITE_SECONDS = 1.0
DEAD_SECONDS = 10.0  # a file this old belongs to a worker that is gone


class WorkerMetrics:
    """The metrics of this worker, and of the other workers where there are any.

    Parameters
    ----------
    folder : holds one file per worker.
    registry : the metrics of this worker.
    """

    def __init__(self, folder: Path, registry: CollectorRegistry) -> None:
        self._folder, self._registry = folder, registry
        self._own_file = folder / f"{os.getpid()}.prom"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name="share-metrics", daemon=True)

    def start(self) -> None:
        """Write this worker's file every `WRITE_SECONDS`. A process that is not one of several workers writes nothing."""
        if multiprocessing.parent_process() is not None:
            self._thread.start()

    def stop(self) -> None:
        """End the thread and remove this worker's file."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)
        self._own_file.unlink(missing_ok=True)

    def render(self) -> bytes:
        """The metrics of all workers in Prometheus's text format."""
        own = generate_latest(self._registry)
        others = list(self._others())
        return generate_latest(_Sum([own.decode(), *others])) if others else own

    def write(self) -> None:
        """Write this worker's metrics for the others."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._own_file.with_suffix(".draft")
        draft.write_bytes(generate_latest(self._registry))
        draft.replace(self._own_file)  # atomic, but not synced: after a power loss the counts are gone in any case

    def _others(self) -> Iterator[str]:
        oldest = time.time() - DEAD_SECONDS
        for path in sorted(self._folder.glob("*.prom")):
            if path == self._own_file:
                continue
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < oldest:
                    path.unlink()
                else:
                    yield path.read_text()

    def _repeat(self) -> None:
        while not self._stop.is_set():
            try:
                self.write()
            except OSError as error:  # a full disk must not end the thread
                log.error("cannot write the metrics of this worker for the others: %s", error)
            self._stop.wait(WRITE_SECONDS)


class _Sum(CollectorRegistry):
    """The sum of the metric families of several workers, given in Prometheus's text format."""

    def __init__(self, texts: Iterable[str]) -> None:
        super().__init__()
        self._families: dict[str, Metric] = {}
        self._values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
        for text in texts:
            for family in text_string_to_metric_families(text):
                self._add(family)

    def _add(self, family: Metric) -> None:
        self._families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
        values = self._values.setdefault(family.name, {})
        for sample in family.samples:
            key = sample.name, tuple(sample.labels.items())
            before = values.get(key, math.nan)
            if math.isnan(before):
                values[key] = sample.value
            elif not math.isnan(sample.value):
                values[key] = max(before, sample.value) if family.type == "gauge" else before + sample.value

    def collect(self) -> Iterator[Metric]:
        """The summed families."""
        for name, family in self._families.items():
            for (sample, labels), value in self._values[name].items():
                family.add_sample(sample, dict(labels), value)
            yield family

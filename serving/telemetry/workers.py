"""Several workers of one endpoint (uvicorn's WEB_CONCURRENCY) tell Prometheus one truth, whichever of them it asks.

Each leaves its figures in a file every second; who is asked adds those of the others to its own: counters and histograms as
sums, gauges as the largest. What a worker counted that has died is gone, which Prometheus takes for the restart that it is.
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

TELL_SECONDS = 1.0
DEAD_SECONDS = 10.0  # who has not told anything for so long is no more


class WorkerMetrics:
    """This worker's figures, and those of its siblings where it has any."""

    def __init__(self, folder: Path, registry: CollectorRegistry) -> None:
        self._folder, self._registry = folder, registry
        self._mine = folder / f"{os.getpid()}.prom"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name="tell-siblings", daemon=True)

    def start(self) -> None:
        """A process that nobody forked as a worker is alone, and writes nothing."""
        if multiprocessing.parent_process() is not None:
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)
        self._mine.unlink(missing_ok=True)

    def tell(self) -> bytes:
        """What all workers have counted, as Prometheus reads it."""
        own = generate_latest(self._registry)
        others = list(self._others())
        return generate_latest(_Sum([own.decode(), *others])) if others else own

    def leave(self) -> None:
        """Write this worker's figures for the others."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._mine.with_suffix(".draft")
        draft.write_bytes(generate_latest(self._registry))
        draft.replace(self._mine)  # whole or not at all; who loses power has lost its figures anyway

    def _others(self) -> Iterator[str]:
        oldest = time.time() - DEAD_SECONDS
        for path in sorted(self._folder.glob("*.prom")):
            if path == self._mine:
                continue
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < oldest:
                    path.unlink()
                else:
                    yield path.read_text()

    def _repeat(self) -> None:
        while not self._stop.is_set():
            try:
                self.leave()
            except OSError as error:  # a full disk is no reason not to answer
                log.error("the figures of this worker cannot be left for the others: %s", error)
            self._stop.wait(TELL_SECONDS)


class _Sum(CollectorRegistry):
    """The families of several expositions, added up."""

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
        for name, family in self._families.items():
            for (sample, labels), value in self._values[name].items():
                family.add_sample(sample, dict(labels), value)
            yield family

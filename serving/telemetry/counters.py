"""Counting without locks: the event loop counts every request here, and Prometheus is told when it asks.

prometheus_client's own counters take a lock and a chain of calls each, which together were a quarter of a request.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class RequestCounter:
    """One number that only grows. For one thread."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def add(self, count: int = 1) -> None:
        self.value += count


class Histogram:
    """How many values fell into each bin, and their sum. For one thread."""

    __slots__ = ("counts", "edges", "total")

    def __init__(self, edges: Sequence[float]) -> None:
        self.edges, self.counts, self.total = edges, [0] * (len(edges) + 1), 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.edges, value)] += 1
        self.total += value


class RequestCounters(Collector):
    """One family of counters: a tally for each set of labels."""

    def __init__(self, name: str, told: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._name, self._told, self._labels = name, told, labels
        self._of: dict[tuple[str, ...], RequestCounter] = {}
        registry.register(self)

    def of(self, *labels: str) -> RequestCounter:
        """The tally of these labels."""
        found = self._of.get(labels)
        return found if found is not None else self._of.setdefault(labels, RequestCounter())

    def collect(self) -> Iterator[Metric]:
        """What Prometheus is told."""
        family = CounterMetricFamily(self._name, self._told, labels=self._labels)
        for labels, tally in list(self._of.items()):
            family.add_metric(labels, tally.value)
        yield family


class Histograms(Collector):
    """One family of histograms: a spread for each set of labels."""

    def __init__(
        self, name: str, told: str, labels: Sequence[str], edges: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._name, self._told, self._labels, self._edges = name, told, labels, tuple(edges)
        self._of: dict[tuple[str, ...], Histogram] = {}
        registry.register(self)

    def of(self, *labels: str) -> Histogram:
        """The spread of these labels."""
        found = self._of.get(labels)
        return found if found is not None else self._of.setdefault(labels, Histogram(self._edges))

    def collect(self) -> Iterator[Metric]:
        """What Prometheus is told."""
        family = HistogramMetricFamily(self._name, self._told, labels=self._labels)
        names = [str(float(edge)) for edge in self._edges] + ["+Inf"]
        for labels, spread in list(self._of.items()):
            family.add_metric(labels, list(zip(names, accumulate(spread.counts), strict=True)), spread.total)
        yield family

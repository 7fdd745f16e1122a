"""Counters and histograms without locks, for one event loop; Prometheus reads them through collectors.

The counters of prometheus_client take a lock and a chain of calls each, which together were a quarter of a request.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class RequestCounter:
    """A number that only grows. Not thread-safe."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def add(self, count: int = 1) -> None:
        """Increase the number by `count`."""
        self.value += count


class Histogram:
    """The number of values in each bin, and their sum. Not thread-safe.

    Parameters
    ----------
    edges : ascending inclusive upper bounds of the bins; one more bin holds the values above the last edge.
    """

    __slots__ = ("counts", "edges", "total")

    def __init__(self, edges: Sequence[float]) -> None:
        self.edges, self.counts, self.total = edges, [0] * (len(edges) + 1), 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.edges, value)] += 1
        self.total += value


class RequestCounters(Collector):
    """A metric family of counters: one `RequestCounter` for each combination of label values."""

    def __init__(self, name: str, documentation: str, label_names: Sequence[str], registry: CollectorRegistry) -> None:
        self._name, self._documentation, self._label_names = name, documentation, label_names
        self._children: dict[tuple[str, ...], RequestCounter] = {}
        registry.register(self)

    def labels(self, *values: str) -> RequestCounter:
        """The counter of these label values."""
        found = self._children.get(values)
        return found if found is not None else self._children.setdefault(values, RequestCounter())

    def collect(self) -> Iterator[Metric]:
        """The family with its current values."""
        family = CounterMetricFamily(self._name, self._documentation, labels=self._label_names)
        for values, counter in list(self._children.items()):
            family.add_metric(values, counter.value)
        yield family


class Histograms(Collector):
    """A metric family of histograms: one `Histogram` for each combination of label values."""

    def __init__(
        self,
        name: str,
        documentation: str,
        label_names: Sequence[str],
        edges: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._name, self._documentation, self._label_names, self._edges = name, documentation, label_names, tuple(edges)
        self._children: dict[tuple[str, ...], Histogram] = {}
        registry.register(self)

    def labels(self, *values: str) -> Histogram:
        """The histogram of these label values."""
        found = self._children.get(values)
        return found if found is not None else self._children.setdefault(values, Histogram(self._edges))

    def collect(self) -> Iterator[Metric]:
        """The family with its current values."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._label_names)
        names = [str(float(edge)) for edge in self._edges] + ["+Inf"]
        for values, histogram in list(self._children.items()):
            buckets = list(zip(names, accumulate(histogram.counts), strict=True))
            family.add_metric(values, buckets, histogram.total)
        yield family

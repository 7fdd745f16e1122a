"""What the endpoint tells Prometheus."""

from __future__ import annotations

from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge

from serving.telemetry.counters import Histogram, Histograms, RequestCounter, RequestCounters
from tasks.models.smoke_test import SCORE_EDGES

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class ServingMetrics:
    """One registry per app, so that two apps in one process (as in tests) do not count into each other."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._versions: dict[tuple[str, int], OfVersion] = {}
        r = self.registry
        self.requests = RequestCounters("titleholder_requests", "Requests answered", ["route", "status"], r)
        self.seconds = Histograms("titleholder_request_seconds", "Time to answer", ["route"], BUCKETS, r)
        self.predictions = RequestCounters("titleholder_predictions", "Subjects answered", ["use_case", "path"], r)
        by_version = ["use_case", "version"]  # what a bake period judges a promotion by
        self.answers = RequestCounters(
            "titleholder_answers", "Requests that a version answered, or failed at", [*by_version, "outcome"], r
        )
        self.answer_seconds = Histograms("titleholder_answer_seconds", "Time that a version took", by_version, BUCKETS, r)
        self.scores = Histograms("titleholder_score", "Best score of each known subject", by_version, SCORE_EDGES, r)
        self.model_version = Gauge("titleholder_model_version", "Version in service", ["use_case"], registry=r)
        self.champion_version = Gauge("titleholder_champion_version", "Version the ledger names", ["use_case"], registry=r)
        self.swaps = Counter("titleholder_swaps", "Bundles taken into service", ["use_case"], registry=r)
        self.swap_failures = Counter("titleholder_swap_failures", "Bundles that could not be loaded", ["use_case"], registry=r)
        self.alias_disagrees = Gauge(
            "titleholder_alias_disagrees",
            "1: the MLflow alias is not the ledger's head; NaN: unknown",
            ["use_case"],
            registry=r,
        )
        self.ledger_failures = Counter("titleholder_ledger_failures", "Looks at the ledger that failed", registry=r)
        self.log_failures = Counter("titleholder_prediction_log_failures", "Writes of the log that failed", registry=r)
        self.log_dropped = Counter(
            "titleholder_prediction_log_dropped", "Rows that found the queue of the log full, and are not in it", registry=r
        )
        self.log_waiting = Gauge("titleholder_prediction_log_waiting", "Rows that are not written yet", registry=r)
        self.refused = Counter("titleholder_refused", "Requests refused at the door", ["why"], registry=r)
        self.events = Counter("titleholder_events", "Events taken", ["use_case", "event_type"], registry=r)

    def of_version(self, use_case: str, version: int) -> OfVersion:
        """What is counted of one version; looked up once, for it is asked on every request."""
        found = self._versions.get((use_case, version))
        if found is None:
            by = (use_case, str(version))
            found = self._versions[use_case, version] = OfVersion(
                self.answers.of(*by, "answered"),
                self.answers.of(*by, "failed"),
                self.answer_seconds.of(*by),
                self.scores.of(*by),
            )
        return found


class OfVersion(NamedTuple):
    """The counters of one version of a use case."""

    answered: RequestCounter
    failed: RequestCounter
    seconds: Histogram
    scores: Histogram

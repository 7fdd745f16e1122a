"""The metrics that the endpoint exports to Prometheus."""

from __future__ import annotations

from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge

from serving.telemetry.counters import Histogram, Histograms, RequestCounter, RequestCounters
from tasks.models.smoke_test import SCORE_EDGES

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)  # seconds


class ServingMetrics:
    """The endpoint's metrics, in a registry per app, so that two apps in one process (as in tests) count separately."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._versions: dict[tuple[str, int], VersionMetrics] = {}
        r = self.registry
        self.requests = RequestCounters("titleholder_requests", "HTTP requests answered", ["route", "status"], r)
        self.seconds = Histograms("titleholder_request_seconds", "Seconds from request to response", ["route"], BUCKETS, r)
        self.predictions = RequestCounters(
            "titleholder_predictions", "Predictions made, by the path that made them", ["use_case", "path"], r
        )
        by_version = ["use_case", "version"]  # the bake period judges a promotion by these
        self.answers = RequestCounters(
            "titleholder_answers",
            "Requests that a model version answered, or failed to answer",
            [*by_version, "outcome"],
            r,
        )
        self.answer_seconds = Histograms(
            "titleholder_answer_seconds", "Seconds that a model version took to answer a request", by_version, BUCKETS, r
        )
        self.scores = Histograms(
            "titleholder_score", "Best score of each subject that the model knows", by_version, SCORE_EDGES, r
        )
        self.model_version = Gauge("titleholder_model_version", "Model version in service", ["use_case"], registry=r)
        self.champion_version = Gauge(
            "titleholder_champion_version", "Champion version according to the ledger", ["use_case"], registry=r
        )
        self.swaps = Counter("titleholder_swaps", "Model bundles put into service", ["use_case"], registry=r)
        self.swap_failures = Counter(
            "titleholder_swap_failures", "Model bundles that could not be loaded", ["use_case"], registry=r
        )
        self.alias_disagrees = Gauge(
            "titleholder_alias_disagrees",
            "1 if the MLflow alias names another version than the ledger, NaN if unknown",
            ["use_case"],
            registry=r,
        )
        self.ledger_failures = Counter("titleholder_ledger_failures", "Failed reads of the ledger", registry=r)
        self.ledger_read_at = Gauge(
            "titleholder_ledger_read_timestamp_seconds", "When the ledger was last read, in seconds since 1970", registry=r
        )
        self.log_failures = Counter("titleholder_prediction_log_failures", "Failed writes to the prediction log", registry=r)
        self.log_dropped = Counter(
            "titleholder_prediction_log_dropped", "Prediction log rows dropped because the queue was full", registry=r
        )
        self.log_waiting = Gauge(
            "titleholder_prediction_log_waiting", "Prediction log rows queued and not yet written", registry=r
        )
        self.refused = Counter("titleholder_refused", "Requests refused before they reached a route", ["why"], registry=r)
        self.events = Counter("titleholder_events", "Events accepted", ["use_case", "event_type"], registry=r)

    def of_version(self, use_case: str, version: int) -> VersionMetrics:
        """The metrics of one model version, cached because every request needs them."""
        found = self._versions.get((use_case, version))
        if found is None:
            by = (use_case, str(version))
            found = self._versions[use_case, version] = VersionMetrics(
                self.answers.labels(*by, "answered"),
                self.answers.labels(*by, "failed"),
                self.answer_seconds.labels(*by),
                self.scores.labels(*by),
            )
        return found


class VersionMetrics(NamedTuple):
    """The metrics of one version of a use case's model."""

    answered: RequestCounter
    failed: RequestCounter
    seconds: Histogram
    scores: Histogram

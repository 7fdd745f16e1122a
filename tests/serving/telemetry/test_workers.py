"""Metrics of several workers are summed."""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import CollectorRegistry

from serving.telemetry.metrics import ServingMetrics
from serving.telemetry.workers import WorkerMetrics


def worker(folder: Path, name: str, version: float) -> tuple[ServingMetrics, WorkerMetrics]:
    """A worker that answered two requests and serves `version`."""
    metrics = ServingMetrics()
    workers = WorkerMetrics(folder, metrics.registry)
    workers._own_file = folder / f"{name}.prom"  # as in another process
    metrics.requests.labels("/v1", "200").add(2)
    metrics.seconds.labels("/v1").observe(0.002)
    metrics.model_version.labels("shop").set(version)
    metrics.alias_disagrees.labels("shop").set(float("nan"))
    return metrics, workers


def test_every_worker_exports_the_metrics_of_all(tmp_path: Path) -> None:
    (first, one), (_, other) = worker(tmp_path, "1", 3.0), worker(tmp_path, "2", 4.0)
    assert 'titleholder_requests_total{route="/v1",status="200"} 2.0' in one.render().decode()
    one.write()
    other.write()
    first.requests.labels("/v1", "200").add()
    for scraped, count in ((one, "5.0"), (other, "4.0")):  # own counts are fresh, those of others are from their last write
        text = scraped.render().decode()
        assert f'titleholder_requests_total{{route="/v1",status="200"}} {count}' in text
        assert 'titleholder_request_seconds_bucket{le="0.0025",route="/v1"} 2.0' in text
        assert 'titleholder_request_seconds_count{route="/v1"} 2.0' in text
        assert 'titleholder_model_version{use_case="shop"} 4.0' in text
        assert 'titleholder_alias_disagrees{use_case="shop"} NaN' in text


def test_metrics_of_dead_workers_are_dropped(tmp_path: Path) -> None:
    (_, one), (_, other) = worker(tmp_path, "1", 3.0), worker(tmp_path, "2", 4.0)
    other.write()
    os.utime(tmp_path / "2.prom", (0, 0))
    assert 'status="200"} 2.0' in one.render().decode()
    assert not (tmp_path / "2.prom").exists()


def test_single_process_writes_no_metrics_file(tmp_path: Path) -> None:
    alone = WorkerMetrics(tmp_path / "workers", CollectorRegistry())
    alone.start()
    alone.stop()
    assert not (tmp_path / "workers").exists()

"""Several workers, one truth."""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import CollectorRegistry

from serving.telemetry.metrics import ServingMetrics
from serving.telemetry.workers import WorkerMetrics


def worker(folder: Path, name: str, version: float) -> tuple[ServingMetrics, WorkerMetrics]:
    metrics = ServingMetrics()
    siblings = WorkerMetrics(folder, metrics.registry)
    siblings._mine = folder / f"{name}.prom"  # as if it were another process
    metrics.requests.of("/v1", "200").add(2)
    metrics.seconds.of("/v1").observe(0.002)
    metrics.model_version.labels("shop").set(version)
    metrics.alias_disagrees.labels("shop").set(float("nan"))
    return metrics, siblings


def test_whoever_is_asked_tells_the_figures_of_all(tmp_path: Path) -> None:
    (first, one), (_, other) = worker(tmp_path, "1", 3.0), worker(tmp_path, "2", 4.0)
    assert 'titleholder_requests_total{route="/v1",status="200"} 2.0' in one.tell().decode()
    one.leave()
    other.leave()
    first.requests.of("/v1", "200").add()
    for asked, count in ((one, "5.0"), (other, "4.0")):  # its own are fresh, those of the others a second old
        told = asked.tell().decode()
        assert f'titleholder_requests_total{{route="/v1",status="200"}} {count}' in told
        assert 'titleholder_request_seconds_bucket{le="0.0025",route="/v1"} 2.0' in told
        assert 'titleholder_request_seconds_count{route="/v1"} 2.0' in told
        assert 'titleholder_model_version{use_case="shop"} 4.0' in told
        assert 'titleholder_alias_disagrees{use_case="shop"} NaN' in told


def test_who_tells_nothing_any_more_does_not_count(tmp_path: Path) -> None:
    (_, one), (_, other) = worker(tmp_path, "1", 3.0), worker(tmp_path, "2", 4.0)
    other.leave()
    os.utime(tmp_path / "2.prom", (0, 0))
    assert 'status="200"} 2.0' in one.tell().decode()
    assert not (tmp_path / "2.prom").exists()


def test_a_process_alone_writes_nothing(tmp_path: Path) -> None:
    alone = WorkerMetrics(tmp_path / "workers", CollectorRegistry())
    alone.start()
    alone.stop()
    assert not (tmp_path / "workers").exists()

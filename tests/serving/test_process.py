"""The endpoint as a process under load: swaps without failures, and a prediction log that survives a kill."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from serving.telemetry.prediction_writer import WRITE_SECONDS
from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.io.storage import frame_writer
from tasks.models.platt import Calibration
from tasks.models.prior import PriorModel
from tasks.models.smoke_test import count_scores
from tests.ports import free_port
from tests.serving import two_segment_shop, unpickling_audit
from tests.serving.constant_models import FailsAfterSmokeTest, TinyRanker
from tests.serving.installation import ROW_COLUMNS, Installation

pytestmark = pytest.mark.servers

ROOT = Path(__file__).parents[2]


@dataclass
class Process:
    """A running endpoint."""

    popen: subprocess.Popen[bytes]
    port: int

    def get(self, path: str) -> tuple[int, Any]:
        return send_request(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10), "GET", path)

    def post(self, path: str, document: object) -> tuple[int, Any]:
        return send_request(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10), "POST", path, document)


def send_request(connection: http.client.HTTPConnection, method: str, path: str, document: object = None) -> tuple[int, Any]:
    """Status and JSON of one request."""
    body = None if document is None else json.dumps(document)
    connection.request(method, path, body, {"content-type": "application/json"} if body else {})
    response = connection.getresponse()
    return response.status, json.loads(response.read())


@contextmanager
def started(
    installation: Installation, log: Path, app: str = "tests.serving.constant_models:create_tiny_app"
) -> Iterator[Process]:
    """Starts uvicorn in a process of its own, waits until it is ready, and kills it at the end."""
    port = free_port()
    environment = {**os.environ, "TITLEHOLDER_ENDPOINT_POLL_SECONDS": "0.05"}
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--factory",
        app,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--no-access-log",
        "--http",
        "serving.http.protocol:TimeoutProtocol",
        "--no-server-header",
    ]
    with log.open("wb") as stream:
        popen = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )
    process = Process(popen, port)
    try:
        deadline = time.monotonic() + 240  # for a busy machine
        while True:
            try:
                if process.get("/readyz")[0] == 200:
                    break
            except OSError:
                pass
            assert popen.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(popen.pid, signal.SIGKILL)  # with its workers
        popen.wait(10)


@dataclass
class Client(threading.Thread):
    """Sends requests without pause on one connection, and keeps answers and failures."""

    port: int
    stop: threading.Event
    many: bool
    answers: list[dict[str, Any]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        while not self.stop.is_set():
            try:
                if self.many:
                    users = {"users": [f"u{n}" for n in range(30)], "k": 3}
                    status, answer = send_request(connection, "POST", "/v1/shop/recommendations", users)
                else:
                    status, answer = send_request(connection, "GET", "/v1/shop/recommendations/u1?k=3")
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.failures.append(repr(error))
                return
            if status == 200:
                self.answers.append(answer)
                self.times.append(time.monotonic())
            else:
                self.failures.append(f"{status}: {answer}")


def start_load(port: int, clients: int) -> tuple[list[Client], threading.Event]:
    """Running clients, half of which send batches, and the event that stops them."""
    stop = threading.Event()
    running = [Client(port, stop, many=bool(n % 2)) for n in range(clients)]
    for client in running:
        client.start()
    return running, stop


def lists_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The recommendations in an answer for one user or for many."""
    found: list[dict[str, Any]] = answer.get("recommendations", [answer])
    return found


def await_model(process: Process, key: str, value: object) -> None:
    """Wait until the model route of the shop reports `value` under `key`."""
    deadline = time.monotonic() + 30
    while process.get("/v1/shop/model")[1][key] != value:
        assert time.monotonic() < deadline, process.get("/readyz")
        time.sleep(0.05)


def test_five_swaps_under_load_drop_and_mix_no_answer(cached: Installation, tmp_path: Path) -> None:
    marks = {cached.publish_features("shop", prefix="a").version: "a"}
    cached.register_and_promote("shop", TinyRanker(1.0))
    waiting = [cached.register("shop", TinyRanker(float(version))) for version in (2, 3, 4, 5)]
    digests = {1: cached.ledger.head("shop").manifest_digest, **dict(waiting)}  # type: ignore[union-attr]
    with started(cached, tmp_path / "endpoint.log") as process:
        clients, stop = start_load(process.port, 6)
        time.sleep(0.5)
        for place, (version, digest) in enumerate(waiting):
            cached.promote("shop", version, digest, alias=False)
            await_model(process, "version", version)
            if place == 1:  # the fifth swap: newer features
                newer = cached.publish_features("shop", day="2011-01-02", prefix="b").version
                marks[newer] = "b"
                await_model(process, "features_version", newer)
            time.sleep(0.3)
        stop.set()
        for client in clients:
            client.join(15)
        assert [failure for client in clients for failure in client.failures] == []
        answers = [answer for client in clients for answer in client.answers]
        assert {answer["model_version"] for answer in answers} == {1, 2, 3, 4, 5}
        assert {answer["features_version"] for answer in answers} == set(marks)
        for answer in answers:
            assert answer["manifest_digest"] == digests[answer["model_version"]]
            for given in lists_of(answer):
                assert {item["score"] // 1000 for item in given["items"]} == {answer["model_version"]}
                assert {item["item_id"][0] for item in given["items"]} == {marks[answer["features_version"]]}
        for client in clients:  # a client never sees an older model again
            versions = [answer["model_version"] for answer in client.answers]
            assert versions == sorted(versions)
        stopped = time.monotonic()
        process.popen.send_signal(signal.SIGTERM)
        assert process.popen.wait(10) in {0, -signal.SIGTERM}
        assert time.monotonic() - stopped < 5


def test_log_contains_acknowledged_answers_after_a_kill(cached: Installation, tmp_path: Path) -> None:
    cached.publish_features("shop")
    cached.register_and_promote("shop", TinyRanker(1.0))
    with started(cached, tmp_path / "endpoint.log") as process:
        clients, _ = start_load(process.port, 6)
        time.sleep(1.5)
        process.popen.kill()
        process.popen.wait(10)
        for client in clients:
            client.join(15)
    assert all(len(client.failures) == 1 for client in clients), "the kill reached every client"
    acknowledged = {r["prediction_id"]: r for client in clients for a in client.answers for r in lists_of(a)}
    lines = [
        line
        for path in (cached.settings.predictions_root / "shop" / "online").glob("*.jsonl")
        for line in path.read_bytes().split(b"\n")
    ]
    logged: dict[str, Any] = {}
    for line in lines:  # without the project's reader
        try:
            document = json.loads(line)
        except ValueError:
            continue  # torn by the kill, or empty at the end
        assert document["prediction_id"] not in logged
        logged[document["prediction_id"]] = document
    assert len(acknowledged) > 100
    lost = set(acknowledged) - set(logged)
    latest = max(at for client in clients for at in client.times)
    late = {
        r["prediction_id"]
        for client in clients
        for a, at in zip(client.answers, client.times, strict=True)
        for r in lists_of(a)
        if at > latest - 10 * WRITE_SECONDS
    }
    assert lost <= late, "only answers of the last moment are lost"
    for prediction_id, given in acknowledged.items():
        if prediction_id in lost:
            continue
        assert logged[prediction_id]["subject"] == given["user_id"]
        assert logged[prediction_id]["items"] == [item["item_id"] for item in given["items"]]
        assert logged[prediction_id]["scores"] == [item["score"] for item in given["items"]]
    assert len(set(acknowledged) - lost) > 100, "most answers are older than the last moment"
    in_flight = sum(30 if client.many else 1 for client in clients)
    assert len(set(logged) - set(acknowledged)) <= in_flight, "logged, but the answer was cut off by the kill"


def test_two_workers_follow_the_ledger_and_sum_metrics(
    cached: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "2")
    cached.publish_features("shop")
    cached.register_and_promote("shop", TinyRanker(1.0))
    with started(cached, tmp_path / "endpoint.log") as process:

        def wait_for_both(version: int) -> None:
            """Wait for twenty answers in a row by one version, each on a new connection."""
            deadline, row = time.monotonic() + 60, 0
            while row < 20:
                status, answer = process.get("/v1/shop/recommendations/u1")
                statuses.append(status)
                row = row + 1 if status == 200 and answer["model_version"] == version else 0
                assert time.monotonic() < deadline

        statuses: list[int] = []
        wait_for_both(1)
        cached.register_and_promote("shop", TinyRanker(2.0))
        wait_for_both(2)
        time.sleep(2.5)  # each worker writes its metrics for the other once a second
        for _ in range(8):
            with urllib.request.urlopen(f"http://127.0.0.1:{process.port}/metrics", timeout=30) as response:
                exported = response.read().decode().splitlines()
            lines = [line for line in exported if line.startswith("titleholder_answers_total")]
            assert sum(float(line.split()[-1]) for line in lines if 'outcome="answered"' in line) == statuses.count(200)
        names = {path.stem for path in (cached.settings.home / "endpoint" / "workers").glob("*.prom")}
        assert len(names) == 2


def test_endpoint_process_never_unpickles(cached: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From start to end: all answer paths, a promotion, a refused model, newer features, a rollback."""
    record = tmp_path / "unpickled"
    monkeypatch.setenv(unpickling_audit.AUDIT_FILE, str(record))
    tables = {name: frame_writer(frame) for name, frame in two_segment_shop.tables().items()}
    cached.storage.publish(use_case="shop", layer=c.FEATURES, partition="2026-01-01", tables=tables)
    first = cached.register_and_promote("shop", two_segment_shop.model())
    cached.register_and_promote("tumours", PriorModel(0.3), TaskKind.CLASSIFICATION)
    with started(cached, tmp_path / "endpoint.log", "tests.serving.unpickling_audit:create_audited_app") as process:

        def request_everything() -> None:
            purchase = {
                "event_id": uuid4().hex,
                "user_id": "new",
                "item_id": "a0",
                "event_type": "purchase",
                "event_at": datetime.now(UTC).isoformat(),
            }
            assert process.post("/v1/shop/events", {"events": [purchase]})[0] == 200
            status, given = process.post("/v1/shop/recommendations", {"users": ["a0", "new", *map(str, range(20))]})
            assert status == 200
            assert {one["path"] for one in given["recommendations"]} == {"model", "fold_in", "popular"}
            outcome = {"prediction_id": given["recommendations"][0]["prediction_id"], "item_id": "a0", "label": 1}
            outcomes = [{**outcome, "happened_at": datetime.now(UTC).isoformat()}]
            assert process.post("/v1/shop/outcomes", {"outcomes": outcomes})[0] == 200
            assert process.post("/v1/shop/session-recommendations", {"items": ["a0"]})[0] == 200
            assert process.get("/v1/shop/similar-items/a0")[0] == 200
            assert process.post("/v1/tumours/predictions", {"rows": [dict.fromkeys(ROW_COLUMNS, 1.0)]})[0] == 200
            assert process.get("/readyz")[0] == 200

        request_everything()
        second = two_segment_shop.model()
        second.calibration = Calibration(1.0, 0.0)
        await_model(process, "sequence", cached.register_and_promote("shop", second).sequence)
        request_everything()
        cached.promote("shop", 9, "f" * 64)  # a model that does not exist
        newer = cached.storage.publish(use_case="shop", layer=c.FEATURES, partition="2026-01-02", tables=tables)
        back = cached.promote("shop", first.version, first.manifest_digest)
        await_model(process, "sequence", back.sequence)
        await_model(process, "features_version", newer.version)
        request_everything()
        process.popen.send_signal(signal.SIGTERM)
        process.popen.wait(10)
    lines = record.read_text().splitlines()
    assert lines[0] == unpickling_audit.SELF_TEST, "the hook detects an unpickling"
    assert lines[1:] == []


def test_champion_that_fails_in_bake_period_is_rolled_back(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bake period reads the endpoint's metrics over HTTP and rolls back, and the endpoint serves the old version again."""
    from tasks.contracts.promotion import Trust
    from tasks.io.endpoint import served_figures
    from tasks.models import SERVED
    from tasks.settings import get_settings
    from tasks.stages.registry import BakePolicy, rollback, watch_bake

    for kind in (TinyRanker, FailsAfterSmokeTest):
        monkeypatch.setitem(SERVED, kind.kind, kind)
    policy = BakePolicy(minutes=30, min_answers=20)
    installation.publish_features("shop")
    first = installation.register_and_promote("shop", TinyRanker(0.001))
    with started(installation, tmp_path / "endpoint.log") as process:
        monkeypatch.setenv("TITLEHOLDER_ENDPOINT_URL", f"http://127.0.0.1:{process.port}")
        get_settings.cache_clear()

        def watch(sequence: int, minutes: float) -> tuple[str, str]:
            head = installation.ledger.head("shop")
            assert head is not None
            judged = watch_bake("shop", sequence, policy, [], installation.ledger, head.at + timedelta(minutes=minutes))
            return judged.state, judged.reason

        assert watch(1, 1)[0] == "watching"
        for _ in range(30):
            assert process.get("/v1/shop/recommendations/u1")[0] == 200
        assert process.get("/v1/shop/recommendations/unknown")[0] == 200
        state, reason = watch(1, 31)
        assert (state, "31 requests, 0.00% failed" in reason) == ("held", True)
        figures = served_figures("shop", 1)
        assert (figures.answered, figures.failed, figures.latency[-1][1]) == (31, 0, 31)
        assert figures.scores == tuple(count_scores(np.full(30, 5.0))), "of the known users: 1000 * 0.001 + position 4"
        bad = installation.register_and_promote("shop", FailsAfterSmokeTest(0.002))
        await_model(process, "version", bad.version)
        for _ in range(10):
            assert process.get("/v1/shop/recommendations/u0")[0] == 200
            assert process.get("/v1/shop/recommendations/u1")[0] == 500
        state, reason = watch(2, 1)
        assert (state, "50.00% of 20 requests failed" in reason) == ("violated", True)
        back = rollback("shop", "policy:bake", reason, "bake", installation.ledger, trust=Trust.POLICY, of_version=bad.version)
        assert (back.version, back.trust) == (first.version, Trust.POLICY)
        await_model(process, "sequence", back.sequence)
        assert process.get("/v1/shop/recommendations/u1")[0] == 200
        assert watch(2, 1) == ("ended", "the champion changed meanwhile: it is version 1 by policy:bake")


@pytest.mark.parametrize("announced", [True, False])
def test_body_of_100_mb_is_refused_without_buffering(cached: Installation, tmp_path: Path, announced: bool) -> None:
    import psutil

    cached.publish_features("shop")
    cached.register_and_promote("shop", TinyRanker(1.0))
    with started(cached, tmp_path / "endpoint.log") as process:
        assert process.get("/v1/shop/recommendations/u1")[0] == 200  # what the first answers import is no part of the body
        before = psutil.Process(process.popen.pid).memory_info().rss
        connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=30)
        chunk = b"x" * 65536
        chunks = (chunk for _ in range(100 * 2**20 // len(chunk)))
        headers = {"content-type": "application/json"}
        if announced:
            headers["content-length"] = str(100 * 2**20)
        with contextlib.suppress(ConnectionError):  # on a busy machine, sending takes longer than the limit for a body
            connection.request("POST", "/v1/shop/recommendations", chunks, headers, encode_chunked=not announced)
            response = connection.getresponse()
            assert response.status == 413
            assert json.loads(response.read())["title"]
        with urllib.request.urlopen(f"http://127.0.0.1:{process.port}/metrics", timeout=30) as response:
            assert 'route="/v1/{use_case}/recommendations",status="413"' in response.read().decode()
        assert psutil.Process(process.popen.pid).memory_info().rss - before < 30 * 2**20
        assert process.get("/v1/shop/recommendations/u1")[0] == 200

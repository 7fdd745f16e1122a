"""The watch service: authentication, the runs that alerts trigger, metrics, notifications and the page."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from tasks import clock
from tasks.contracts.base import Window
from tasks.contracts.monitoring import Cause, CheckResult, DriftReport, RetrainDecision, Signal
from tasks.io.decisions import DecisionLog
from tasks.settings import Settings, get_settings
from tests.titleholder.airflow_stand_in import CASE, Airflow
from titleholder.watch import create_app

TOKEN = "a-secret"
SIGNED_IN = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def airflow() -> Iterator[Airflow]:
    server = Airflow()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def messages() -> Iterator[list[dict[str, Any]]]:
    """The messages that a real receiver of apprise's JSON notifications got."""
    received: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TITLEHOLDER_NOTIFY_URLS", json.dumps([f"json://127.0.0.1:{server.server_address[1]}"]))
        get_settings.cache_clear()
        yield received
    server.shutdown()
    server.server_close()


@pytest.fixture
def settings(own_home: Any, airflow: Airflow, messages: list[dict[str, Any]]) -> Settings:
    return get_settings().model_copy(update={"airflow_url": airflow.url, "webhook_token": TOKEN})


@pytest.fixture
def client(settings: Settings) -> TestClient:
    return TestClient(create_app(settings))


def webhook(*alerts: dict[str, Any]) -> dict[str, Any]:
    return {"version": "4", "groupKey": "{}", "status": "firing", "receiver": "watch", "alerts": list(alerts)}


def alert(start: str = "2026-01-01T00:00:00Z", status: str = "firing", **labels: str) -> dict[str, Any]:
    merged = {"alertname": "QualityLost", "use_case": CASE, "action": "retrain", **labels}
    return {
        "status": status,
        "labels": merged,
        "annotations": {"summary": "hit rate fell"},
        "startsAt": start,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": "f",
    }


def test_a_retrain_alert_triggers_monitoring_once(client: TestClient, airflow: Airflow, messages: Any) -> None:
    answers = [client.post("/alerts", json=webhook(alert()), headers=SIGNED_IN).json() for _ in range(3)]
    assert [one["triggered"] for one in answers] == [1, 0, 0] and [one["known"] for one in answers] == [0, 1, 1]
    ((name, run),) = airflow.runs.items()
    assert run["path"] == f"/api/v2/dags/{CASE}.monitoring/dagRuns" and name == f"alert__{run['conf']['key']}"
    assert run["conf"] == {
        "asked_by": "alert QualityLost",
        "cause": "alert",
        "reason": "hit rate fell",
        "key": run["conf"]["key"],
    }
    assert client.post("/alerts", json=webhook(alert("2026-01-05T00:00:00Z")), headers=SIGNED_IN).json()["triggered"] == 1
    assert len(airflow.runs) == 2, "it fired again, days later"
    assert len(messages) == 2


def test_repeated_and_forged_webhooks_trigger_one_run(settings: Settings, airflow: Airflow) -> None:
    """Also with several receivers at once, because Alertmanager may run as a pair."""
    clients = [TestClient(create_app(settings)) for _ in range(4)]
    forged = [{}, {"Authorization": "Bearer "}, {"Authorization": "Bearer a-secreT"}, {"Authorization": TOKEN[:-1]}]

    def send(place: int) -> int:
        headers = forged[place % 4] if place % 3 == 0 else SIGNED_IN
        start = (
            "2026-02-01T00:00:00Z" if place % 3 == 0 else "2026-01-01T01:00:00+01:00" if place % 2 else "2026-01-01T00:00:00Z"
        )
        return int(clients[place % 4].post("/alerts", json=webhook(alert(start)), headers=headers).status_code)

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(send, range(100)))
    assert [code == 401 for code in codes] == [place % 3 == 0 for place in range(100)]
    assert len(airflow.runs) == 1


def test_other_alerts_notify_people_once(client: TestClient, airflow: Airflow, messages: list[dict[str, Any]]) -> None:
    page = alert(action="", severity="page")
    unknown = alert(use_case="unknown_case")
    for _ in range(2):
        assert (
            client.post("/alerts", json=webhook(page, unknown, alert(status="resolved")), headers=SIGNED_IN).status_code == 200
        )
    assert airflow.runs == {}
    assert [(one["title"], one["message"], one["type"]) for one in messages] == [
        (f"QualityLost {CASE}", "hit rate fell", "failure"),
        ("QualityLost unknown_case", "hit rate fell", "warning"),
    ]


def test_an_alert_is_not_lost_while_nobody_is_reached(
    client: TestClient, messages: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = webhook(alert(action="", severity="page"))
    with monkeypatch.context() as patch:
        patch.setenv("TITLEHOLDER_NOTIFY_URLS", '["json://127.0.0.1:1"]')
        get_settings.cache_clear()
        answer = client.post("/alerts", json=page, headers=SIGNED_IN)
        assert answer.status_code == 503 and "nobody was reached about QualityLost" in answer.json()["title"]
    get_settings.cache_clear()
    assert client.post("/alerts", json=page, headers=SIGNED_IN).json()["notified"] == 1
    assert client.post("/alerts", json=page, headers=SIGNED_IN).json()["known"] == 1
    assert len(messages) == 1


def test_people_are_reminded_of_an_alert_once_a_day(client: TestClient, messages: list[dict[str, Any]]) -> None:
    page = webhook(alert(action="", severity="page"))
    for day in (1, 2, 3):
        for hour in (0, 12):
            with clock.simulated(datetime(2026, 1, day, hour, tzinfo=UTC)):
                assert client.post("/alerts", json=page, headers=SIGNED_IN).status_code == 200
    assert len(messages) == 3


def test_an_alert_is_not_lost_while_airflow_is_down(client: TestClient, airflow: Airflow) -> None:
    airflow.is_down = True
    assert client.post("/alerts", json=webhook(alert()), headers=SIGNED_IN).status_code == 503
    airflow.is_down = False
    assert client.post("/alerts", json=webhook(alert()), headers=SIGNED_IN).json()["triggered"] == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"[]", 422),
        (b"{", 422),
        (b'{"alerts": [{}]}', 422),
        (b'{"alerts": []}', 200),
        (json.dumps(webhook(alert(start="never"))).encode(), 422),
        (b'{"alerts": "' + b"x" * 2_000_000 + b'"}', 413),
    ],
)
def test_odd_webhooks_are_refused(client: TestClient, body: bytes, status: int) -> None:
    assert client.post("/alerts", content=body, headers=SIGNED_IN).status_code == status


def test_without_a_token_every_webhook_is_refused(settings: Settings) -> None:
    closed = TestClient(create_app(settings.model_copy(update={"webhook_token": ""})))
    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": ""}):
        assert closed.post("/alerts", json=webhook(alert()), headers=headers).status_code == 401


def record_two_weeks(settings: Settings) -> None:
    """Record one week without violations and one with broken data."""
    log = DecisionLog(settings.ledger_url)
    for week, cause in ((1, Cause.NONE), (8, Cause.FAULT)):
        window = Window(start=date(2026, 1, week), end=date(2026, 1, week + 7))
        check = CheckResult(
            check="unit_change",
            column="unit_price",
            method="rescaled_by",
            value=float(week),
            threshold=1.5,
            violated=cause is Cause.FAULT,
            signal=Signal.FAULT,
        )
        log.record_report(
            DriftReport(
                use_case=CASE,
                window=window,
                reference="",
                current_rows=1,
                reference_rows=1,
                checks=(check,),
                violated=check.violated,
                report_uri="http://mlflow/x",
                run_id="r",
                evidence=str(week),
                figures={"hit_rate": 0.3},
            )
        )
        log.record_decision(
            RetrainDecision(
                use_case=CASE,
                window=window,
                retrain=False,
                cause=cause,
                reason="<b>pence</b>",
                violations=0,
                considered_windows=1,
                idempotency_key=str(week),
                alert=cause is Cause.FAULT,
            )
        )


def test_prometheus_gets_all_figures(settings: Settings, client: TestClient) -> None:
    record_two_weeks(settings)
    text = client.get("/metrics").text
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    case = ("use_case", CASE)
    assert found["titleholder_data_fault", case] == 1 and found["titleholder_airflow_up",] == 1
    assert found["titleholder_figure", ("name", "hit_rate"), case] == 0.3
    assert found["titleholder_decisions", ("cause", "fault"), case] == 1
    labels = (("check", "unit_change"), ("column", "unit_price"), ("method", "rescaled_by"), ("signal", "fault"), case)
    assert (found["titleholder_check_value", *labels], found["titleholder_check_violated", *labels]) == (8, 1)
    dag = ("dag_id", f"{CASE}.training")
    assert found["titleholder_dag_failed", dag] == 1
    assert found["titleholder_dag_success_timestamp_seconds", dag] == datetime(2025, 12, 31, tzinfo=UTC).timestamp()


def test_figures_are_exported_while_airflow_is_down(settings: Settings) -> None:
    alone = TestClient(create_app(settings.model_copy(update={"airflow_url": "http://127.0.0.1:1"})))
    assert "titleholder_airflow_up 0.0" in alone.get("/metrics").text


def test_the_page_shows_the_same_without_grafana(settings: Settings, client: TestClient) -> None:
    assert "No retraining decision yet" in client.get("/").text
    record_two_weeks(settings)
    page = client.get("/").text
    assert "&lt;b&gt;pence&lt;/b&gt;" in page and "<b>pence" not in page
    assert f'<img src="/history/{CASE}.svg"' in page and "Champion: none yet." in page
    picture = client.get(f"/history/{CASE}.svg")
    assert picture.headers["content-type"] == "image/svg+xml" and b"<svg" in picture.content
    assert client.get("/history/unknown_case.svg").status_code == 404

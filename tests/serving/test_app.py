"""The routes of the endpoint: answers, errors, readiness, metrics."""

from __future__ import annotations

import json

import jsonschema
import pytest
from fastapi.testclient import TestClient

from serving.http.gateway import MAX_BODY
from serving.telemetry import prediction_writer
from tasks.contracts.base import TaskKind
from tests.serving.conftest import Serve, logged, poll_ledger
from tests.serving.constant_models import TinyClassifier, TinyRanker, TinyRater
from tests.serving.installation import Installation

JSON = {"content-type": "application/json"}


def check_problem(response: object, status: int) -> dict[str, object]:
    """The problem document of a response, after checking its form."""
    assert response.status_code == status, response.text  # type: ignore[attr-defined]
    assert response.headers["content-type"] == "application/problem+json"  # type: ignore[attr-defined]
    document: dict[str, object] = response.json()  # type: ignore[attr-defined]
    assert document["status"] == status
    assert {"type", "title", "status", "detail"} <= set(document)
    assert len(response.content) < 10_000  # type: ignore[attr-defined]
    return document


@pytest.fixture
def installation(cached: Installation) -> Installation:
    """These tests need no MLflow."""
    return cached


@pytest.fixture
def shop(installation: Installation, serve: Serve) -> TestClient:
    """A recommender in service, version 1, mark 1."""
    installation.publish_features("shop")
    installation.register_and_promote("shop", TinyRanker(1.0))
    with serve() as client:
        return client


def test_recommends_to_a_known_user(shop: TestClient, installation: Installation) -> None:
    answer = shop.get("/v1/shop/recommendations/u1").json()
    assert [item["item_id"] for item in answer["items"]] == ["i4", "i3", "i2"]
    assert [item["score"] for item in answer["items"]] == [1004.0, 1003.0, 1002.0]
    assert [item["rank"] for item in answer["items"]] == [1, 2, 3]
    assert answer["path"] == "model"
    assert answer["model_version"] == 1
    head = installation.ledger.head("shop")
    newest = installation.storage.newest("shop", "features")
    assert head is not None
    assert newest is not None
    assert answer["manifest_digest"] == head.manifest_digest
    assert answer["features_version"] == newest.version


def test_unknown_user_gets_popular_items(shop: TestClient) -> None:
    answer = shop.get("/v1/shop/recommendations/never%20seen/slash%2Fed").json()
    assert answer["path"] == "popular"
    assert answer["user_id"] == "never seen/slash/ed"
    assert len(answer["items"]) == 3


def test_log_contains_every_answer_unchanged(shop: TestClient, installation: Installation) -> None:
    one = shop.get("/v1/shop/recommendations/u1?k=2").json()
    many = shop.post("/v1/shop/recommendations", json={"users": [f"u{n}" for n in range(20)], "k": 1}).json()
    assert [r["user_id"] for r in many["recommendations"]] == [f"u{n}" for n in range(20)]
    kept = {p.prediction_id: p for p in logged(shop, "shop")}
    assert set(kept) == {one["prediction_id"], *(r["prediction_id"] for r in many["recommendations"])}
    found = kept[one["prediction_id"]]
    assert (found.subject, found.items, found.scores) == ("u1", ("i4", "i3"), (1004.0, 1003.0))
    assert (found.channel, found.model_version, found.path) == ("online", 1, "model")
    assert found.manifest_digest == one["manifest_digest"]
    assert found.features_version == one["features_version"]


def test_answers_continue_while_the_log_cannot_be_written(shop: TestClient, installation: Installation) -> None:
    root = installation.settings.predictions_root
    root.parent.mkdir(parents=True, exist_ok=True)
    root.write_text("a file where the folder should be")
    first = shop.get("/v1/shop/recommendations/u1")
    assert first.status_code == 200
    shop.app.state.writer.flush()  # type: ignore[attr-defined]
    assert "the prediction log cannot be written" in shop.get("/readyz").json()["log"]
    metrics = shop.get("/metrics").text
    assert "titleholder_prediction_log_failures_total 1.0" in metrics
    assert "titleholder_prediction_log_waiting 1.0" in metrics
    root.unlink()
    second = shop.get("/v1/shop/recommendations/u2")
    ids = [one.prediction_id for one in logged(shop, "shop")]
    assert ids == [first.json()["prediction_id"], second.json()["prediction_id"]], "the queued rows are written once"
    assert shop.get("/readyz").json()["log"] == ""
    assert "titleholder_prediction_log_waiting 0.0" in shop.get("/metrics").text


def test_a_full_queue_drops_rows_and_counts_them(
    shop: TestClient, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_writer, "QUEUE_ROWS", 3)
    answers = [shop.get("/v1/shop/recommendations/u1").json()["prediction_id"] for _ in range(5)]
    assert "titleholder_prediction_log_dropped_total 2.0" in shop.get("/metrics").text
    assert [one.prediction_id for one in logged(shop, "shop")] == answers[:3]
    shop.get("/v1/shop/recommendations/u1")
    assert len(logged(shop, "shop")) == 4, "the queue accepts rows again"


def test_classifies_rows(installation: Installation, serve: Serve) -> None:
    installation.register_and_promote("tumours", TinyClassifier(0.0), TaskKind.CLASSIFICATION)
    with serve() as client:
        rows = [{"mean radius": 0, "mean texture": 0}, {"mean texture": 100.0, "mean radius": 1.5}]
        answer = client.post("/v1/tumours/predictions", json={"rows": rows, "row_ids": ["a", "b"]}).json()
        assert [p["row_id"] for p in answer["predictions"]] == ["a", "b"]
        assert answer["predictions"][0]["probability"] == 0.5
        assert answer["predictions"][1]["probability"] > 0.999
        assert answer["features_version"] == "request"
        assert next((p.subject, p.scores) for p in logged(client, "tumours")) == ("a", (0.5,))

        wrong = {"rows": [{"mean radius": 1.0, "colour": 2.0}]}
        document = check_problem(client.post("/v1/tumours/predictions", json=wrong), 422)
        assert "missing columns: mean texture" in json.dumps(document)
        assert "unknown columns: colour" in json.dumps(document)
        for value in ("NaN", "Infinity", "-Infinity", "1e999", "true", '"one"', "1" + "0" * 400):
            body = '{"rows": [{"mean radius": %s, "mean texture": 1.0}]}' % value  # noqa: UP031
            document = check_problem(client.post("/v1/tumours/predictions", content=body, headers=JSON), 422)
            assert "body.rows.0.mean radius" in json.dumps(document)
        as_text = client.post("/v1/tumours/predictions", json={"rows": [{"mean radius": " 0.0", "mean texture": "0"}]}).json()
        assert as_text["predictions"][0]["probability"] == 0.5, "a number as files have it"
        huge = {"rows": [{"mean radius": 1e308, "mean texture": 1e308}]}
        document = check_problem(client.post("/v1/tumours/predictions", json=huge), 422)
        assert "rows.0" in json.dumps(document)
        check_problem(client.post("/v1/tumours/predictions", json={"pairs": [{"user_id": "a", "item_id": "b"}]}), 422)
        check_problem(client.post("/v1/tumours/predictions", json={"rows": rows, "row_ids": ["one"]}), 422)
        document = check_problem(client.get("/v1/tumours/recommendations/u1"), 409)
        assert "/v1/tumours/predictions" in str(document["detail"])


def test_rates_pairs(installation: Installation, serve: Serve) -> None:
    installation.publish_features("films")
    installation.register_and_promote("films", TinyRater(3.5), TaskKind.RATING, exclude_seen=True)
    with serve() as client:
        pairs = [{"user_id": "u0", "item_id": "i1"}, {"user_id": "unknown", "item_id": "unknown"}]
        answer = client.post("/v1/films/predictions", json={"pairs": pairs}).json()
        assert [p["rating"] for p in answer["predictions"]] == [3.5, 3.5]
        assert [p["user_id"] for p in answer["predictions"]] == ["u0", "unknown"]
        assert "i0" not in json.dumps(client.get("/v1/films/recommendations/u0?k=100").json()["items"])
        check_problem(client.post("/v1/films/predictions", json={"rows": [{"a": 1.0}]}), 422)


def test_ranking_use_case_refuses_predictions(shop: TestClient) -> None:
    document = check_problem(shop.post("/v1/shop/predictions", json={"pairs": [{"user_id": "a", "item_id": "b"}]}), 409)
    assert "/v1/shop/recommendations" in str(document["detail"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b'"text"',
        b"\xff\xfe",
        b'{"users": []}',
        b'{"users": [1]}',
        b'{"users": [""]}',
        b'{"users": ["\\ud800"]}',
        b'{"users": ["u1"], "k": NaN}',
        b'{"users": ["u1"], "k": Infinity}',
        b'{"users": ["u1"], "k": 1e999}',
        b'{"users": ["u1"], "k": -1}',
        b'{"users": ["u1"], "k": 0}',
        b'{"users": ["u1"], "k": 1000000000}',
        b'{"users": ["u1"], "k": 1.5}',
        b'{"users": ["u1"], "why": 1}',
        b'{"users": ["u1"], "\\ud800": 1}',
        b'{"users": "u1"}',
        b"[" * 100_000,
        b'{"k": ' + b"9" * 5000 + b"}",
        b'{"users": ["' + b"x" * 300 + b'"]}',
        json.dumps({"users": ["u"] * 1001}).encode(),
        json.dumps({"users": ["u"] * 1000, "k": 1000}).encode(),
    ],
)
def test_invalid_bodies_are_refused_and_not_echoed(shop: TestClient, installation: Installation, body: bytes) -> None:
    response = shop.post("/v1/shop/recommendations", content=body, headers=JSON)
    assert 400 <= response.status_code < 500
    check_problem(response, response.status_code)
    assert not logged(shop, "shop")


@pytest.mark.parametrize("k", ["-1", "0", "1000000000", "NaN", "1.5", "x", ""])
def test_invalid_k_is_refused(shop: TestClient, k: str) -> None:
    document = check_problem(shop.get(f"/v1/shop/recommendations/u1?k={k}"), 422)
    assert "query.k" in json.dumps(document)


def test_large_invalid_body_is_not_echoed(shop: TestClient) -> None:
    text = "x" * (MAX_BODY - 100)
    response = shop.post("/v1/shop/recommendations", json={"users": text})
    check_problem(response, 422)
    check_problem(shop.post("/v1/shop/recommendations", json={text: 1}), 422)


def test_bodies_above_the_limit_are_refused(shop: TestClient) -> None:
    check_problem(shop.post("/v1/shop/recommendations", content=b"x" * (MAX_BODY + 1), headers=JSON), 413)
    chunks = (b"x" * 65536 for _ in range(17))  # no Content-Length
    check_problem(shop.post("/v1/shop/recommendations", content=chunks, headers=JSON), 413)
    assert 'route="/v1/{use_case}/recommendations",status="413"' in shop.get("/metrics").text


def test_unknown_routes_and_use_cases_are_refused(shop: TestClient) -> None:
    document = check_problem(shop.get("/v1/shoes/recommendations/u1"), 404)
    assert "use cases with one: shop" in str(document["detail"])
    check_problem(shop.get("/v1/%ED%A0%80<script>/model"), 404)
    check_problem(shop.get("/nowhere"), 404)
    check_problem(shop.delete("/v1/shop/model"), 405)


def test_model_route_reports_the_promotion(shop: TestClient, installation: Installation) -> None:
    model = shop.get("/v1/shop/model").json()
    head = installation.ledger.head("shop")
    assert head is not None
    assert (model["version"], model["kind"], model["by"], model["sequence"]) == (1, "tiny_ranker", "a tester", 1)
    assert model["manifest_digest"] == head.manifest_digest
    assert model["data_digest"] == "d" * 64
    assert model["since"].startswith(head.at.isoformat()[:19])
    assert shop.get("/v1/use-cases").json()["use_cases"][0]["use_case"] == "shop"
    page = shop.get("/").text
    assert "shop" in page
    assert "tiny_ranker" in page
    assert "://" not in page and "src=" not in page and "<script" not in page, "nothing is loaded from elsewhere"


def test_readiness_before_and_after_the_first_champion(installation: Installation, serve: Serve) -> None:
    with serve() as client:
        assert client.get("/healthz").status_code == 200
        unready = client.get("/readyz")
        assert unready.status_code == 503
        assert "no use case has a champion yet" in unready.json()["reason"]
        check_problem(client.get("/v1/shop/model"), 404)
        installation.register_and_promote("shop", TinyRanker(1.0))
        poll_ledger(client)  # without features
        unready = client.get("/readyz")
        assert unready.status_code == 503
        assert "shop.features" in unready.json()["use_cases"]["shop"]["last_error"]
        check_problem(client.get("/v1/shop/model"), 503)
        installation.publish_features("shop")
        poll_ledger(client)
        ready = client.get("/readyz")
        assert ready.status_code == 200
        assert ready.json()["use_cases"]["shop"]["current"]


def test_metrics_count_answers_by_path(shop: TestClient) -> None:
    shop.get("/v1/shop/recommendations/u1")
    shop.get("/v1/shop/recommendations/unknown")
    text = shop.get("/metrics").text
    assert 'titleholder_predictions_total{path="model",use_case="shop"} 1.0' in text
    assert 'titleholder_predictions_total{path="popular",use_case="shop"} 1.0' in text
    route = 'route="/v1/{use_case}/recommendations/{user_id}"'
    assert f'titleholder_requests_total{{{route},status="200"}} 2.0' in text
    assert 'titleholder_model_version{use_case="shop"} 1.0' in text


def test_openapi_examples_are_valid(shop: TestClient) -> None:
    document = shop.get("/openapi.json").json()
    assert {"/v1/{use_case}/predictions", "/v1/{use_case}/recommendations", "/readyz"} <= set(document["paths"])
    for path, methods in document["paths"].items():
        if "post" in methods and "training" not in path:
            content = methods["post"]["requestBody"]["content"]["application/json"]
            jsonschema.validate(content["example"], {**content["schema"], "components": document["components"]})

"""The Python client, the OpenAPI document and the endpoint agree."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import httpx
import jsonschema
import pytest
from fastapi.testclient import TestClient

from tests.serving.ranking.test_cold_start import event, shop_client
from titleholder.client import Endpoint, EndpointError

__all__ = ["shop_client"]

OUTCOME = {"prediction_id": "p", "item_id": "a0", "label": 1, "happened_at": datetime(2026, 1, 1, tzinfo=UTC).isoformat()}
CALLS: dict[str, tuple[Any, ...]] = {
    "use_cases": (),
    "model": ("market",),
    "recommend": ("market", "a/1 ?", 3, "A"),
    "recommend_to_many": ("market", ["a1"], 3),
    "recommend_to_session": ("market", ["a0"]),
    "find_similar": ("market", "a0", 2),
    "classify": ("market", [{"x": 1.0}], ["r"]),
    "rate": ("market", [("a1", "a0")]),
    "send_events": ("market", [event("a0", "new")]),
    "send_outcomes": ("market", [OUTCOME]),
    "start_training": ("market", "2026-01-01", ["als"]),
    "follow_training": ("market", "manual__2026-01-01"),
}


class RecordingTransport(httpx.BaseTransport):
    """Keeps the requests, and answers with empty lists."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        return httpx.Response(200, json={"use_cases": [], "predictions": []})


def operation_of(document: dict[str, Any], request: httpx.Request) -> str:
    """The documented operation of a request, after checking its query and body."""
    path = request.url.raw_path.decode().partition("?")[0]
    found = [
        template
        for template in document["paths"]
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and request.method.lower() in document["paths"][template]
    ]
    assert len(found) == 1, (request.method, path)
    operation = document["paths"][found[0]][request.method.lower()]
    allowed = {one["name"] for one in operation.get("parameters", []) if one["in"] == "query"}
    assert set(dict(request.url.params)) <= allowed
    if request.content:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        resolver = {**schema, "components": document["components"]}
        jsonschema.validate(json.loads(request.content), resolver)
    else:
        assert "requestBody" not in operation
    return f"{request.method} {found[0]}"


def test_client_covers_every_documented_operation(shop_client: TestClient) -> None:
    document = shop_client.get("/openapi.json").json()
    recorded = RecordingTransport()
    with Endpoint("http://127.0.0.1", "th_key", transport=recorded) as endpoint:
        for name, arguments in CALLS.items():
            getattr(endpoint, name)(*arguments)
    requested = {operation_of(document, request) for request in recorded.requests}
    offered = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    assert requested == {operation for operation in offered if " /v1/" in operation}, "no operation is left out"
    assert {request.headers["authorization"] for request in recorded.requests} == {"Bearer th_key"}


def test_undocumented_request_is_detected(shop_client: TestClient) -> None:
    document = shop_client.get("/openapi.json").json()
    wrong = httpx.Request("POST", "http://x/v1/market/recommendations", json={"users": ["a1"], "kay": 3})
    with pytest.raises(jsonschema.ValidationError):
        operation_of(document, wrong)


def test_client_returns_answers_and_raises_errors(shop_client: TestClient) -> None:
    with Endpoint("http://127.0.0.1", transport=shop_client._transport) as endpoint:
        assert endpoint.recommend("market", "a1", 1)["items"][0]["item_id"] == "a1"
        many = endpoint.recommend_to_many("market", ["a1", "b1"], 1)["recommendations"]
        assert [one["items"][0]["item_id"] for one in many] == ["a1", "b1"]
        assert endpoint.send_events("market", [event("a0", "new")])["accepted"] == 1
        with pytest.raises(EndpointError, match="use cases with one: market") as raised:
            endpoint.model("shoes")
        assert raised.value.status == 404
        with pytest.raises(EndpointError, match="Airflow does not answer"):
            endpoint.start_training("market")

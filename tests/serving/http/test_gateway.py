"""API keys, scopes, rate limits and security headers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.http.gateway import Buckets
from tasks.errors import ConfigurationError
from tasks.io.api_keys import ApiKeys, Scope
from tasks.settings import get_settings
from tests.serving.conftest import client_of, poll_ledger
from tests.serving.constant_models import KINDS, TinyRanker
from tests.serving.installation import Installation
from tests.serving.test_app import check_problem

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MakeClient = Callable[..., TestClient]


@pytest.fixture
def make_client(cached: Installation, monkeypatch: pytest.MonkeyPatch) -> MakeClient:
    """Makes a client at an address, of an app with changed settings."""

    def make(address: str = "127.0.0.1", **settings: str) -> TestClient:
        for name, value in settings.items():
            monkeypatch.setenv(f"TITLEHOLDER_ENDPOINT_{name.upper()}", value)
        get_settings.cache_clear()
        cached.publish_features("shop")
        cached.register_and_promote("shop", TinyRanker(1.0))
        client = client_of(create_app(get_settings(), KINDS), address)
        poll_ledger(client)
        return client

    return make


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_keys_grant_exactly_their_scopes(make_client: MakeClient, cached: Installation) -> None:
    keys = ApiKeys(cached.settings.ledger_url)
    made = {scope: keys.create(f"a {scope.value} client", frozenset({scope}), NOW) for scope in Scope}
    shop = make_client(address="203.0.113.9", keys="required")
    requests: dict[Scope, Callable[[dict[str, str]], httpx.Response]] = {
        Scope.PREDICT: lambda headers: shop.get("/v1/shop/recommendations/u1", headers=headers),
        Scope.EVENTS: lambda headers: shop.post("/v1/shop/outcomes", json={"outcomes": [outcome()]}, headers=headers),
        Scope.TRAIN: lambda headers: shop.get("/v1/shop/training-runs/none", headers=headers),
    }
    for needed, send in requests.items():
        assert check_problem(send({}), 401)["detail"]
        assert send({}).headers["www-authenticate"] == "Bearer"
        check_problem(send(bearer("th_00000000_guessed")), 401)
        check_problem(send({"Authorization": made[Scope.ADMIN][0]}), 401)
        for scope, (key, _) in made.items():
            response = send(bearer(key))
            if scope in {needed, Scope.ADMIN}:
                assert response.status_code in {200, 503}, response.text  # 503: no Airflow runs
            else:
                assert needed.value in str(check_problem(response, 403)["detail"])
    for path in ("/v1/use-cases", "/v1/shop/model", "/", "/docs", "/openapi.json"):
        check_problem(shop.get(path), 401)
        assert shop.get(path, headers=bearer(made[Scope.PREDICT][0])).status_code == 200
    for path in ("/healthz", "/readyz", "/metrics"):
        assert shop.get(path).status_code == 200
    assert 'titleholder_refused_total{why="scope"}' in shop.get("/metrics").text


def outcome() -> dict[str, object]:
    return {"prediction_id": "p", "label": 1, "happened_at": "2026-01-01T00:00:00Z"}


def test_revoked_key_is_refused_and_no_secret_is_stored(make_client: MakeClient, cached: Installation) -> None:
    keys = ApiKeys(cached.settings.ledger_url)
    key, made = keys.create("a client", frozenset({Scope.PREDICT}), NOW)
    shop = make_client(keys="required")
    assert shop.get("/v1/shop/recommendations/u1", headers=bearer(key)).status_code == 200
    keys.revoke(made.key_id, NOW)
    poll_ledger(shop)
    check_problem(shop.get("/v1/shop/recommendations/u1", headers=bearer(key)), 401)
    with pytest.raises(ConfigurationError, match="no active key"):
        keys.revoke(made.key_id, NOW)
    secret = key.split("_", 2)[2].encode()
    kept = [path.read_bytes() for path in cached.settings.home.glob("titleholder.db*")]
    assert kept
    assert not any(secret in content for content in kept)
    with pytest.raises(ConfigurationError, match="at least one scope"):
        keys.create("a client", frozenset(), NOW)


def test_keys_are_required_by_default(cached: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TITLEHOLDER_ENDPOINT_KEYS")
    get_settings.cache_clear()
    check_problem(client_of(create_app(get_settings(), KINDS)).get("/v1/use-cases"), 401)


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        ("203.0.113.9", {}),
        ("127.0.0.1", {"host": "evil.example"}),
        ("127.0.0.1", {"x-forwarded-for": "203.0.113.9"}),
        ("127.0.0.1", {"forwarded": "for=203.0.113.9"}),
    ],
)
def test_without_keys_only_loopback_is_answered(make_client: MakeClient, address: str, headers: dict[str, str]) -> None:
    shop = make_client(address)
    document = check_problem(shop.get("/v1/shop/recommendations/u1", headers=headers), 403)
    assert "titleholder api-key" in str(document["detail"])


def test_rate_limit_sends_retry_after(make_client: MakeClient) -> None:
    shop = make_client(rate="0.5")
    assert shop.get("/v1/shop/recommendations/u1").status_code == 200
    response = shop.get("/v1/shop/recommendations/u1")
    check_problem(response, 429)
    assert response.headers["retry-after"] == "2"
    assert shop.get("/readyz").status_code == 200, "operations have no rate limit"


def test_buckets_refill_per_client() -> None:
    buckets = Buckets(2.0)
    assert [buckets.take("a", 0.0) for _ in range(5)] == [0.0, 0.0, 0.0, 0.0, 0.5]
    assert buckets.take("b", 0.0) == 0.0
    assert buckets.take("a", 0.5) == 0.0
    assert buckets.take("a", 0.5) > 0.0
    assert [buckets.take("a", 100.0) > 0 for _ in range(5)] == [False, False, False, False, True], (
        "a bucket holds at most its capacity"
    )


def test_every_response_has_security_headers(make_client: MakeClient) -> None:
    shop = make_client()
    for path, status in (("/v1/shop/recommendations/u1", 200), ("/v1/shop/model", 200), ("/nowhere", 404), ("/", 200)):
        response = shop.get(path)
        assert response.status_code == status
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["x-frame-options"] == "DENY"
        assert response.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "script-src" not in shop.get("/").headers["content-security-policy"]


def test_form_post_of_a_web_page_is_refused(make_client: MakeClient) -> None:
    shop = make_client()
    for address in ("recommendations", "training-runs"):
        response = shop.post(f"/v1/shop/{address}", content=b'{"users": ["u1"]}', headers={"content-type": "text/plain"})
        check_problem(response, 415)
    response = shop.put("/v1/shop/recommendations", json={})
    check_problem(response, 405)
    assert response.headers["allow"] == "POST"

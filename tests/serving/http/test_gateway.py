"""Who comes in, how often, and what every answer carries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.http.gateway import Buckets
from tasks.errors import ConfigurationError
from tasks.io.api_keys import ApiKeys, Scope
from tasks.settings import get_settings
from tests.serving.conftest import client_of, look
from tests.serving.constant_models import KINDS, TinyRanker
from tests.serving.installation import Installation
from tests.serving.test_app import is_problem

NOW = datetime(2026, 1, 1, tzinfo=UTC)
Open = Callable[..., TestClient]


@pytest.fixture
def opened(cached: Installation, monkeypatch: pytest.MonkeyPatch) -> Open:
    """The app of a shop with other settings, asked from an address."""

    def make(address: str = "127.0.0.1", **settings: str) -> TestClient:
        for name, value in settings.items():
            monkeypatch.setenv(f"TITLEHOLDER_ENDPOINT_{name.upper()}", value)
        get_settings.cache_clear()
        cached.publish_features("shop")
        cached.crown("shop", TinyRanker(1.0))
        client = client_of(create_app(get_settings(), KINDS), address)
        look(client)
        return client

    return make


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_keys_open_what_their_scopes_say(opened: Open, cached: Installation) -> None:
    keys = ApiKeys(cached.settings.ledger_url)
    made = {scope: keys.create(f"a {scope.value} client", frozenset({scope}), NOW) for scope in Scope}
    shop = opened(address="203.0.113.9", keys="required")
    asks = {
        Scope.PREDICT: lambda headers: shop.get("/v1/shop/recommendations/u1", headers=headers),
        Scope.EVENTS: lambda headers: shop.post("/v1/shop/outcomes", json={"outcomes": [outcome()]}, headers=headers),
        Scope.TRAIN: lambda headers: shop.get("/v1/shop/training-runs/none", headers=headers),
    }
    for wanted, ask in asks.items():
        assert is_problem(ask({}), 401)["detail"]
        assert ask({}).headers["www-authenticate"] == "Bearer"
        is_problem(ask(bearer("th_00000000_guessed")), 401)
        is_problem(ask({"Authorization": made[Scope.ADMIN][0]}), 401)
        for scope, (key, _) in made.items():
            response = ask(bearer(key))
            if scope in {wanted, Scope.ADMIN}:
                assert response.status_code in {200, 503}, response.text  # 503: there is no Airflow here
            else:
                assert wanted.value in str(is_problem(response, 403)["detail"])
    for path in ("/v1/use-cases", "/v1/shop/model", "/", "/docs", "/openapi.json"):
        is_problem(shop.get(path), 401)
        assert shop.get(path, headers=bearer(made[Scope.PREDICT][0])).status_code == 200
    for path in ("/healthz", "/readyz", "/metrics"):
        assert shop.get(path).status_code == 200
    assert 'titleholder_refused_total{why="scope"}' in shop.get("/metrics").text


def outcome() -> dict[str, object]:
    return {"prediction_id": "p", "label": 1, "happened_at": "2026-01-01T00:00:00Z"}


def test_a_revoked_key_is_refused_and_no_key_is_kept(opened: Open, cached: Installation) -> None:
    keys = ApiKeys(cached.settings.ledger_url)
    key, made = keys.create("somebody", frozenset({Scope.PREDICT}), NOW)
    shop = opened(keys="required")
    assert shop.get("/v1/shop/recommendations/u1", headers=bearer(key)).status_code == 200
    keys.revoke(made.key_id, NOW)
    look(shop)
    is_problem(shop.get("/v1/shop/recommendations/u1", headers=bearer(key)), 401)
    with pytest.raises(ConfigurationError, match="no open key"):
        keys.revoke(made.key_id, NOW)
    secret = key.split("_", 2)[2].encode()
    kept = [path.read_bytes() for path in cached.settings.home.glob("titleholder.db*")]
    assert kept
    assert not any(secret in content for content in kept)
    with pytest.raises(ConfigurationError, match="at least one scope"):
        keys.create("nothing", frozenset(), NOW)


def test_keys_are_required_unless_somebody_says_otherwise(cached: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TITLEHOLDER_ENDPOINT_KEYS")
    get_settings.cache_clear()
    is_problem(client_of(create_app(get_settings(), KINDS)).get("/v1/use-cases"), 401)


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        ("203.0.113.9", {}),
        ("127.0.0.1", {"host": "evil.example"}),
        ("127.0.0.1", {"x-forwarded-for": "203.0.113.9"}),
        ("127.0.0.1", {"forwarded": "for=203.0.113.9"}),
    ],
)
def test_without_keys_only_this_machine_is_answered(opened: Open, address: str, headers: dict[str, str]) -> None:
    shop = opened(address)
    document = is_problem(shop.get("/v1/shop/recommendations/u1", headers=headers), 403)
    assert "titleholder api-key" in str(document["detail"])


def test_too_many_requests_are_told_when_to_come_back(opened: Open) -> None:
    shop = opened(rate="0.5")
    assert shop.get("/v1/shop/recommendations/u1").status_code == 200
    response = shop.get("/v1/shop/recommendations/u1")
    is_problem(response, 429)
    assert response.headers["retry-after"] == "2"
    assert shop.get("/readyz").status_code == 200, "operations are not limited"


def test_buckets_fill_again_and_belong_to_one_client() -> None:
    buckets = Buckets(2.0)
    assert [buckets.take("a", 0.0) for _ in range(5)] == [0.0, 0.0, 0.0, 0.0, 0.5]
    assert buckets.take("b", 0.0) == 0.0
    assert buckets.take("a", 0.5) == 0.0
    assert buckets.take("a", 0.5) > 0.0
    assert [buckets.take("a", 100.0) > 0 for _ in range(5)] == [False, False, False, False, True], "no more than full"


def test_every_answer_carries_the_security_headers(opened: Open) -> None:
    shop = opened()
    for path, status in (("/v1/shop/recommendations/u1", 200), ("/v1/shop/model", 200), ("/nowhere", 404), ("/", 200)):
        response = shop.get(path)
        assert response.status_code == status
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["x-frame-options"] == "DENY"
        assert response.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "script-src" not in shop.get("/").headers["content-security-policy"]


def test_a_form_of_a_web_page_is_no_json(opened: Open) -> None:
    shop = opened()
    for address in ("recommendations", "training-runs"):
        response = shop.post(f"/v1/shop/{address}", content=b'{"users": ["u1"]}', headers={"content-type": "text/plain"})
        is_problem(response, 415)
    response = shop.put("/v1/shop/recommendations", json={})
    is_problem(response, 405)
    assert response.headers["allow"] == "POST"

"""The cold-start rules: which path makes an answer."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.http import answers
from serving.ranking.ranking import Ranked, RecentEvent
from serving.ranking.recent_events import RecentEvents
from serving.ranking.vector_index import MIN_RECALL, VectorIndex
from tasks import columns as c
from tasks.contracts.predictions import AnswerPath
from tasks.io.events import EventStore
from tasks.io.storage import frame_writer
from tasks.models import SERVED
from tasks.models.als import AlsModel, Penalties
from tasks.models.base import FeatureTables
from tests.serving import two_segment_shop
from tests.serving.conftest import client_of, logged, poll_ledger, store_of
from tests.serving.installation import Installation


@pytest.fixture
def shop_client(cached: Installation, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """The two-segment shop with a factor model and without exploration."""
    settings = cached.settings.model_copy(update={"endpoint_explore_share": 0.0})
    tables = {name: frame_writer(frame) for name, frame in two_segment_shop.tables().items()}
    cached.storage.publish(use_case="market", layer=c.FEATURES, partition="2026-01-01", tables=tables)
    cached.register_and_promote("market", two_segment_shop.model(), exclude_seen=True)
    client = client_of(create_app(settings, SERVED))
    poll_ledger(client)
    assert client.get("/readyz").status_code == 200, client.get("/readyz").text
    return client


def get_items(client: TestClient, path: str, **query: Any) -> tuple[str, list[str]]:
    """The answer path and the recommended items."""
    document = client.get(f"/v1/market/{path}", params=query).json()
    return document["path"], [item["item_id"] for item in document["items"]]


def event(item: str, user: str, kind: str = "purchase", **more: Any) -> dict[str, Any]:
    moment = datetime.now(UTC).isoformat()
    return {
        "event_id": str(uuid.uuid4()),
        "user_id": user,
        "item_id": item,
        "event_type": kind,
        "event_at": moment,
        **more,
    }


def test_known_user_gets_the_model_path(shop_client: TestClient) -> None:
    path, items = get_items(shop_client, "recommendations/a1", k=2)
    assert path == "model"
    assert items[0] == "a1", "the only known item of the segment that the user does not have"


def test_event_counts_within_a_second(shop_client: TestClient) -> None:
    shop_client.post("/v1/market/events", json={"events": [event("a0", "first user")]})  # creates the tables
    assert get_items(shop_client, "recommendations/new")[0] == "popular"
    sent = time.monotonic()
    accepted = shop_client.post("/v1/market/events", json={"events": [event("a0", "new")]}).json()
    path, items = get_items(shop_client, "recommendations/new", k=4)
    assert time.monotonic() - sent < 1.0
    assert accepted["accepted"] == 1
    assert path == "fold_in"
    assert items == ["a1", "a2", "a3", "a4"], "the items of the segment without the one that the user has"
    shop_client.post("/v1/market/events", json={"events": [event("b0", "a1"), event("b1", "a1"), event("b2", "a1")]})
    path, items = get_items(shop_client, "recommendations/a1", k=3)
    assert path == "fold_in"
    assert {"b3", "b4"} & set(items), "events of a known user count too"


def test_view_leads_to_similar_items(shop_client: TestClient) -> None:
    shop_client.post("/v1/market/events", json={"events": [event("b1", "viewer", "view")]})
    path, items = get_items(shop_client, "recommendations/viewer", k=3)
    assert path == "similar"
    assert {item[0] for item in items} == {"b"}
    assert "b1" not in items


def test_session_gets_similar_items(shop_client: TestClient) -> None:
    answer = shop_client.post("/v1/market/session-recommendations", json={"items": ["a0", "unknown item", "a2"], "k": 3}).json()
    assert answer["path"] == "similar"
    assert {item["item_id"] for item in answer["items"]} == {"a1", "a3", "a4"}
    unknown = shop_client.post("/v1/market/session-recommendations", json={"items": ["unknown item"], "k": 1}).json()
    assert (unknown["path"], unknown["items"][0]["item_id"]) == ("popular", "b0")


def test_unknown_user_gets_popular_items_of_the_segment(shop_client: TestClient) -> None:
    assert get_items(shop_client, "recommendations/unknown", k=1) == ("popular", ["b0"])
    path, items = get_items(shop_client, "recommendations/unknown", k=5, segment="A")
    assert path == "popular_in_segment"
    assert {item[0] for item in items} == {"a"}
    assert get_items(shop_client, "recommendations/unknown", k=1, segment="nowhere") == ("popular", ["b0"])


def test_similar_items_are_ranked_by_common_customers(shop_client: TestClient) -> None:
    document = shop_client.get("/v1/market/similar-items/a0?k=4").json()
    assert {item["item_id"] for item in document["items"]} == {"a1", "a2", "a3", "a4"}
    pairs = two_segment_shop.tables()[c.PAIRS]
    customers = {item: set(group) for item, group in pairs.groupby(c.ITEM_ID)[c.USER_ID]}
    for item in document["items"]:
        own, other = customers["a0"], customers[item["item_id"]]
        assert item["score"] == pytest.approx(len(own & other) / np.sqrt(len(own) * len(other)))
    assert shop_client.get("/v1/market/similar-items/unknown").status_code == 404


def test_batch_answers_are_served_until_an_event(shop_client: TestClient, cached: Installation) -> None:
    head, features = cached.ledger.head("market"), cached.storage.newest("market", c.FEATURES)
    assert head is not None
    assert features is not None
    frame = pd.DataFrame(
        {
            c.USER_ID: ["a1", "a1", "a2"],
            c.ITEM_ID: ["a5", "b5", "b0"],
            c.RANK: [1, 2, 1],
            c.PREDICTION: [0.9, 0.8, 0.7],
            c.RAW_SCORE: [2.0, 1.0, 1.0],
            "path": ["model", "model", "popular"],
        }
    )

    def publish(digest: str) -> None:
        facts = {"version": head.version, "manifest_digest": digest, "k": 3}
        cached.storage.publish(
            use_case="market",
            layer=c.PREDICTIONS,
            partition=f"v{head.version}.{features.partition}",
            tables={c.ROWS: frame_writer(frame)},
            inputs=[features],
            facts=facts,
        )
        poll_ledger(shop_client)

    publish("f" * 64)
    assert get_items(shop_client, "recommendations/a1", k=2)[0] == "model", "answers of another model are not served"
    publish(head.manifest_digest)
    assert get_items(shop_client, "recommendations/a1", k=2) == ("published", ["a5", "b5"])
    assert get_items(shop_client, "recommendations/a1", k=1) == ("published", ["a5"])
    assert get_items(shop_client, "recommendations/a1", k=4)[0] == "model", "k is larger than published"
    assert get_items(shop_client, "recommendations/a2", k=1)[0] == "model", "published popular items are not used"
    shop_client.post("/v1/market/events", json={"events": [event("b0", "a1")]})
    assert get_items(shop_client, "recommendations/a1", k=2)[0] == "fold_in"
    assert 'titleholder_predictions_total{path="published",use_case="market"} 2.0' in shop_client.get("/metrics").text
    assert {one.path for one in logged(shop_client, "market")} == {"model", "published", "fold_in"}


def test_new_items_are_explored_in_a_bounded_share(shop_client: TestClient) -> None:
    bundle = store_of(shop_client).deployments["market"].bundle
    assert bundle is not None
    assert bundle.ranks.new_items == ["a5", "b5"]
    ranked = Ranked(["a0", "a1", "a2", "a3", "a4"], [5.0, 4.0, 3.0, 2.0, 1.0], AnswerPath.MODEL)
    draws = np.random.default_rng(7)
    explored = []
    for _ in range(4000):
        answer, items, probability = answers.explore(
            bundle.ranks.new_items, ranked, 0.1, str(uuid.UUID(bytes=draws.bytes(16), version=4))
        )
        assert answer.items[:4] == ranked.items[:4], "only the last item is replaced"
        assert probability == (0.05 if items else 0.0)
        explored += items
    assert len(explored) == pytest.approx(400, abs=80)
    assert explored.count("a5") == pytest.approx(len(explored) / 2, abs=60)
    assert answers.explore(bundle.ranks.new_items, ranked, 0.0, "0" * 32)[1] == []
    short = Ranked(["a0"], [1.0], AnswerPath.MODEL)
    assert answers.explore(bundle.ranks.new_items, short, 1.0, "0" * 32)[0] == short


def test_no_item_that_a_user_has_is_explored(shop_client: TestClient) -> None:
    bundle = store_of(shop_client).deployments["market"].bundle
    assert bundle is not None
    assert bundle.ranks.items_to_explore("a1") == ["a5", "b5"]
    bought = RecentEvent("a5", "purchase", 0.0, 1.0, datetime.now(UTC))
    assert bundle.ranks.items_to_explore("a1", [bought]) == ["b5"]
    assert bundle.ranks.items_to_explore("a1", [bought._replace(event_type="view")]) == ["a5", "b5"]


def test_neighbours_change_places_in_a_bounded_share() -> None:
    ranked = Ranked(["a0", "a1", "a2", "a3"], [4.0, 3.0, 2.0, 1.0], AnswerPath.MODEL)
    draws = np.random.default_rng(7)
    seen: Counter[tuple[int, bool]] = Counter()
    for _ in range(6000):
        answer, place = answers.shuffle(ranked, 0.2, str(uuid.UUID(bytes=draws.bytes(16), version=4)))
        assert sorted(zip(answer.scores, answer.items, strict=True)) == sorted(zip(ranked.scores, ranked.items, strict=True))
        moved = [n for n, (one, other) in enumerate(zip(ranked.items, answer.items, strict=True), start=1) if one != other]
        assert moved in ([], [place, place + 1])
        seen[place, bool(moved)] += 1
    assert not seen[0, True]
    for place in (1, 2, 3):
        assert seen[place, True] == pytest.approx(200, abs=60) and seen[place, False] == pytest.approx(200, abs=60)
    assert answers.shuffle(ranked, 0.0, "0" * 32) == (ranked, 0)
    single = Ranked(["a0"], [1.0], AnswerPath.MODEL)
    assert answers.shuffle(single, 0.2, "0" * 32) == (single, 0)


def test_the_log_names_the_place_that_was_drawn(cached: Installation, shop_client: TestClient) -> None:
    settings = cached.settings.model_copy(update={"endpoint_explore_share": 0.0, "endpoint_shuffle_share": 0.2})
    client = client_of(create_app(settings, SERVED))
    poll_ledger(client)
    for _ in range(60):
        client.get("/v1/market/recommendations/a1")
    places = {one.shuffled_place for one in logged(client, "market")}
    assert 0 in places and len(places) > 1


def test_an_event_that_arrives_after_midnight_counts_at_once(own_home: Path) -> None:
    """One of 23:59:50 that arrives at 00:00:05 is in the features of the next day only."""
    own_home.mkdir()
    store = EventStore(f"sqlite:///{own_home}/events.db")
    recent, midnight = RecentEvents(lambda: store), datetime.combine(datetime.now(UTC).date(), datetime.min.time(), UTC)
    for name, at, arrived in (("late", -10, 5), ("known", -10, -5), ("new", 60, 61)):
        kept = event(name, "u", event_at=midnight + timedelta(seconds=at), value=None, quantity=1.0)
        store.add_events("shop", [kept], midnight + timedelta(seconds=arrived))
    recent.reload()
    assert [one.item_id for one in recent.of_user("shop", "u", midnight)] == ["late", "new"]
    assert [one.item_id for one in recent.of_user("shop", "u", None)] == ["late", "known", "new"]


def large_catalogue(items: int, first_scale: float) -> tuple[AlsModel, FeatureTables]:
    draws = np.random.default_rng(7)
    factors = draws.normal(size=(items, 16))
    factors[0] *= first_scale
    names = np.array([f"i{n:05d}" for n in range(items)], dtype=object)
    pairs = [(f"u{n:02d}", names[m]) for n in range(20) for m in draws.choice(items - 1, 5, replace=False) + 1]
    tables = FeatureTables(
        pd.DataFrame({c.USER_ID: [f"u{n:02d}" for n in range(20)]}),
        pd.DataFrame({c.ITEM_ID: names, "item_buyers_7d": 1.0}),
        pd.DataFrame(pairs, columns=[c.USER_ID, c.ITEM_ID]).assign(pair_orders=1.0),
    )
    return AlsModel(names, factors, Penalties(0.1, 20.0, 10.0, 10.0, 28.0), None, 1.0), tables


def test_index_equals_exact_product() -> None:
    model, tables = large_catalogue(3000, first_scale=1.0)
    exact, index = VectorIndex.of_model(model, tables, k=10), VectorIndex.of_model(model, tables, k=10, exact_up_to=100)
    assert exact is not None and index is not None
    assert exact._index is None
    assert index._index is not None
    assert index.recall >= MIN_RECALL
    for user in ("u03", "u17"):
        query = index.user_vector(user, None)
        assert query is not None
        seen = tables.sorted_pairs["item_position"].to_numpy()[tables.pairs_of(user)]
        places, scores = index.search(query[0], 10, seen)
        assert places.tolist() == exact.search(query[0], 10, seen)[0].tolist()
        assert not set(places) & set(seen)
        assert scores == pytest.approx(model.score_items(user, tables)[0][places])


def test_index_with_low_recall_is_not_used() -> None:
    """One item with an enormous vector leaves the codes no resolution for the others."""
    model, tables = large_catalogue(3000, first_scale=1e7)
    index = VectorIndex.of_model(model, tables, k=10, exact_up_to=100)
    assert index is not None
    assert index._index is None
    assert index.recall == 1.0


def test_answers_contain_no_local_paths(shop_client: TestClient, tmp_path: Path) -> None:
    for path in ("/v1/use-cases", "/v1/market/model", "/v1/market/recommendations/a1"):
        assert str(tmp_path) not in shop_client.get(path).text

"""Which way an answer is made: the rules of the cold start, each with its figure."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient

from serving.http import answers
from serving.ranking.ranking import Ranked
from serving.ranking.vector_index import LEAST_RECALL, Factors
from tasks import columns as c
from tasks.io.storage import frame_writer
from tasks.models import SERVED
from tasks.models.als import AlsModel, Penalties
from tasks.models.base import FeatureTables
from tests.serving import two_segment_shop
from tests.serving.conftest import client_of, logged, look, store_of
from tests.serving.installation import Installation


@pytest.fixture
def fair(cached: Installation, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """The market, with factors, and no exploration."""
    from serving.app import create_app

    settings = cached.settings.model_copy(update={"endpoint_explore_share": 0.0})
    tables = {name: frame_writer(frame) for name, frame in two_segment_shop.tables().items()}
    cached.storage.publish(use_case="market", layer=c.FEATURES, partition="2026-01-01", tables=tables)
    cached.crown("market", two_segment_shop.model(), exclude_seen=True)
    client = client_of(create_app(settings, SERVED))
    look(client)
    assert client.get("/readyz").status_code == 200, client.get("/readyz").text
    return client


def ask(client: TestClient, path: str, **query: Any) -> tuple[str, list[str]]:
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


def test_a_known_user_is_the_models(fair: TestClient) -> None:
    path, items = ask(fair, "recommendations/a1", k=2)
    assert path == "model"
    assert items[0] == "a1", "the only item of their half that they have not met"


def test_an_event_counts_within_a_second(fair: TestClient) -> None:
    fair.post("/v1/market/events", json={"events": [event("a0", "the first of all")]})  # makes the tables
    assert ask(fair, "recommendations/somebody")[0] == "popular"
    told = time.monotonic()
    taken = fair.post("/v1/market/events", json={"events": [event("a0", "somebody")]}).json()
    path, items = ask(fair, "recommendations/somebody", k=4)
    assert time.monotonic() - told < 1.0
    assert taken["accepted"] == 1
    assert path == "fold_in"
    assert items == ["a1", "a2", "a3", "a4"], "what is bought with it, without what they have"
    fair.post("/v1/market/events", json={"events": [event("b0", "a1"), event("b1", "a1"), event("b2", "a1")]})
    path, items = ask(fair, "recommendations/a1", k=3)
    assert path == "fold_in"
    assert {"b3", "b4"} & set(items), "a known user's new taste shows too"


def test_a_view_teaches_similar_items(fair: TestClient) -> None:
    fair.post("/v1/market/events", json={"events": [event("b1", "a looker", "view")]})
    path, items = ask(fair, "recommendations/a looker", k=3)
    assert path == "similar"
    assert {item[0] for item in items} == {"b"}
    assert "b1" not in items


def test_a_session_gets_what_is_similar(fair: TestClient) -> None:
    answer = fair.post("/v1/market/session-recommendations", json={"items": ["a0", "nothing we sell", "a2"], "k": 3}).json()
    assert answer["path"] == "similar"
    assert {item["item_id"] for item in answer["items"]} == {"a1", "a3", "a4"}
    stranger = fair.post("/v1/market/session-recommendations", json={"items": ["nothing we sell"], "k": 1}).json()
    assert (stranger["path"], stranger["items"][0]["item_id"]) == ("popular", "b0")


def test_strangers_get_what_is_popular_where_they_are(fair: TestClient) -> None:
    assert ask(fair, "recommendations/stranger", k=1) == ("popular", ["b0"])
    path, items = ask(fair, "recommendations/stranger", k=5, segment="A")
    assert path == "popular_in_segment"
    assert {item[0] for item in items} == {"a"}
    assert ask(fair, "recommendations/stranger", k=1, segment="nowhere") == ("popular", ["b0"])


def test_similar_items_share_customers(fair: TestClient) -> None:
    document = fair.get("/v1/market/similar-items/a0?k=4").json()
    assert {item["item_id"] for item in document["items"]} == {"a1", "a2", "a3", "a4"}
    pairs = two_segment_shop.tables()[c.PAIRS]
    customers = {item: set(group) for item, group in pairs.groupby(c.ITEM_ID)[c.USER_ID]}
    for item in document["items"]:
        mine, theirs = customers["a0"], customers[item["item_id"]]
        assert item["score"] == pytest.approx(len(mine & theirs) / np.sqrt(len(mine) * len(theirs)))
    assert fair.get("/v1/market/similar-items/unknown").status_code == 404


def test_published_answers_serve_until_something_happens(fair: TestClient, cached: Installation) -> None:
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
        look(fair)

    publish("f" * 64)
    assert ask(fair, "recommendations/a1", k=2)[0] == "model", "another model's answers are not this one's"
    publish(head.manifest_digest)
    assert ask(fair, "recommendations/a1", k=2) == ("published", ["a5", "b5"])
    assert ask(fair, "recommendations/a1", k=1) == ("published", ["a5"])
    assert ask(fair, "recommendations/a1", k=4)[0] == "model", "more than was published"
    assert ask(fair, "recommendations/a2", k=1)[0] == "model", "what is merely popular is found anew"
    fair.post("/v1/market/events", json={"events": [event("b0", "a1")]})
    assert ask(fair, "recommendations/a1", k=2)[0] == "fold_in"
    assert 'titleholder_predictions_total{path="published",use_case="market"} 2.0' in fair.get("/metrics").text
    assert {one.path for one in logged(fair, "market")} == {"model", "published", "fold_in"}


def test_new_items_are_tried_in_a_bounded_share(fair: TestClient) -> None:
    served = store_of(fair).seats["market"].served
    assert served is not None
    assert served.ranks.new_items == ["a5", "b5"]
    ranked = Ranked(["a0", "a1", "a2", "a3", "a4"], [5.0, 4.0, 3.0, 2.0, 1.0], "model")
    draws = np.random.default_rng(7)
    tried = []
    for _ in range(4000):
        given, items, chance = answers.explore(served, ranked, 0.1, str(uuid.UUID(bytes=draws.bytes(16), version=4)))
        assert given.items[:4] == ranked.items[:4], "only the last place is given away"
        assert chance == (0.05 if items else 0.0)
        tried += items
    assert len(tried) == pytest.approx(400, abs=80)
    assert tried.count("a5") == pytest.approx(len(tried) / 2, abs=60)
    assert answers.explore(served, ranked, 0.0, "0" * 32)[1] == []
    short = Ranked(["a0"], [1.0], "model")
    assert answers.explore(served, short, 1.0, "0" * 32)[0] == short


def many(items: int, spoil: float) -> tuple[AlsModel, FeatureTables]:
    draws = np.random.default_rng(7)
    factors = draws.normal(size=(items, 16))
    factors[0] *= spoil
    names = np.array([f"i{n:05d}" for n in range(items)], dtype=object)
    pairs = [(f"u{n:02d}", names[m]) for n in range(20) for m in draws.choice(items - 1, 5, replace=False) + 1]
    tables = FeatureTables(
        pd.DataFrame({c.USER_ID: [f"u{n:02d}" for n in range(20)]}),
        pd.DataFrame({c.ITEM_ID: names, "item_buyers_7d": 1.0}),
        pd.DataFrame(pairs, columns=[c.USER_ID, c.ITEM_ID]).assign(pair_orders=1.0),
    )
    return AlsModel(names, factors, Penalties(0.1, 20.0, 10.0, 10.0, 28.0), None, 1.0), tables


def test_an_index_finds_what_the_exact_product_finds() -> None:
    model, tables = many(3000, spoil=1.0)
    exact, index = Factors(model, tables, 10), Factors(model, tables, 10, exact_up_to=100)
    assert exact._index is None
    assert index._index is not None
    assert index.recall >= LEAST_RECALL
    for user in ("u03", "u17"):
        query = index.query(user, None)
        assert query is not None
        met = tables.sorted_pairs["item_position"].to_numpy()[tables.pairs_of(user)]
        places, scores = index.top(query[0], 10, met)
        assert places.tolist() == exact.top(query[0], 10, met)[0].tolist()
        assert not set(places) & set(met)
        assert scores == pytest.approx(model.score_items(user, tables)[0][places])


def test_an_index_that_finds_too_little_is_not_used() -> None:
    """One enormous item leaves 8 bits no room to tell the others apart."""
    model, tables = many(3000, spoil=1e7)
    index = Factors(model, tables, 10, exact_up_to=100)
    assert index._index is None
    assert index.recall == 1.0


def test_no_path_of_the_machine_is_in_an_answer(fair: TestClient, tmp_path: Path) -> None:
    for path in ("/v1/use-cases", "/v1/market/model", "/v1/market/recommendations/a1"):
        assert str(tmp_path) not in fair.get(path).text

"""Features by name, window and aggregate: known answers, and what is refused."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.errors import ConfigurationError
from tasks.io.storage import Storage
from tasks.models.base import read_features
from tasks.stages.features import FeatureRequest, FeatureSpec, build_features
from tasks.stages.features.vocabulary import AGGREGATES, Declared
from tests.tasks.stages.features.conftest import USE_CASE, Publish, row

AS_OF = date(2011, 3, 1)
TEXT = {"mug": "RED MUG", "cup": "BLUE MUG!", "tea": "GREEN TEA", "pen": None}


def line(user: str | None, item: str, at: str, event: str, **changes: Any) -> dict[str, Any]:
    return row(user, item, at, event, **{c.ITEM_TEXT: TEXT[item], **changes})


ROWS = [
    line("ann", "mug", "2011-02-27T10:00", "e1"),
    line("ann", "tea", "2011-02-27T10:00", "e1", **{c.UNIT_PRICE: 4.5, c.QUANTITY: 4.0, c.VALUE: 18.0}),
    line("ann", "mug", "2011-02-20T10:00", "e2"),
    line("ann", "cup", "2011-01-01T10:00", "e3"),
    line("ann", "tea", "2011-02-28T10:00", "c1", **{c.EVENT_TYPE: c.RETURN, c.QUANTITY: -3.0, c.VALUE: -13.5}),
    line("bob", "mug", "2011-02-26T10:00", "e4"),
    line("bob", "pen", "2011-02-26T10:00", "e4"),
    line(None, "tea", "2011-02-26T10:00", "e5"),
    line("bob", "tea", "2011-02-28T10:00", "shown", **{c.EVENT_TYPE: c.RECOMMENDED}),
]
# feature, aggregate, days -> what each owner has
KNOWN: dict[tuple[str, str, int], dict[Any, float | None]] = {
    ("user_orders_14d", "orders", 14): {"ann": 2, "bob": 1},
    ("user_lines_14d", "lines", 14): {"ann": 3, "bob": 2},
    ("user_pieces_14d", "quantity", 14): {"ann": 5, "bob": 4},
    ("user_net_14d", "spend", 14): {"ann": 10.5, "bob": 6},
    ("user_last_14d", "recency_days", 14): {"ann": 2, "bob": 3},
    ("user_since_90d", "tenure_days", 90): {"ann": 59, "bob": 3},
    ("user_pace_14d", "frequency", 14): {"ann": 2 / 14, "bob": 1 / 14},
    ("user_price_14d", "mean_price", 14): {"ann": 2.5, "bob": 1.5},
    ("user_returns_14d", "return_share", 14): {"ann": 3 / 8, "bob": 0},
    ("user_range_14d", "distinct_items", 14): {"ann": 2, "bob": 2},
    ("item_reach_14d", "distinct_users", 14): {"mug": 2, "tea": 1, "cup": 0, "pen": 1},
    ("item_sold_14d", "orders", 14): {"mug": 3, "tea": 2, "cup": 0, "pen": 1},
    ("item_returns_14d", "return_share", 14): {"mug": 0, "tea": 0.5, "cup": None, "pen": 0},
    ("pair_spend_14d", "spend", 14): {
        ("ann", "mug"): 6,
        ("ann", "tea"): 4.5,
        ("ann", "cup"): 0,
        ("bob", "mug"): 3,
        ("bob", "pen"): 3,
    },
    ("pair_fits_price_14d", "price_affinity", 14): {
        ("ann", "mug"): 1.5 / 2.5,
        ("ann", "tea"): 2.5 / 3.0,
        ("ann", "cup"): None,
        ("bob", "mug"): 1,
        ("bob", "pen"): 1,
    },
    ("pair_fits_kind_90d", "category_affinity", 90): {
        ("ann", "mug"): 3 / 4,
        ("ann", "tea"): 1 / 4,
        ("ann", "cup"): 3 / 4,
        ("bob", "mug"): 1,
        ("bob", "pen"): None,
    },
    # a basket with a mug (e1, e2, e4) holds tea once; one with tea (e1, e5) holds a mug once
    ("pair_goes_with_14d", "co_purchase", 14): {
        ("ann", "mug"): 1 / 3,
        ("ann", "tea"): 1 / 2,
        ("ann", "cup"): None,
        ("bob", "mug"): 1 / 3,
        ("bob", "pen"): 1,
    },
}


@pytest.fixture(scope="module")
def declared() -> tuple[Declared, ...]:
    return tuple(
        Declared.model_validate({"name": name, "of": name.split("_")[0], "aggregate": aggregate, "days": days})
        for name, aggregate, days in KNOWN
    )


def test_every_aggregate_has_a_known_result(
    spark: object, publish: Publish, storage: Storage, declared: tuple[Declared, ...]
) -> None:
    assert {aggregate for _, aggregate, _ in KNOWN} == set(AGGREGATES), "give a new aggregate its known answer"
    spec = FeatureSpec(lookback_days=(7,), declared=declared)
    tables = read_features(
        storage, build_features(FeatureRequest(USE_CASE, TaskKind.PROPENSITY, spec, [publish(ROWS)], AS_OF), storage)
    )
    by_owner = {
        "user": tables.users.set_index(c.USER_ID),
        "item": tables.items.set_index(c.ITEM_ID),
        "pair": tables.pairs.set_index([c.USER_ID, c.ITEM_ID]),
    }
    for (name, _, _), expected in KNOWN.items():
        found = by_owner[name.split("_")[0]][name]
        assert set(found.index) == set(expected), name
        for owner, value in expected.items():
            assert found[owner] == pytest.approx(float("nan") if value is None else value, nan_ok=True), (name, owner)
    assert {str(kind) for kind in by_owner["pair"].dtypes} == {"float64"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"aggregate": "median"}, "no 'median' of user; allowed: distinct_items, frequency"),
        ({"aggregate": "co_purchase"}, "no 'co_purchase' of user"),
        ({"name": "orders"}, "a feature of user is called user_"),
        ({"days": 0}, "greater than or equal to 1"),
    ],
)
def test_an_unknown_aggregate_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Declared.model_validate({"name": "user_x", "of": "user", "aggregate": "orders", "days": 7} | changes)


def test_a_duplicate_feature_name_is_refused(spark: object, publish: Publish, storage: Storage) -> None:
    twice = Declared.model_validate({"name": "user_orders_7d", "of": "user", "aggregate": "orders", "days": 7})
    with pytest.raises(ValueError, match="twice: user_orders_7d"):
        FeatureSpec(declared=(twice, twice))
    spec = FeatureSpec(lookback_days=(7,), declared=(twice,))
    with pytest.raises(ConfigurationError, match="user_orders_7d is there already"):
        build_features(FeatureRequest(USE_CASE, TaskKind.PROPENSITY, spec, [publish(ROWS)], AS_OF), storage)

"""What each feature is, on rows few enough to count by hand."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.data import DatasetRef
from tasks.io.storage import Storage
from tasks.models.base import FeatureTables, read_features
from tasks.stages.features import FeatureRequest, FeatureSpec, build_features
from tests.tasks.stages.features.conftest import USE_CASE, Publish, moment, row

pytestmark = pytest.mark.usefixtures("spark")
AS_OF = date(2011, 3, 1)
SPEC = FeatureSpec(lookback_days=(7, 28))


def build(
    history: list[DatasetRef], storage: Storage, spec: FeatureSpec = SPEC, task: TaskKind = TaskKind.PROPENSITY
) -> FeatureTables:
    return read_features(storage, build_features(FeatureRequest(USE_CASE, task, spec, history, AS_OF), storage))


def test_features_of_a_small_shop(publish: Publish, storage: Storage) -> None:
    rows = [
        row("ann", "mug", "2011-02-28T10:00", "e1"),
        row("ann", "tea", "2011-02-28T10:00", "e1", **{c.VALUE: 6.0, c.QUANTITY: 4.0}),
        row("ann", "mug", "2011-02-01T09:00", "e0", **{c.SEGMENT: "Sweden", c.UNIT_PRICE: 2.5}),
        row("ann", "mug", "2011-02-27T09:00", "c1", **{c.EVENT_TYPE: c.RETURN, c.QUANTITY: -1.0, c.VALUE: -1.5}),
        row("bob", "mug", "2011-01-01T09:00", "e2", **{c.SEGMENT: None}),
        row("eve", "tea", "2011-02-27T09:00", "c2", **{c.EVENT_TYPE: c.RETURN, c.QUANTITY: -1.0, c.VALUE: -1.5}),
        row(None, "tea", "2011-02-25T09:00", "e3"),
    ]
    tables = build([publish(rows)], storage)

    users = tables.users.set_index(c.USER_ID)
    assert list(users.index) == ["ann", "bob"], "who only ever returned is no user yet"
    assert users.loc["ann"].to_dict() == {
        "segment": "Norway",
        "user_orders_7d": 1,
        "user_orders_28d": 2,
        "user_spend_7d": 7.5,
        "user_spend_28d": 10.5,
        "user_recency_days": 1,
        "user_tenure_days": 28,
        "user_items": 2,
        "user_rating_count": 0,
        "user_mean_rating": pytest.approx(float("nan"), nan_ok=True),
    }
    assert users.loc["bob", "segment"] is None
    assert list(users.loc["bob", ["user_orders_28d", "user_spend_28d", "user_recency_days"]]) == [0, 0, 59]

    items = tables.items.set_index(c.ITEM_ID)
    assert list(items.loc["tea", ["item_buyers_7d", "item_orders_7d"]]) == [1, 2], "the anonymous sale counts as an order"
    assert list(items.loc["mug", ["item_buyers_28d", "item_orders_28d", "item_recency_days", "item_age_days"]]) == [
        1,
        2,
        1,
        59,
    ]
    assert items.loc["mug", "item_mean_price"] == pytest.approx((1.5 + 2.5 + 1.5) / 3)

    pairs = tables.pairs.set_index([c.USER_ID, c.ITEM_ID])
    assert list(pairs.index) == [("ann", "mug"), ("ann", "tea"), ("bob", "mug")]
    columns = ["pair_orders", "pair_orders_7d", "pair_orders_28d", "pair_recency_days", "pair_quantity"]
    assert list(pairs.loc[("ann", "mug"), columns]) == [2, 1, 2, 1, 3]
    assert {str(t) for t in pairs.dtypes} == {"float64"}


def test_features_of_ratings(publish: Publish, storage: Storage) -> None:
    rated = {c.EVENT_TYPE: c.RATING, c.QUANTITY: None, c.UNIT_PRICE: None}
    rows = [
        row("ann", "heat", "2011-02-01T10:00", "r1", **rated, **{c.VALUE: 2.0}),
        row("ann", "heat", "2011-02-03T10:00", "r2", **rated, **{c.VALUE: 5.0}),
        row("bob", "heat", "2011-02-03T10:00", "r3", **rated, **{c.VALUE: 3.0}),
    ]
    tables = build([publish(rows)], storage, task=TaskKind.RATING)
    assert tables.pairs.set_index(c.USER_ID)["pair_rating"].to_dict() == {"ann": 5.0, "bob": 3.0}, "the last one given"
    assert list(tables.items.loc[0, ["item_rating_count", "item_mean_rating"]]) == [3, pytest.approx(10 / 3)]
    assert tables.users.set_index(c.USER_ID)["user_mean_rating"].to_dict() == {"ann": 3.5, "bob": 3.0}


def test_attributes_become_texts_and_columns(publish: Publish, storage: Storage) -> None:
    rows = [
        row("ann", "mug", "2011-02-01T10:00", "e0", **attributes("TIN MUG", '{"age_20": 1}', '{"tin": 1, "height": 9.5}')),
        row("ann", "mug", "2011-02-02T10:00", "e1", **attributes("TIN MUG", '{"age_30": 1}', '{"tin": 0.5}')),
        row("bob", "mug", "2011-02-03T10:00", "e2", **attributes("damaged?", None, None)),
        row(None, "tea", "2011-02-03T10:00", "e3", **attributes("B", None, None)),
        row(None, "tea", "2011-02-02T10:00", "e4", **attributes("A", None, None)),
        row("bob", "pen", "2011-02-03T10:00", "e5"),
    ]
    tables = build([publish(rows)], storage)
    items, users = tables.items.set_index(c.ITEM_ID), tables.users.set_index(c.USER_ID)
    assert items[c.ITEM_TEXT].to_dict() == {"mug": "TIN MUG", "pen": None, "tea": "A"}, "the most frequent one"
    assert items.filter(like=c.ITEM_ATTRIBUTE).loc["mug"].to_dict() == {
        "item_attribute_height": 0.0,
        "item_attribute_tin": 0.5,
    }, "the last value"
    assert items.filter(like=c.ITEM_ATTRIBUTE).loc[["pen", "tea"]].isna().all(axis=None)
    assert users.filter(like=c.USER_ATTRIBUTE).loc["ann"].to_dict() == {
        "user_attribute_age_20": 0.0,
        "user_attribute_age_30": 1.0,
    }
    assert users.filter(like=c.USER_ATTRIBUTE).loc["bob"].isna().all()
    assert {str(t) for t in items.filter(like=c.ITEM_ATTRIBUTE).dtypes} == {"float64"}


@pytest.mark.parametrize(
    "when",
    [{}, {c.EVENT_AT: moment("2011-02-28T10:00"), c.INGESTED_AT: moment("2011-03-02T00:00")}],
    ids=["given after as_of", "given before as_of, known after it"],
)
def test_later_attributes_do_not_count(publish: Publish, storage: Storage, when: dict[str, object]) -> None:
    """An attribute without a known value has no column."""
    rows = [
        row("ann", "mug", "2011-02-01T10:00", "e0", **attributes("TIN MUG", '{"age_20": 1}', '{"tin": 1}')),
        *(
            row("ann", "mug", "2011-03-02T10:00", f"e{n}", **attributes("A", '{"age_30": 1}', '{"gold": 1}'), **when)
            for n in (1, 2, 3)
        ),
    ]
    tables = build([publish(rows)], storage)
    assert tables.items[c.ITEM_TEXT].tolist() == ["TIN MUG"]
    assert tables.items.filter(like=c.ITEM_ATTRIBUTE).to_dict("list") == {"item_attribute_tin": [1.0]}
    assert tables.users.filter(like=c.USER_ATTRIBUTE).to_dict("list") == {"user_attribute_age_20": [1.0]}


def attributes(text: str, user: str | None, item: str | None) -> dict[str, str | None]:
    return {c.ITEM_TEXT: text, c.USER_ATTRIBUTES: user, c.ITEM_ATTRIBUTES: item}


PAST = row("ann", "mug", "2011-02-20T10:00", "e1")


@pytest.mark.parametrize(
    "leak",
    [
        row("ann", "pen", "2011-03-01T00:00", "e2", **{c.INGESTED_AT: moment("2011-02-28T00:00")}),
        row("ann", "pen", "2011-02-28T10:00", "e2", **{c.INGESTED_AT: moment("2011-03-01T00:00:01")}),
    ],
    ids=["happened at as_of, with a time of arrival that lies", "happened before as_of, known after it"],
)
def test_future_rows_do_not_count(publish: Publish, storage: Storage, leak: dict[str, object]) -> None:
    tables = build([publish([PAST, leak])], storage)
    assert list(tables.items[c.ITEM_ID]) == ["mug"]
    assert tables.users["user_items"].tolist() == [1.0]


def test_rows_count_up_to_the_last_moment(publish: Publish, storage: Storage) -> None:
    last = row("ann", "pen", "2011-02-28T23:59:59.999", "e2", **{c.INGESTED_AT: moment("2011-03-01T00:00")})
    assert list(build([publish([PAST, last])], storage).items[c.ITEM_ID]) == ["mug", "pen"]


def test_known_by_event_at_trusts_the_event(publish: Publish, storage: Storage) -> None:
    late = row("ann", "pen", "2011-02-28T10:00", "e2", **{c.INGESTED_AT: moment("2014-01-01T00:00")})
    spec = FeatureSpec(lookback_days=(7, 28), known_by="event_at")
    assert list(build([publish([PAST, late])], storage, spec).items[c.ITEM_ID]) == ["mug", "pen"]


def test_later_rows_do_not_change_features(publish: Publish, storage: Storage) -> None:
    first = publish([PAST, row("bob", "mug", "2011-02-25T10:00", "e3")], "2011-02-01", "2011-03-01")
    before = build_features(FeatureRequest(USE_CASE, TaskKind.PROPENSITY, SPEC, [first], AS_OF), storage)
    later = publish([row("ann", "tea", "2011-03-05T10:00", "e4")], "2011-03-01", "2011-03-08")
    after = build_features(FeatureRequest(USE_CASE, TaskKind.PROPENSITY, SPEC, [first, later], AS_OF), storage)
    assert after.version != before.version, "its inputs differ"
    assert after.digest == before.digest, "its rows do not"


def test_overlapping_windows_count_once(publish: Publish, storage: Storage) -> None:
    monday = row("ann", "mug", "2011-02-21T10:00", "e1")
    corrected = row("ann", "mug", "2011-02-21T10:00", "e1", **{c.VALUE: 30.0, c.ROW_ID: "2011-02-21.csv:1"})
    history = [
        publish([monday, row("ann", "tea", "2011-02-20T10:00", "e0")], "2011-02-20", "2011-02-22"),
        publish([corrected, row("bob", "mug", "2011-02-22T10:00", "e2")], "2011-02-21", "2011-02-23"),
    ]
    tables = build(history, storage)
    users = tables.users.set_index(c.USER_ID)
    assert list(users.loc["ann", ["user_orders_28d", "user_spend_28d"]]) == [2, 33.0], "the newest reading of a file wins"
    pd.testing.assert_frame_equal(build(history[::-1], storage).users, tables.users)


def test_only_anonymous_rows_give_items_without_pairs(publish: Publish, storage: Storage) -> None:
    tables = build([publish([row(None, "mug", "2011-02-20T10:00", "e1")])], storage)
    assert (len(tables.users), len(tables.items), len(tables.pairs)) == (0, 1, 0)
    assert tables.items["item_buyers_28d"].tolist() == [0.0]

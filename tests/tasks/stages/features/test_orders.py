"""Orders of several rows: over midnight, corrected, returned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from tasks import columns as c
from tasks.contracts.base import TaskKind, Window
from tasks.errors import LeakageFound, NotEnoughData
from tasks.io.orders import AT, BOUGHT, ORDER, OWN_AT, RETURNED, find_open_orders, find_returned, settle_orders
from tasks.io.storage import Storage
from tasks.models.base import read_examples, read_features
from tasks.stages.features import FeatureRequest, FeatureSpec, build_features, split
from tasks.stages.features.history import happened_in
from tasks.stages.features.interactions import make_labels
from tasks.stages.features.spec import ByTime
from tasks.stages.features.vocabulary import Declared
from tests.tasks.stages.features.conftest import USE_CASE, Publish, Row, moment, row

pytestmark = pytest.mark.usefixtures("spark")
AS_OF = date(2011, 3, 1)
BACK: dict[str, Any] = {c.EVENT_TYPE: c.RETURN, c.QUANTITY: -2.0, c.VALUE: -3.0}
Settled = tuple[str, str, float, str]  # moment of the order, order, pieces, moment of the row

# case -> rows as (event_at, event_id, item, pieces, ingested_at, changes), and what is left of them
NIGHT, NEXT, FILE_1, FILE_2 = "2011-02-21T23:58", "2011-02-22T00:01", "2011-02-22T00:00", "2011-02-23T00:00"
CASES: dict[str, tuple[list[tuple[Any, ...]], list[Settled]]] = {
    "over midnight": (
        [(NIGHT, "o", "tea", 1, FILE_1, {}), (NEXT, "o", "pen", 2, FILE_2, {})],
        [(NIGHT, "o", 1, NIGHT), (NIGHT, "o", 2, NEXT)],
    ),
    "a return keeps its moment": (
        [(NIGHT, "o", "tea", 1, FILE_1, {}), (NEXT, "o", "tea", 1, FILE_2, {c.EVENT_TYPE: c.RETURN})],
        [(NIGHT, "o", 1, NIGHT), (NEXT, "o", 1, NEXT)],
    ),
    "corrected": (
        [(NIGHT, "o", "tea", 2, FILE_1, {}), (NIGHT, "o", "tea", 3, FILE_2, {})],
        [(NIGHT, "o", 3, NIGHT)],
    ),
    "corrected with the time of the correction": (
        [(NIGHT, "o", "tea", 2, FILE_1, {}), ("2011-02-24T10:00", "o", "tea", 3, "2011-02-25T00:00", {})],
        [(NIGHT, "o", 3, "2011-02-24T10:00")],
    ),
    "two lines of one delivery": (
        [(NIGHT, "o", "tea", 2, FILE_1, {}), (NIGHT, "o", "tea", 3, FILE_1, {})],
        [(NIGHT, "o", 2, NIGHT), (NIGHT, "o", 3, NIGHT)],
    ),
    "lines with names": (
        [
            (NIGHT, "o", "tea", 2, FILE_1, {c.LINE_ID: "1"}),
            (NIGHT, "o", "tea", 3, FILE_2, {c.LINE_ID: "2"}),
            (NIGHT, "o", "mug", 7, "2011-02-24T00:00", {c.LINE_ID: "1"}),
        ],
        [(NIGHT, "o", 3, NIGHT), (NIGHT, "o", 7, NIGHT)],
    ),
    "a corrected return": (
        [
            (NIGHT, "o", "tea", 2, FILE_1, {}),
            (NEXT, "o", "tea", 1, FILE_2, {c.EVENT_TYPE: c.RETURN}),
            (NEXT, "o", "tea", 2, "2011-02-24T00:00", {c.EVENT_TYPE: c.RETURN}),
        ],
        [(NIGHT, "o", 2, NIGHT), (NEXT, "o", 2, NEXT)],
    ),
    "a number that is used again": (
        [(NIGHT, "o", "tea", 1, FILE_1, {}), ("2011-02-28T23:58", "o", "tea", 2, "2011-03-01T00:00", {})],
        [(NIGHT, "o", 1, NIGHT), ("2011-02-28T23:58", "o@1", 2, "2011-02-28T23:58")],
    ),
    "rows without an order": (
        [(NIGHT, None, "tea", 1, FILE_1, {}), (NEXT, None, "tea", 2, FILE_2, {})],
        [(NIGHT, "", 1, NIGHT), (NEXT, "", 2, NEXT)],
    ),
}


def to_rows(user: str | None, case: str, given: Sequence[tuple[Any, ...]]) -> list[Row]:
    return [
        row(user, item, at, order, **{c.QUANTITY: float(pieces), c.INGESTED_AT: moment(known), c.SEGMENT: case, **changes})
        for at, order, item, pieces, known, changes in given
    ]


def test_rows_of_an_order_are_settled(spark: SparkSession, publish: Publish, storage: Storage) -> None:
    """Each case is a user of its own, and one is an anonymous user."""
    anonymous = to_rows(None, "anonymous", CASES["corrected"][0])
    rows = [made for case, (given, _) in CASES.items() for made in to_rows(case, case, given)]
    frame = spark.read.parquet(str(storage.table(publish([*rows, *anonymous])))).cache()
    open_orders = find_open_orders(frame, lambda one: one)
    assert open_orders is not None and open_orders.count() == len(CASES) - 1, "all but two lines and no order, and anonymous"
    found: dict[str, list[Settled]] = {}
    for one in settle_orders(frame, open_orders, order_days=7).collect():
        times = [one[name].isoformat()[:16] for name in (c.EVENT_AT, OWN_AT)]
        found.setdefault(one[c.SEGMENT], []).append((times[0], one[c.EVENT_ID] or "", one[c.QUANTITY], times[1]))
    expected = {case: left for case, (_, left) in CASES.items()} | {"anonymous": CASES["corrected"][1]}
    assert {case: sorted(left) for case, left in found.items()} == {case: sorted(left) for case, left in expected.items()}
    closed = frame.where(frame[c.SEGMENT] == "two lines of one delivery")
    assert find_open_orders(closed, lambda one: one) is None


Visit = tuple[str, int | None, int | None]  # order, pieces that were bought, pieces that came back


def as_frame(spark: SparkSession, pairs: Sequence[Sequence[Visit]]) -> DataFrame:
    start = pd.Timestamp("2011-01-01")
    rows = [
        (f"u{pair}", "mug", order, bought, returned, (start + pd.Timedelta(hours=hour)).to_pydatetime())
        for pair, visits in enumerate(pairs)
        for hour, (order, bought, returned) in enumerate(visits)
    ]
    schema = f"user_id string, item_id string, {ORDER} string, {BOUGHT} long, {RETURNED} long, {AT} timestamp"
    return spark.createDataFrame(rows, schema)


def test_returns_take_the_last_pieces(spark: SparkSession) -> None:
    cases: dict[tuple[Visit, ...], set[str]] = {
        (("a", 2, None), ("x", None, 2)): {"a"},
        (("a", 2, None), ("x", None, 1)): set(),
        (("a", 2, None), ("b", 3, None), ("x", None, 3)): {"b"},
        (("a", 2, None), ("b", 3, None), ("x", None, 4)): {"b"},
        (("a", 2, None), ("b", 3, None), ("x", None, 9), ("d", 1, None)): {"a", "b"},
        (("x", None, 5), ("a", 2, None)): set(),
        (("a", 2, None), ("x", None, 2), ("b", 2, None), ("y", None, 1)): {"a"},
        (("a", 2, 2), ("b", 1, None)): {"a"},
        (("a", 0, None), ("b", 1, None)): {"a"},
    }
    found = find_returned(as_frame(spark, list(cases))).collect()
    returned = {place: {row[ORDER] for row in found if row[c.USER_ID] == f"u{place}"} for place in range(len(cases))}
    assert returned == dict(enumerate(cases.values()))


@pytest.fixture
def shop() -> list[Row]:
    """Open round the clock for two months: a basket of five minutes every two hours, each third one over an hour's end.

    Tea came back as a whole, one of two pens did, and a mug of the week before. An order of two nibs became one of three.
    """
    start = moment("2011-01-25")
    baskets = [
        row(f"u{n % 7}", "mug", "2011-02-01", f"b{n}", **{c.EVENT_AT: at, c.INGESTED_AT: at})
        for n in range(35 * 12)
        for minutes in (117, 122)
        if (at := start + timedelta(hours=2 * n, minutes=minutes)) < moment("2011-03-01")
    ]
    return [
        *baskets,
        row("ann", "tea", "2011-02-23T10:00", "o1"),
        row("ann", "tea", "2011-02-24T10:00", "c1", **BACK),
        row("bob", "pen", "2011-02-23T10:00", "o2"),
        row("bob", "pen", "2011-02-24T10:00", "c2", **{**BACK, c.QUANTITY: -1.0, c.VALUE: -1.5}),
        row("cid", "mug", "2011-02-16T10:00", "o3"),
        row("cid", "mug", "2011-02-22T10:00", "c3", **BACK),
        row("cid", "mug", "2011-02-23T10:00", "o4"),
        row("dan", "nib", "2011-02-20T10:00", "o5"),
        row("dan", "nib", "2011-02-20T10:00", "o5", **{c.QUANTITY: 3.0, c.VALUE: 4.5, c.INGESTED_AT: moment("2011-02-23")}),
    ]


def test_a_shop_that_is_open_at_midnight_trains(publish: Publish, storage: Storage, shop: list[Row]) -> None:
    spec = FeatureSpec(lookback_days=(7, 28))
    request = FeatureRequest(USE_CASE, TaskKind.PROPENSITY, spec, [publish(shop)], AS_OF)
    parts = split(request, ByTime(holdout_days=7), storage, seed=7)
    holdout, validation = (read_examples(storage, part) for part in (parts.holdout, parts.validation))
    assert holdout.labels is not None and validation.labels is not None and holdout.features is not None
    labels = {tuple(pair) for pair in holdout.labels[[c.USER_ID, c.ITEM_ID]].to_numpy()}
    assert labels == {*((f"u{n}", "mug") for n in range(7)), ("bob", "pen"), ("cid", "mug")}, "ann's tea came back"
    earlier = {tuple(pair) for pair in validation.labels[[c.USER_ID, c.ITEM_ID]].to_numpy()}
    assert {("cid", "mug"), ("dan", "nib")} <= earlier, "cid returned it after the window"
    assert holdout.features.pairs is not None
    known = holdout.features.pairs.set_index(c.USER_ID)
    assert known.loc["dan", "pair_quantity"] == 2, "the correction was not known on 22 February"


KIOSK_DAYS, RECEIPTS, REGULARS = 35, 20, 5


@pytest.fixture
def kiosk(publish: Publish) -> FeatureRequest:
    """A till whose receipts are numbered 1 to 20 each day, one loaf each. The buyers of the first five are known."""
    first = AS_OF - timedelta(days=KIOSK_DAYS)
    rows = [
        row(f"u{number}" if number < REGULARS else None, "loaf", "2011-02-01", f"{number + 1}", **moments)
        for day in range(KIOSK_DAYS)
        for number in range(RECEIPTS)
        for opens in (moment((first + timedelta(days=day)).isoformat()) + timedelta(hours=7, minutes=11 * (day % 3)),)
        for moments in ({c.EVENT_AT: opens + timedelta(minutes=31 * number), c.INGESTED_AT: opens + timedelta(hours=16)},)
    ]
    return FeatureRequest(USE_CASE, TaskKind.PROPENSITY, FeatureSpec(lookback_days=(7, 28)), [publish(rows)], AS_OF)


def with_order_days(request: FeatureRequest, days: float) -> FeatureRequest:
    return replace(request, spec=FeatureSpec(lookback_days=(7, 28), order_days=days))


def test_numbers_that_begin_anew_each_day_are_refused_until_they_are_stated(storage: Storage, kiosk: FeatureRequest) -> None:
    kind = ByTime(holdout_days=7)
    with pytest.raises(LeakageFound, match=r"20 of 20 events have rows that lie a day .* Set features.order_days: 0.25 if"):
        split(kiosk, kind, storage, seed=7)
    assert read_examples(storage, split(with_order_days(kiosk, 0.25), kind, storage, seed=7).holdout).labels is not None
    with pytest.raises(NotEnoughData):
        split(with_order_days(kiosk, 7), kind, storage, seed=7)


def test_a_number_of_another_day_is_another_order(storage: Storage, kiosk: FeatureRequest) -> None:
    tables = read_features(storage, build_features(with_order_days(kiosk, 0.25), storage))
    assert tables.pairs is not None
    assert tables.items[["item_orders_28d", "item_recency_days"]].to_numpy().tolist() == [[28 * RECEIPTS, 1]]
    assert tables.pairs[["pair_orders", "pair_orders_28d"]].to_numpy().tolist() == [[KIOSK_DAYS, 28]] * REGULARS


def test_features_of_orders(publish: Publish, storage: Storage, shop: list[Row]) -> None:
    declared = (
        Declared(name="pair_returned_d", of="pair", aggregate="return_share", days=28),
        Declared(name="user_bought_d", of="user", aggregate="orders", days=28),
    )
    spec = FeatureSpec(lookback_days=(7, 28), declared=declared)
    request = FeatureRequest(USE_CASE, TaskKind.PROPENSITY, spec, [publish(shop[-9:])], AS_OF)
    tables = read_features(storage, build_features(request, storage))
    assert tables.pairs is not None
    pairs = tables.pairs.set_index(c.USER_ID)
    columns = ["pair_orders", "pair_quantity", "pair_recency_days", "pair_returned_d"]
    assert {user: list(pairs.loc[user, columns]) for user in pairs.index} == {
        "bob": [1, 1, 6, 0.5],
        "cid": [1, 2, 6, 0.5],
        "dan": [1, 3, 9, 0],
    }, "pair_orders of ann's tea is 0"
    users = tables.users.set_index(c.USER_ID)
    columns = ["user_orders_28d", "user_bought_d", "user_spend_28d"]
    assert {user: list(users.loc[user, columns]) for user in users.index} == {
        "bob": [1, 1, 1.5],
        "cid": [1, 1, 3],
        "dan": [1, 1, 4.5],
    }
    assert list(tables.items[c.ITEM_ID]) == ["mug", "nib", "pen"]


def test_a_session_of_ratings_keeps_the_last_one(spark: SparkSession, publish: Publish, storage: Storage) -> None:
    rated = {c.EVENT_TYPE: c.RATING, c.INGESTED_AT: moment("2011-02-24T00:00")}
    rows = [
        row("ann", "heat", "2011-02-23T23:58", "s", **rated, **{c.VALUE: 5.0, c.ROW_ID: "f:1"}),
        row("ann", "heat", "2011-02-24T00:00", "s", **rated, **{c.VALUE: 1.0, c.ROW_ID: "f:2"}),
    ]
    frame = spark.read.parquet(str(storage.table(publish(rows))))
    keep: Callable[[DataFrame], DataFrame] = DataFrame.cache
    settled = settle_orders(frame, find_open_orders(frame, keep), order_days=7)
    day = Window(start=date(2011, 2, 23), end=date(2011, 2, 24))
    assert [row[c.LABEL] for row in make_labels(settled.where(happened_in(day)), TaskKind.RATING).collect()] == [1.0]

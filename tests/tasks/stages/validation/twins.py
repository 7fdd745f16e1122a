"""For each suite a frame in which every rule holds, and for each of its rules the change that breaks it and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sklearn.datasets import load_breast_cancer

from tasks import columns as c

NOON = datetime(2011, 3, 7, 12, tzinfo=UTC)
MIDNIGHT = datetime(2011, 3, 8, tzinfo=UTC)
DELIVERED = '{"row":"of an earlier file"}'
Row = dict[str, Any]


def _interaction(place: int) -> Row:
    return {
        c.ROW_ID: f"2011-03-07.csv:{place}",
        c.SOURCE_FILE: "2011-03-07.csv",
        c.EVENT_AT: NOON,
        c.INGESTED_AT: MIDNIGHT,
        c.AS_IT_CAME: f'{{"row":"{place}"}}',
        c.EVENT_ID: "536365",
        c.EVENT_TYPE: c.PURCHASE,
        c.USER_ID: "17850",
        c.ITEM_ID: "85123A",
        c.ITEM_TEXT: "LANTERN",
        c.QUANTITY: 6.0,
        c.UNIT_PRICE: 2.5,
        c.VALUE: 15.0,
        c.SEGMENT: "EIRE",
    }


def good_invoice_lines() -> list[Row]:
    returned = _interaction(2) | {c.EVENT_TYPE: c.RETURN, c.QUANTITY: -2.0, c.VALUE: -5.0}
    free = _interaction(3) | {c.UNIT_PRICE: 0.0, c.VALUE: 0.0, c.ITEM_TEXT: None}
    return [_interaction(1), returned, free]


def good_ratings() -> list[Row]:
    rated = {c.EVENT_TYPE: c.RATING, c.QUANTITY: None, c.UNIT_PRICE: None, c.SEGMENT: None}
    return [_interaction(place) | rated | {c.VALUE: value} for place, value in ((1, 0.5), (2, 5.0), (3, 3.0))]


def good_tumours() -> list[Row]:
    bunch = load_breast_cancer()
    names = [str(name) for name in bunch.feature_names]
    return [
        {
            c.ROW_ID: f"breast_cancer:{place}",
            c.SOURCE_FILE: "breast_cancer",
            c.EVENT_AT: NOON,
            c.INGESTED_AT: NOON,
            c.AS_IT_CAME: f'{{"row":"{place}"}}',
            c.TARGET: int(target == 0),
            **dict(zip(names, map(float, measured), strict=True)),
        }
        for place, (measured, target) in enumerate(zip(bunch.data[:120], bunch.target[:120], strict=True), start=1)
    ]


GOOD = {
    "invoice_lines": good_invoice_lines,
    "interactions": good_invoice_lines,
    "ratings": good_ratings,
    "film_ratings": good_ratings,
    "tumours": good_tumours,
    "tables": good_tumours,
}

AFTER = {c.EVENT_AT: datetime(2011, 3, 9, tzinfo=UTC)}  # later than the delivery
TWICE = {c.AS_IT_CAME: '{"row":"1"}'}  # as the first row
RATING_ROWS: dict[str, Row] = {
    "event_at_parses": {c.EVENT_AT: None},
    "happened_before_it_was_known": AFTER,
    "user_known": {c.USER_ID: None},
    "item_known": {c.ITEM_ID: None},
    "rating_parses": {c.VALUE: None},
    "exact_duplicates": TWICE,
}

# suite -> rule -> what a row of its own has instead of the first good row's cells
BROKEN_ROWS: dict[str, dict[str, Row]] = {
    "invoice_lines": {
        "event_at_parses": {c.EVENT_AT: None},
        "happened_before_it_was_known": {c.EVENT_AT: datetime(2011, 3, 8, 0, 0, 1, tzinfo=UTC)},
        "invoice_known": {c.EVENT_ID: None, c.EVENT_TYPE: None},
        "item_known": {c.ITEM_ID: None},
        "quantity_parses": {c.QUANTITY: None, c.VALUE: None},
        "quantity_not_zero": {c.QUANTITY: 0.0, c.VALUE: 0.0},
        "quantity_plausible": {c.QUANTITY: 100_001.0},
        "sign_agrees_with_kind": {c.QUANTITY: -6.0},
        "unit_price_parses": {c.UNIT_PRICE: None, c.VALUE: None},
        "unit_price_not_negative": {c.UNIT_PRICE: -0.01},
        "unit_price_plausible": {c.UNIT_PRICE: 50_000.01},
        "country_known": {c.SEGMENT: None},
        "exact_duplicates": {c.AS_IT_CAME: '{"row":"1"}'},
        "delivered_once": {c.AS_IT_CAME: DELIVERED},
        "customer_known": {c.USER_ID: None},
        "returned_item_was_sold": {c.ITEM_ID: "9", c.EVENT_TYPE: c.RETURN, c.QUANTITY: -1.0, c.VALUE: -2.5},
    },
    "interactions": {
        "event_at_parses": {c.EVENT_AT: None},
        "happened_before_it_was_known": AFTER,
        "item_known": {c.ITEM_ID: None},
        "event_type_known": {c.EVENT_TYPE: None},
        "sign_agrees_with_kind": {c.QUANTITY: -6.0},
        "unit_price_not_negative": {c.UNIT_PRICE: -0.01},
        "exact_duplicates": TWICE,
        "delivered_once": {c.AS_IT_CAME: DELIVERED},
        "user_known": {c.USER_ID: None},
    },
    "ratings": RATING_ROWS,
    "film_ratings": {**RATING_ROWS, "rating_on_the_scale": {c.VALUE: 5.5}, "title_known": {c.ITEM_TEXT: None}},
    "tumours": {
        "diagnosis_known": {c.TARGET: None},
        "diagnosis_is_a_class": {c.TARGET: 2},
        "measurements_complete": {"mean texture": float("nan")},
        "measurements_not_negative": {"mean texture": -1.0},
        "radius_plausible": {"mean radius": 180.0, "worst radius": 250.0},
        "worst_radius_is_the_worst": {"worst radius": 1.0},
        "exact_duplicates": {c.AS_IT_CAME: '{"row":"1"}'},
    },
    "tables": {
        "event_at_parses": {c.EVENT_AT: None},
        "happened_before_it_was_known": AFTER,
        "target_is_a_class": {c.TARGET: 2},
        "exact_duplicates": TWICE,
    },
}

RATING_BATCHES: dict[str, Any] = {
    "some_ratings_came": lambda rows: [],
    "rows_are_ratings": lambda rows: [row | {c.EVENT_TYPE: c.PURCHASE} for row in rows],
    "row_id_is_a_key": lambda rows: [row | {c.ROW_ID: rows[0][c.ROW_ID]} for row in rows],
    "ratings_like_the_past": lambda rows: rows,
}

# suite -> rule about the whole -> what becomes of the good rows
BROKEN_BATCHES: dict[str, dict[str, Any]] = {
    "invoice_lines": {
        "some_lines_came": lambda rows: [],
        "event_at_is_a_time": lambda rows: [row | {c.EVENT_AT: str(row[c.EVENT_AT])} for row in rows],
        "row_id_is_a_key": lambda rows: [row | {c.ROW_ID: rows[0][c.ROW_ID]} for row in rows],
        "lines_are_fresh": lambda rows: [row | {c.EVENT_AT: NOON - timedelta(days=15)} for row in rows],
        "volume_like_the_past": lambda rows: rows,
        "prices_like_the_past": lambda rows: rows,
    },
    "interactions": {
        "some_rows_came": lambda rows: [],
        "row_id_is_a_key": lambda rows: [row | {c.ROW_ID: rows[0][c.ROW_ID]} for row in rows],
        "volume_like_the_past": lambda rows: rows,
    },
    "ratings": RATING_BATCHES,
    "film_ratings": RATING_BATCHES,
    "tables": {
        "some_rows_came": lambda rows: [],
        "both_classes_present": lambda rows: [row | {c.TARGET: 1} for row in rows],
        "row_id_is_a_key": lambda rows: [row | {c.ROW_ID: "breast_cancer:1"} for row in rows],
        "volume_like_the_past": lambda rows: rows,
    },
    "tumours": {
        "enough_rows": lambda rows: rows[:99],
        "both_classes_present": lambda rows: [row | {c.TARGET: 1} for row in rows],
        "row_id_is_a_key": lambda rows: [row | {c.ROW_ID: "breast_cancer:1"} for row in rows],
    },
}

# what the past gives: such that the good rows are as usual, and for one rule such that they are not
USUAL_RATINGS: dict[str, Any] = {"past_shares_of_value": {"values": [0.5, 3.0, 5.0], "weights": [0.3, 0.3, 0.4]}}
USUAL: dict[str, dict[str, Any]] = {
    "invoice_lines": {"past_rows": 4, "past_shares_of_price_band": {"values": ["2.0", "0 or less"], "weights": [0.6, 0.4]}},
    "interactions": {"past_rows": 4},
    "ratings": USUAL_RATINGS,
    "film_ratings": USUAL_RATINGS,
    "tumours": {},
    "tables": {"past_rows": 120},
}
UNUSUAL: dict[str, dict[str, Any]] = {
    "some_lines_came": {"past_rows": 0},  # nothing at all is also unlike any past
    "some_rows_came": {"past_rows": 0},
    "volume_like_the_past": {"past_rows": 10_000},
    "prices_like_the_past": {"past_shares_of_price_band": {"values": ["2.0", "256.0"], "weights": [0.01, 0.99]}},
    "ratings_like_the_past": {"past_shares_of_value": {"values": [0.5, 1.0], "weights": [0.01, 0.99]}},
}

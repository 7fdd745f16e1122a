"""Columns get their roles by name and cells. Where they do not tell, there is a doubt; where nothing fits, a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.samples import Sample
from tasks.errors import SourceError
from tasks.stages.proposal import Proposal, propose
from tasks.use_case import parse_use_case

ROWS = 40
SHOP: dict[str, list[Any]] = {
    "order": [f"o{place // 2}" for place in range(ROWS)],
    "at": [f"2024-03-{1 + place // 2:02} 10:00:00" for place in range(ROWS)],
    "customer": [f"c{place // 2 % 7}" for place in range(ROWS)],
    "sku": [f"s{place % 5}" for place in range(ROWS)],
    "pieces": [str(1 + place % 3) for place in range(ROWS)],
    "price": ["1.50"] * ROWS,
}
TABLE: dict[str, list[Any]] = {
    "row_id": [f"r{place}" for place in range(ROWS)],
    "age": [str(20 + place) for place in range(ROWS)],
    "job": [("clerk", "student", "nurse")[place % 3] for place in range(ROWS)],
    "outcome": [("yes", "no", "no")[place * 7 % 3] for place in range(ROWS)],
}


def sample(cells: Mapping[str, Sequence[Any]], **source: Any) -> Sample:
    rows = len(next(iter(cells.values())))
    return Sample("a file", {"format": "csv", **source}, cells, {}, rows, rows, is_whole=True)


def proposed(cells: Mapping[str, Sequence[Any]], **options: Any) -> Proposal:
    found = propose(sample(cells), "shop", **options)
    parse_use_case(found.use_case_text, "shop.yaml")
    return found


def doubts(found: Proposal) -> dict[str, str]:
    return {one.where: one.text for one in found.doubts}


def test_a_shop() -> None:
    found = proposed(SHOP)
    assert found.use_case["task"] == "propensity"
    assert found.use_case["source"]["columns"] == {
        c.USER_ID: "customer",
        c.ITEM_ID: "sku",
        c.EVENT_AT: "at",
        c.EVENT_ID: "order",
        c.QUANTITY: "pieces",
        c.UNIT_PRICE: "price",
    }
    assert found.use_case["source"]["cells"]["at"] == "timestamp"
    assert found.suite is not None and found.suite["includes"] == "interactions"
    assert "# such as o0, o1" in found.use_case_text


def test_numbers_of_receipts_that_begin_anew_each_day() -> None:
    receipts = {**SHOP, "order": [str(1 + place % 2) for place in range(ROWS)]}
    assert proposed(receipts).use_case["source"]["event_id_unique"] == "per_day"
    sessions = {("session_id" if name == "order" else name): cells for name, cells in SHOP.items()}
    assert proposed(sessions).use_case["source"]["event_id_unique"] == "session"
    assert "event_id_unique" not in proposed(SHOP).use_case["source"]


def test_ratings_have_a_constant_and_the_scale_that_was_seen() -> None:
    stars = {name: SHOP[name] for name in ("at", "customer", "sku")} | {"stars": [str(1 + place % 5) for place in range(ROWS)]}
    found = proposed(stars)
    assert found.use_case["task"] == "rating" and found.use_case["source"]["constants"] == {c.EVENT_TYPE: c.RATING}
    assert found.suite is not None
    assert found.suite["rules"][0]["with"] == {"column": c.VALUE, "min_value": 1.0, "max_value": 5.0}


def test_words_of_events_that_are_not_known_are_told() -> None:
    events = {**SHOP, "action": [("view", "buy", "scroll")[place % 3] for place in range(ROWS)]}
    found = proposed(events)
    assert found.use_case["source"]["cells"]["action"] == {"type": "string", "words": {"buy": "purchase", "scroll": "other"}}
    assert "scroll (13 of 40 rows): no known event" in doubts(found)["action"]
    views = {**SHOP, "action": ["view", "click"] * (ROWS // 2)}
    assert "no event is a purchase" in doubts(proposed(views))["task"]


def test_a_table_with_a_target() -> None:
    found = proposed(TABLE)
    source = found.use_case["source"]
    assert found.use_case["task"] == "classification" and found.suite is None
    assert source["columns"] == {c.TARGET: "outcome", c.EVENT_ID: "row_id"}
    assert (source["positive"], "negative" in source) == ("yes", False)
    assert source["cells"] == {"row_id": "id", "age": "double", "job": "string", "outcome": "string"}


def test_classes_that_are_no_booleans_need_both_words() -> None:
    table = {**TABLE, "outcome": [("lives", "dies", "lives")[place * 7 % 3] for place in range(ROWS)]}
    found = proposed(table)
    assert (found.use_case["source"]["positive"], found.use_case["source"]["negative"]) == ("dies", ["lives"])
    assert "rarer class" in doubts(found)["outcome"]


def test_spellings_of_yes_and_no_are_two_classes_and_other_words_are_none() -> None:
    words = ["Yes", "No", "yes", "NO", "TRUE", "0", "No", "Yes", "No", "unknown"]
    found = proposed({**TABLE, "outcome": words * (ROWS // len(words))})
    source = found.use_case["source"]
    assert (source["positive"], "negative" in source) == ("Yes", False)
    assert source["cells"]["outcome"]["missing"][:2] == ["unknown", "null"]
    assert doubts(found)["outcome"].startswith("unknown (4 rows): neither class")
    many = ["Yes", "No", "maybe", "later"] * (ROWS // 4)  # half of the rows are of other words: more than two classes
    with pytest.raises(SourceError, match="no target of two classes"):
        proposed({**TABLE, "outcome": many})


@pytest.mark.parametrize(("yes", "no", "unknown"), [("ja", "nein", "unbekannt"), ("oui", "non", "inconnu"), ("Sí", "No", "?")])
def test_yes_and_no_of_a_language_are_two_classes(yes: str, no: str, unknown: str) -> None:
    words = [yes, no, yes.upper(), no, no, unknown, no, yes, no, no]
    found = proposed({**TABLE, "gekündigt": words * (ROWS // len(words))}, target="gekündigt")
    source = found.use_case["source"]
    assert (source["positive"], source["negative"]) == (yes, [no])
    assert source["cells"]["gekündigt"]["missing"][0] == unknown
    assert doubts(found)["gekündigt"].startswith(f"{unknown} ({ROWS // len(words)} rows): neither class")


def test_a_column_that_states_the_target_is_left_out() -> None:
    cells = [cell for cell in TABLE["outcome"] for _ in range(3)]
    table = {name: [f"{cell}" for cell in column for _ in range(3)] for name, column in TABLE.items()}
    table["row_id"] = [f"r{place}" for place in range(3 * ROWS)]
    found = proposed({**table, "closed_as": [{"yes": "won", "no": "lost"}[cell] for cell in cells]}, target="outcome")
    assert found.use_case["source"]["cells"]["closed_as"] == "ignore"
    assert "states it" in doubts(found)["closed_as"]


def test_what_cannot_be_a_feature_is_ignored() -> None:
    table = {
        **TABLE,
        "birth_date": [f"19{60 + place}-01-01" for place in range(ROWS)],
        "version": ["1"] * ROWS,
        "empty": [None] * ROWS,
        "": [str(place) for place in range(ROWS)],
    }
    cells = proposed(table).use_case["source"]["cells"]
    assert [cells[name] for name in ("birth_date", "version", "empty", "")] == ["ignore"] * 4


def test_a_person_may_name_task_and_target() -> None:
    flags = {**SHOP, "gift": [("yes", "no")[place % 2] for place in range(ROWS)]}
    assert proposed(flags, target="gift").use_case["task"] == "classification"
    assert proposed(SHOP, task=TaskKind.RECOMMENDATION).use_case["task"] == "recommendation"
    assert proposed(SHOP, time_zone="Europe/Paris").use_case["time_zone"] == "Europe/Paris"
    assert "time_zone" in doubts(proposed(SHOP)) and "time_zone" not in doubts(proposed(SHOP, time_zone="Europe/Paris"))


def test_a_target_among_other_flags_is_doubted_unless_its_name_says_so() -> None:
    flags = {"is_default_in_file": [str(place * 5 % 3 % 2) for place in range(ROWS)], **TABLE}
    assert "two classes have also" not in str(doubts(proposed(flags)))  # outcome is the name of a target
    unnamed = {("won" if name == "outcome" else name): cells for name, cells in flags.items()}
    assert any("two classes have also" in text for text in doubts(proposed(unnamed)).values())


def test_money_beside_the_sale_is_no_value() -> None:
    with_freight = {**SHOP, "freight_value": ["0.50"] * (ROWS - 1) + ["0.75"]}
    assert c.VALUE not in proposed(with_freight).use_case["source"]["columns"]
    assert proposed({**SHOP, "total_value": ["3.00"] * ROWS}).use_case["source"]["columns"][c.VALUE] == "total_value"


def test_a_clicked_flag_is_a_target_and_not_a_purchase() -> None:
    clicks = {name: SHOP[name] for name in ("at", "customer", "sku")} | {"clicked": [str(place % 2) for place in range(ROWS)]}
    found = proposed(clicks)
    assert found.use_case["task"] == "classification" and found.use_case["source"]["columns"][c.TARGET] == "clicked"
    assert "--task recommendation" in doubts(found)["task"]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"a": ["1", "2", "3"], "b": ["x", "y", "z"]}, "no target of two classes"),
        ({name: SHOP[name] for name in ("customer", "sku", "price")}, "no column for event_at was found"),
        ({"a": []}, "there are no rows"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_by_name(cells: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        proposed(cells)


def test_a_target_that_is_not_there_is_refused() -> None:
    with pytest.raises(SourceError, match="no column 'gain'; there are: 'row_id', 'age'"):
        proposed(TABLE, target="gain")
    with pytest.raises(SourceError, match="the column 'age' does not have two classes"):
        proposed(TABLE, target="age")

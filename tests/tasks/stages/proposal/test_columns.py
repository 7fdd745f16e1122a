"""What a column holds is concluded from its cells, with the share that fits."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tasks.stages.proposal.columns import BOOLEAN, EMPTY, NUMBER, TEXT, TIME, describe_column
from tasks.stages.proposal.words import event_of, words_of

CELLS: dict[str, tuple[str, list[str | None], dict[str, Any], str]] = {
    "whole numbers": ("pieces", ["1", "2", "NULL", "?", None], {"type": "long"}, NUMBER),
    "points": ("price", ["1.50", "12", "3.25"], {"type": "double"}, NUMBER),
    "decimal commas": ("preis", ["1234,50", "€ 12,00"], {"type": "double", "decimal": ",", "symbols": ["€"]}, NUMBER),
    "both signs": (
        "umsatz",
        ["1.234,50 €", "7,00 €"],
        {"type": "double", "decimal": ",", "thousands": ".", "symbols": ["€"]},
        NUMBER,
    ),
    "dollars": ("sales", ["$1,234.50", "$3.00"], {"type": "double", "thousands": ",", "symbols": ["$"]}, NUMBER),
    "percent": ("rate", ["3,5 %", "10,0 %"], {"type": "double", "decimal": ",", "percent": True}, NUMBER),
    "spaces": ("prix", ["1 234,50", "7,25"], {"type": "double", "decimal": ",", "thousands": " "}, NUMBER),
    "leading zeros": ("zip", ["01234", "02345"], {"type": "string"}, TEXT),
    "yes and no": ("married", ["yes", "No"], {"type": "boolean"}, BOOLEAN),
    "a flag": ("flag", ["0", "1"], {"type": "long"}, NUMBER),
    "milliseconds": ("timestamp", ["1433221332117", "1433223332117"], {"type": "timestamp", "unit": "ms"}, TIME),
    "seconds of pandas": ("sold_at", ["1433221332.0", "1433223332.0"], {"type": "timestamp", "unit": "s"}, TIME),
    "an id of 19 digits": ("user_id", ["1515915625591659523", "1515915625591659524"], {"type": "long"}, NUMBER),
    "days": ("birthday", ["19800101", "19900202"], {"type": "long"}, NUMBER),
    "days by name": ("date", ["19800101", "19900202"], {"type": "date", "format": "yyyyMMdd"}, TIME),
    "time of day": ("hour", ["08:15", "17:30"], {"type": "time"}, NUMBER),
    "a list": ("genres", ["Drama|War", "War", "Drama"], {"type": "list"}, TEXT),
    "nothing": ("note", [None, " ", "NULL"], {"type": "string"}, EMPTY),
}


@pytest.mark.parametrize("case", CELLS)
def test_a_column_is_declared_as_it_is(case: str) -> None:
    name, cells, cell, kind = CELLS[case]
    found = describe_column(name, cells * 6)
    assert (dict(found.cell), found.kind, found.share) == (cell, kind, 1.0)


def test_the_share_that_fits_is_told_with_examples() -> None:
    found = describe_column("price", ["1.5"] * 97 + ["free", "on request", "call"])
    assert found.kind == NUMBER and found.share == pytest.approx(0.97)
    assert found.misfits == ("free", "on request", "call")
    assert describe_column("price", ["1.5"] * 80 + ["free"] * 20).kind == TEXT


def test_formats_over_time_are_told_with_their_shares() -> None:
    found = describe_column("when", ["2024-01-13 10:00:00"] * 98 + ["13.02.2024 11:00"] * 2)
    assert found.cell == {"type": "timestamp", "formats": ["yyyy-MM-dd HH:mm:ss", "dd.MM.yyyy HH:mm"]}
    assert [one.share for one in found.alternatives] == [0.98, 0.02]
    assert found.share == 1.0


def test_the_order_of_the_rows_tells_day_from_month() -> None:
    months = describe_column("when", ["1/2/2024", "1/3/2024", "1/12/2024", "2/1/2024"])
    days = describe_column("when", ["1/2/2024", "2/2/2024", "12/2/2024", "1/3/2024"])
    assert (months.cell["format"], months.tied) == ("M/d/yyyy", ())
    assert (days.cell["format"], days.tied) == ("d/M/yyyy", ())
    assert describe_column("when", ["1/2/2024"] * 4).tied == ("M/d/yyyy",)


def test_typed_cells_are_what_their_format_says() -> None:
    moment = datetime(2024, 3, 4, 10, tzinfo=UTC)
    times = describe_column("at", [moment, None], "timestamp[us, tz=UTC]")
    assert (times.cell, times.times, times.states_offset) == ({"type": "timestamp"}, (moment, None), True)
    ids = describe_column("customer", [12345607.0, float("nan"), None], "double")
    assert (ids.cell, list(ids.values), ids.full) == ({"type": "double"}, ["12345607"], 1)
    assert describe_column("price", [Decimal("1.50")], "decimal128(10, 2)").cell == {"type": "decimal"}
    assert describe_column("tags", [["a", "b"]], "list<item: string>").cell == {"type": "list"}
    assert describe_column("ts", [1433221332117], "int64").cell == {"type": "timestamp", "unit": "ms"}
    assert describe_column("sku", ["a", "b"], "dictionary<values=string, indices=int32>").cell == {"type": "string"}


def test_names_are_parted_into_words() -> None:
    assert words_of("orderID") == words_of("order_id") == words_of("Order ID") == words_of("orderid") == ("order", "id")
    assert words_of("Kundennummer") == ("kunden", "nummer")
    assert words_of("cons.price.idx") == ("cons", "price", "idx")


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("addtocart", "cart"),
        ("Add to Cart", "cart"),
        ("view_item", "view"),
        ("begin_checkout", "cart"),
        ("purchase", "purchase"),
        ("refunded", "return"),
        ("signup", None),
        ("sign_up_for_news", None),
    ],
)
def test_words_of_events(word: str, kind: str | None) -> None:
    assert event_of(word) == kind

"""How well a column fits a canonical one of interactions, by its name and its cells: 0 where it does not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from tasks import columns as c
from tasks.stages.proposal.columns import BOOLEAN, EMPTY, NUMBER, TEXT, TIME, Column
from tasks.stages.proposal.words import (
    BESIDE_THE_SALE,
    EVENTS,
    HAPPENED,
    ID,
    ITEMS,
    LATER,
    LINES,
    MONEY,
    NOT_AN_ID,
    ORDERS,
    PRICES,
    QUANTITIES,
    RATINGS,
    SEGMENTS,
    TITLES,
    USERS,
    describes_the_row,
    event_of,
    names_any,
)

FEW = 20  # different values that a type of events may have
Score = Callable[[Column, Sequence[str]], float]


def is_like_id(one: Column, words: Sequence[str]) -> bool:
    """Whether the cells of a column can name something that comes again, and its name says nothing else."""
    if set(words) & NOT_AN_ID or one.kind in {TIME, EMPTY, BOOLEAN} or one.distinct < 2:
        return False
    return not (one.cell.get("decimal") or "symbols" in one.cell or one.cell.get("type") in {"decimal", "time", "list"})


def _id_points(one: Column, words: Sequence[str], wanted: Collection[str]) -> float:
    if not names_any(words, wanted) or not is_like_id(one, words):
        return 0.0
    return 2.0 + bool(set(words) & ID) + 0.5 * names_any(words[:1], wanted) - len(words) / 100


def _user(one: Column, words: Sequence[str]) -> float:
    return 0.0 if names_any(words, (ORDERS | QUANTITIES) - {"purchase"}) else _id_points(one, words, USERS)


def _item(one: Column, words: Sequence[str]) -> float:
    return 0.0 if names_any(words, QUANTITIES | PRICES) else _id_points(one, words, ITEMS)


def _order(one: Column, words: Sequence[str]) -> float:
    return 0.0 if names_any(words, QUANTITIES | MONEY) else _id_points(one, words, ORDERS)


def _line(one: Column, words: Sequence[str]) -> float:
    is_named = bool(set(words) & LINES) and (bool(set(words) & {*ID, "item"}) or len(words) == 1)
    return 1.0 if is_named and one.kind in {NUMBER, TEXT} and one.distinct > 1 else 0.0


def _time(one: Column, words: Sequence[str]) -> float:
    if one.kind != TIME:
        return 0.0
    points = 2.5 if one.cell.get("type") == "timestamp" else 2.0
    return points - 1.5 * (describes_the_row(words) or bool(set(words) & LATER)) + 0.2 * bool(set(words) & HAPPENED)


def _event(one: Column, words: Sequence[str]) -> float:
    if one.kind != TEXT or not 1 <= one.distinct <= FEW or "status" in words:
        return 0.0
    known = sum(rows for word, rows in one.values.items() if event_of(word))
    return known / one.full * 2 + 0.5 * bool(set(words) & {*EVENTS, "type"}) if known > one.full / 2 else 0.0


def _quantity(one: Column, words: Sequence[str]) -> float:
    if one.kind != NUMBER or not names_any(words, QUANTITIES) or names_any(words, PRICES):
        return 0.0
    if not all(number.is_integer() for number in one.numbers):
        return 0.0
    return 1.0 if "amount" in words else 2.0


def _price(one: Column, words: Sequence[str]) -> float:
    if one.kind != NUMBER or not names_any(words, PRICES):
        return 0.0
    return 2.0 - bool(set(words) & MONEY)


def _value(one: Column, words: Sequence[str]) -> float:
    if one.kind != NUMBER or set(words) & ID:
        return 0.0
    if names_any(words, RATINGS):
        return 3.0 - len(words) / 100
    return 1.0 if set(words) & MONEY and not set(words) & BESIDE_THE_SALE else 0.0


def _title(one: Column, words: Sequence[str]) -> float:
    if one.kind != TEXT or not names_any(words, TITLES) or names_any(words, USERS):
        return 0.0
    is_name = not set(words) & {"category", "genre", "genres", "label"}
    return 1.0 + is_name + 0.5 * names_any(words, ITEMS)


def _segment(one: Column, words: Sequence[str]) -> float:
    if one.kind != TEXT or not 2 <= one.distinct <= 300:
        return 0.0
    return max((2.0 - place / 100 for place, word in enumerate(SEGMENTS) if word in words), default=0.0)


SCORES: Mapping[str, Score] = {  # in the order in which they choose
    c.EVENT_AT: _time,
    c.USER_ID: _user,
    c.ITEM_ID: _item,
    c.EVENT_ID: _order,
    c.LINE_ID: _line,
    c.EVENT_TYPE: _event,
    c.QUANTITY: _quantity,
    c.UNIT_PRICE: _price,
    c.VALUE: _value,
    c.ITEM_TEXT: _title,
    c.SEGMENT: _segment,
}

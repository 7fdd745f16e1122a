"""Reads what clients send as ingestion reads the cells of files: the same spelling gives the same value in both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from serving.deployment.bundle import Bundle
from serving.http import messages
from serving.http.problems import Refusal
from tasks import columns as c
from tasks.io.cells import CellReader, LostCell

EVENTS_OF_CLIENTS = (c.VIEW, c.CART, c.PURCHASE, c.RATING)
MOST_AT_ONCE = 1e9  # pieces of one event
LARGEST_LABEL = 1e12


def read_id(reader: CellReader, text: str, where: str) -> str:
    """An id as ingestion reads it.

    Raises
    ------
    InvalidRequest : the text means a missing id, or is none.
    """
    found = read_cell(reader, text, where)
    if found is None:
        raise messages.InvalidRequest(where, "means a missing id; leave it out, or send the id")
    return str(found)


def read_ids(reader: CellReader, texts: Sequence[str], where: str) -> list[str]:
    """Several ids, in their order."""
    return [read_id(reader, text, f"{where}.{place}") for place, text in enumerate(texts)]


def read_cell(reader: CellReader, value: float | str | None, where: str) -> float | str | None:
    """A cell as ingestion reads it; None where it is missing.

    Raises
    ------
    InvalidRequest : it is not what the column holds. In a file it would be in quarantine.
    """
    try:
        return reader(value)
    except LostCell:
        raise messages.InvalidRequest(where, f"expected {reader.expected}") from None


def read_rows(bundle: Bundle, body: bytes, refuse: Callable[[messages.InvalidRequest], None]) -> tuple[list[Any], Any]:
    """The rows of a body, each in the order of the model's columns, with the values that ingestion gives the same cells; ids.

    Numbers are read as numbers first. Only a body with text among them is decoded again.

    Parameters
    ----------
    refuse : raises with a better description of a fault, where there is one.

    Raises
    ------
    Refusal, InvalidRequest : the rows are not those of the model.
    """
    readers = bundle.column_readers
    try:
        request, places = messages.decode(bundle.row_decoder, body), bundle.checked_places
    except messages.InvalidRequest as error:
        try:
            request, places = messages.decode(bundle.loose_row_decoder, body), tuple(range(len(readers)))
        except messages.InvalidRequest:
            refuse(error)
            raise error from None
    rows = [msgspec.structs.astuple(row) for row in request.rows]
    if places:
        rows = _read_places(rows, readers, places, bundle.terms.row_columns)
    return rows, request.row_ids


def _read_places(
    rows: Sequence[tuple[Any, ...]], readers: Sequence[CellReader], places: Sequence[int], names: Sequence[str]
) -> list[Any]:
    """The rows with the values of the cells at some places."""
    read, faults = [], []
    for number, row in enumerate(rows):
        cells = list(row)
        for place in places:
            try:
                cells[place] = readers[place](cells[place])
            except LostCell:
                faults.append((f"body.rows.{number}.{names[place]}", f"expected {readers[place].expected}"))
        read.append(tuple(cells))
    if faults:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "rows have cells that are not what their column holds", faults=faults)
    return read


def read_event(bundle: Bundle, event: messages.Event, where: str) -> dict[str, Any]:
    """The ids, the kind and the numbers of an event."""
    kind = read_cell(bundle.reader(c.EVENT_TYPE), event.event_type, f"{where}.event_type")
    if kind not in EVENTS_OF_CLIENTS:
        raise messages.InvalidRequest(f"{where}.event_type", f"expected one of {', '.join(EVENTS_OF_CLIENTS)}")
    quantity = read_cell(bundle.reader(c.QUANTITY), event.quantity, f"{where}.quantity")
    if not isinstance(quantity, float) or not 0.0 < quantity <= MOST_AT_ONCE:
        raise messages.InvalidRequest(f"{where}.quantity", f"expected a number above 0, at most {MOST_AT_ONCE:.0f}")
    value = read_cell(bundle.reader(c.VALUE), event.value, f"{where}.value")
    if kind == c.RATING and value is None:
        raise messages.InvalidRequest(f"{where}.value", "a rating needs a value")
    return {
        "user_id": read_id(bundle.reader(c.USER_ID), event.user_id, f"{where}.user_id"),
        "item_id": read_id(bundle.reader(c.ITEM_ID), event.item_id, f"{where}.item_id"),
        "event_type": kind,
        "value": value,
        "quantity": quantity,
    }


def read_outcome(bundle: Bundle, outcome: messages.Outcome, where: str) -> dict[str, Any]:
    """The item and the label of an outcome."""
    label = read_cell(bundle.reader(c.VALUE if bundle.terms.task.rates_pairs else c.TARGET), outcome.label, f"{where}.label")
    if not isinstance(label, float) or abs(label) > LARGEST_LABEL:
        raise messages.InvalidRequest(f"{where}.label", "expected a label, got a missing one, or a number beyond 1e12")
    item = outcome.item_id
    return {"label": label, "item_id": read_id(bundle.reader(c.ITEM_ID), item, f"{where}.item_id") if item else ""}

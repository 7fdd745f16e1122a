"""The decoder of request bodies that hold rows of exactly one model's columns."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

MAX_SUBJECTS = 1000  # users, rows, pairs or events in one request

Id = Annotated[str, Meta(min_length=1, max_length=200)]
Cell = Annotated[str, Meta(max_length=10_000, description="for a text column")]


def make_row_decoder(columns: tuple[str, ...], text_columns: tuple[str, ...] = ()) -> msgspec.json.Decoder[Any]:
    """A decoder of `PredictionsRequest` whose rows are structs with one field per column, in the order of `columns`.

    A cell is a number, or text in `text_columns`. null is a missing cell.
    """
    fields = {f"c{place}": name for place, name in enumerate(columns)}
    typed = [(field, Cell | None if name in text_columns else float | None) for field, name in fields.items()]
    row = msgspec.defstruct("Row", typed, rename=fields, frozen=True, forbid_unknown_fields=True, gc=False)
    rows = Annotated[list[row], Meta(min_length=1, max_length=MAX_SUBJECTS)]  # type: ignore[valid-type]  # made at run time
    row_ids = Annotated[list[Id], Meta(max_length=MAX_SUBJECTS)] | None
    body = msgspec.defstruct("Rows", [("rows", rows), ("row_ids", row_ids, None)], frozen=True, forbid_unknown_fields=True)
    return msgspec.json.Decoder(body)

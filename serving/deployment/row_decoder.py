"""The decoder of request bodies that hold rows of exactly one model's columns."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any

import msgspec
from msgspec import Meta

MAX_SUBJECTS = 1000  # users, rows, pairs or events in one request

Id = Annotated[str, Meta(min_length=1, max_length=200)]
Cell = Annotated[str, Meta(max_length=10_000, description="for a text column")]


def make_row_decoder(
    columns: tuple[str, ...],
    text_columns: Collection[str] = (),
    boolean_columns: Collection[str] = (),
    *,
    numbers_as_text: bool = False,
) -> msgspec.json.Decoder[Any]:
    """A decoder of `PredictionsRequest` whose rows are structs with one field per column, in the order of `columns`.

    A cell is a number, text in `text_columns`, or also a boolean in `boolean_columns`. null is a missing cell.

    Parameters
    ----------
    numbers_as_text : whether a number may also be text, as files have it. Such a body takes longer to read.
    """

    def type_of(name: str) -> Any:
        if name in text_columns:
            return Cell | None
        number: Any = float | bool if name in boolean_columns else float
        return number | Cell | None if numbers_as_text else number | None

    fields = {f"c{place}": name for place, name in enumerate(columns)}
    typed = [(field, type_of(name)) for field, name in fields.items()]
    row = msgspec.defstruct("Row", typed, rename=fields, frozen=True, forbid_unknown_fields=True, gc=False)
    rows = Annotated[list[row], Meta(min_length=1, max_length=MAX_SUBJECTS)]  # type: ignore[valid-type]  # made at run time
    row_ids = Annotated[list[Id], Meta(max_length=MAX_SUBJECTS)] | None
    body = msgspec.defstruct("Rows", [("rows", rows), ("row_ids", row_ids, None)], frozen=True, forbid_unknown_fields=True)
    return msgspec.json.Decoder(body)

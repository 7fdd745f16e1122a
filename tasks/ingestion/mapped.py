"""Sources whose columns are named in the YAML: how cells of any format become the canonical columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from tasks import columns as c
from tasks.ingestion.base import Source, as_json, number, text

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame

CellType = Literal["string", "int", "long", "float", "double", "timestamp", "date"]
REQUIRED = (c.EVENT_AT, c.ITEM_ID)
MAPPABLE = (
    c.EVENT_AT, c.INGESTED_AT, c.EVENT_ID, c.EVENT_TYPE, c.USER_ID, c.ITEM_ID, c.ITEM_TEXT, c.QUANTITY, c.UNIT_PRICE,
    c.VALUE, c.SEGMENT, c.USER_ATTRIBUTES, c.ITEM_ATTRIBUTES,
)  # fmt: skip


class Mapped(Source):
    """Interactions whose schema is stated, never guessed.

    Attributes
    ----------
    cells : every column of the source, in order, with its type. A column that is lost or new is refused at the door.
    columns : canonical column -> column of the source, where the names differ.
    time_format : of times that are text, in Spark's letters; whole numbers are seconds since 1970, UTC.

    What is not there is null, but: `event_type` is `return` for negative pieces and else `purchase`, `value` is pieces
    times price, `ingested_at` is midnight after the day of the delivery.
    """

    cells: dict[str, CellType] = Field(min_length=2)
    columns: dict[str, str] = Field({})
    time_format: str = "yyyy-MM-dd HH:mm:ss"

    @model_validator(mode="after")
    def _maps_what_is_there(self) -> Self:
        for canonical, column in self.columns.items():
            if canonical not in MAPPABLE:
                raise ValueError(f"columns: no canonical column {canonical!r}; allowed: {', '.join(MAPPABLE)}")
            if column not in self.cells:
                raise ValueError(f"columns.{canonical}: no column {column!r} in cells; there are: {', '.join(self.cells)}")
        if missing := [name for name in REQUIRED if self.cell_of(name) is None]:
            raise ValueError(f"columns: which column is {', '.join(missing)}? There are: {', '.join(self.cells)}")
        return self

    def cell_of(self, canonical: str) -> str | None:
        """The source's column of a canonical one; None where it has none."""
        return self.columns.get(canonical, canonical if canonical in self.cells else None)

    @property
    def schema_of_cells(self) -> str:
        """For Spark, whose reader then guesses nothing."""
        return ", ".join(f"`{name}` {'bigint' if kind == 'long' else kind}" for name, kind in self.cells.items())

    def arrow_schema(self, names: Sequence[str]) -> pa.Schema:
        """The stated types of some columns, as Arrow has them; times in UTC."""
        import pyarrow as pa

        kinds = {
            "string": pa.string(), "int": pa.int32(), "long": pa.int64(), "float": pa.float32(), "double": pa.float64(),
            "timestamp": pa.timestamp("us", tz="UTC"), "date": pa.date32(),
        }  # fmt: skip
        return pa.schema([(name, kinds[self.cells[name]]) for name in names])

    def to_canonical(self, frame: DataFrame, known_at: Column, as_it_came: Column | None = None) -> DataFrame:
        """Cells with `row_id` and `source_file` -> the canonical columns; null where a cell does not parse."""
        from pyspark.sql import functions as F

        amount = self._number(c.QUANTITY) * self._number(c.UNIT_PRICE)
        kind = F.when(self._number(c.QUANTITY) < 0, c.RETURN).otherwise(c.PURCHASE)
        told = F.lower(self._text(c.EVENT_TYPE))
        return frame.select(
            c.ROW_ID,
            c.SOURCE_FILE,
            self._moment(c.EVENT_AT).alias(c.EVENT_AT),
            F.coalesce(self._moment(c.INGESTED_AT), known_at).alias(c.INGESTED_AT),
            (as_json(list(self.cells)) if as_it_came is None else as_it_came).alias(c.AS_IT_CAME),
            self._text(c.EVENT_ID).alias(c.EVENT_ID),
            (F.when(told.isin(*c.EVENT_TYPES), told) if self.cell_of(c.EVENT_TYPE) else kind).alias(c.EVENT_TYPE),
            self._text(c.USER_ID).alias(c.USER_ID),
            self._text(c.ITEM_ID).alias(c.ITEM_ID),
            self._text(c.ITEM_TEXT).alias(c.ITEM_TEXT),
            self._number(c.QUANTITY).alias(c.QUANTITY),
            self._number(c.UNIT_PRICE).alias(c.UNIT_PRICE),
            (self._number(c.VALUE) if self.cell_of(c.VALUE) else amount).alias(c.VALUE),
            self._text(c.SEGMENT).alias(c.SEGMENT),
            self._text(c.USER_ATTRIBUTES).alias(c.USER_ATTRIBUTES),
            self._text(c.ITEM_ATTRIBUTES).alias(c.ITEM_ATTRIBUTES),
        )

    def _text(self, canonical: str) -> Column:
        from pyspark.sql import functions as F

        name = self.cell_of(canonical)
        return F.lit(None).cast("string") if name is None else text(name)

    def _number(self, canonical: str) -> Column:
        from pyspark.sql import functions as F

        name = self.cell_of(canonical)
        return F.lit(None).cast("double") if name is None else number(name)

    def _moment(self, canonical: str) -> Column:
        from pyspark.sql import functions as F

        name = self.cell_of(canonical)
        if name is None:
            return F.lit(None).cast("timestamp")
        kind = self.cells[name]
        if kind == "string":
            return F.try_to_timestamp(text(name), F.lit(self.time_format))
        if kind in {"int", "long"}:
            return F.timestamp_seconds(F.col(f"`{name}`"))
        return F.col(f"`{name}`").cast("timestamp")

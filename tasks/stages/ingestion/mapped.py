"""Sources whose YAML maps their columns: cells of any format -> canonical columns, or rows with a target."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from tasks import columns as c
from tasks.errors import SourceError
from tasks.io.days import local_date, midnight_of, read_local, states_offset
from tasks.stages.ingestion.base import LocalTimes, as_json, number, text
from tasks.stages.ingestion.cells import CellType, spark_schema

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

MOST_OTHER_TARGETS = 0.05  # share of the targets that may be neither 0 nor 1, as dirty cells are
TIMES = (c.EVENT_AT, c.INGESTED_AT)
OF_INTERACTIONS = (
    *TIMES,
    c.EVENT_ID,
    c.LINE_ID,
    c.EVENT_TYPE,
    c.USER_ID,
    c.ITEM_ID,
    c.ITEM_TEXT,
    c.QUANTITY,
    c.UNIT_PRICE,
    c.VALUE,
    c.SEGMENT,
    c.USER_ATTRIBUTES,
    c.ITEM_ATTRIBUTES,
)


class Mapped(LocalTimes):
    """Interactions, or rows with a target, with a declared schema. Types are never inferred.

    Attributes
    ----------
    cells : every column of the source, in order, with its type. A missing or additional column is refused. A cell of another
        type becomes null, which the suite judges.
    columns : canonical column -> column of the source, where the names differ.
    time_format : pattern of times in text columns, in Spark's syntax. Whole numbers are seconds since 1970, UTC. Times without
        an offset are local times of `time_zone`.
    positive : rows with a target: the cell that means class 1. Any other cell means class 0. None: the cells are 0 and 1.
        The target of an empty cell is not known yet. Such a row is scored, and a later delivery of it can bring the target.
    leave_out : rows with a target: columns that are not features, such as those known only afterwards.

    Rows are tabular where a column is the `target`. Every column that is neither named in `columns` nor left out is a feature.
    Their `event_id` is the name of a row: of several deliveries of the same name the newest one counts.

    Columns that the source lacks are null, with these defaults: `event_type` is `return` for negative quantities and otherwise
    `purchase`, `value` is quantity times price, `ingested_at` is midnight after the day of the delivery, and `event_at` of
    tabular rows is the delivery's day.
    """

    cells: dict[Annotated[str, Field(pattern=r"^[^`]+$")], CellType] = Field(min_length=2)
    columns: dict[str, str] = Field({})
    time_format: str = "yyyy-MM-dd HH:mm:ss"
    positive: str | None = None
    leave_out: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _maps_what_is_there(self) -> Self:
        allowed = (*TIMES, c.EVENT_ID, c.TARGET) if self.maps_rows else OF_INTERACTIONS
        for canonical, column in self.columns.items():
            if canonical not in allowed:
                raise ValueError(f"columns: no canonical column {canonical!r}; allowed: {', '.join(allowed)}")
            if column not in self.cells:
                raise ValueError(f"columns.{canonical}: no column {column!r} in cells; allowed: {', '.join(self.cells)}")
        if unknown := [name for name in self.leave_out if name not in self.cells]:
            raise ValueError(f"leave_out: no column {', '.join(unknown)} in cells; allowed: {', '.join(self.cells)}")
        if not self.maps_rows:
            if self.positive is not None or self.leave_out:
                raise ValueError("positive and leave_out need rows with a target; set columns.target")
            if missing := [name for name in (c.EVENT_AT, c.ITEM_ID) if self.cell_of(name) is None]:
                raise ValueError(f"columns: set {', '.join(missing)}; allowed: {', '.join(self.cells)}")
        elif not self.features:
            raise ValueError("columns: no column remains as a feature")
        elif taken := [name for name in self.features if name in (*c.TABULAR_COLUMNS, c.LABEL)]:
            raise ValueError(f"cells: {', '.join(taken)} cannot be features, because the pipeline uses these names")
        elif times := [name for name in self.features if self.cells[name] in {"timestamp", "date"}]:
            raise ValueError(
                f"cells: {', '.join(times)}: a time cannot be a feature; map it in columns, or add it to leave_out"
            )
        return self

    @property
    def maps_rows(self) -> bool:
        """Whether the rows have a target. Otherwise they are interactions."""
        return self.cell_of(c.TARGET) is not None

    @property
    def features(self) -> tuple[str, ...]:
        """The feature columns of tabular rows."""
        excluded = {*self.leave_out, *(self.cell_of(name) for name in (*TIMES, c.EVENT_ID, c.TARGET))}
        return tuple(name for name in self.cells if name not in excluded)

    def cell_of(self, canonical: str) -> str | None:
        """The source's column for a canonical one. None where it has none."""
        return self.columns.get(canonical, canonical if canonical in self.cells else None)

    @property
    def is_text(self) -> bool:
        """Whether the format holds text only, which is parsed into the declared types."""
        return False

    @property
    def schema_of_cells(self) -> str:
        """The schema for Spark's readers."""
        return spark_schema(dict.fromkeys(self.cells, "string") if self.is_text else self.cells)

    def to_canonical(
        self, frame: DataFrame, known_at: Column, as_it_came: Column | None = None, local: Collection[str] = ()
    ) -> DataFrame:
        """Cells with `row_id` and `source_file` -> the canonical columns, null where a cell does not parse.

        Parameters
        ----------
        local : columns of the type `timestamp` that hold local times (see `find_local_times`).
        """
        from pyspark.sql import functions as F

        if self.maps_rows:
            return self._to_rows(frame, known_at, as_it_came, local)
        amount = self._number(c.QUANTITY) * self._number(c.UNIT_PRICE)
        kind = F.when(self._number(c.QUANTITY) < 0, c.RETURN).otherwise(c.PURCHASE)
        named = F.lower(self._text(c.EVENT_TYPE))
        return frame.select(
            c.ROW_ID,
            c.SOURCE_FILE,
            self._moment(c.EVENT_AT, local).alias(c.EVENT_AT),
            F.coalesce(self._moment(c.INGESTED_AT, local), known_at).alias(c.INGESTED_AT),
            (as_json(list(self.cells)) if as_it_came is None else as_it_came).alias(c.AS_IT_CAME),
            self._text(c.EVENT_ID).alias(c.EVENT_ID),
            (F.when(named.isin(*c.EVENT_TYPES), named) if self.cell_of(c.EVENT_TYPE) else kind).alias(c.EVENT_TYPE),
            self._text(c.USER_ID).alias(c.USER_ID),
            self._text(c.ITEM_ID).alias(c.ITEM_ID),
            self._text(c.ITEM_TEXT).alias(c.ITEM_TEXT),
            self._number(c.QUANTITY).alias(c.QUANTITY),
            self._number(c.UNIT_PRICE).alias(c.UNIT_PRICE),
            (self._number(c.VALUE) if self.cell_of(c.VALUE) else amount).alias(c.VALUE),
            self._text(c.SEGMENT).alias(c.SEGMENT),
            self._text(c.USER_ATTRIBUTES).alias(c.USER_ATTRIBUTES),
            self._text(c.ITEM_ATTRIBUTES).alias(c.ITEM_ATTRIBUTES),
            self._text(c.LINE_ID).alias(c.LINE_ID),
        )

    def _to_rows(self, frame: DataFrame, known_at: Column, as_it_came: Column | None, local: Collection[str]) -> DataFrame:
        """Cells -> the columns of tabular rows, then the features as text or doubles."""
        from pyspark.sql import functions as F

        label = self._text(c.TARGET)
        value = self._number(c.TARGET)
        known = F.when(value.isin(0, 1), value).otherwise(c.NO_CLASS) if self.positive is None else label == self.positive
        target = F.when(label.isNotNull(), known.cast("long"))
        name = [self._text(c.EVENT_ID).alias(c.EVENT_ID)] if self.cell_of(c.EVENT_ID) else []
        day = midnight_of(F.date_sub(local_date(known_at, self.days_of), 1), self.days_of)
        texts = {name for name, kind in self.cells.items() if kind == "string"}
        return frame.select(
            c.ROW_ID,
            c.SOURCE_FILE,
            (self._moment(c.EVENT_AT, local) if self.cell_of(c.EVENT_AT) else day).alias(c.EVENT_AT),
            F.coalesce(self._moment(c.INGESTED_AT, local), known_at).alias(c.INGESTED_AT),
            (as_json(list(self.cells)) if as_it_came is None else as_it_came).alias(c.AS_IT_CAME),
            target.alias(c.TARGET),
            *name,
            *((text(name) if name in texts else number(name)).alias(name) for name in self.features),
        )

    def check_rows(self, folder: Path) -> None:
        """Refuse targets that are not two classes.

        Raises
        ------
        SourceError : more than `MOST_OTHER_TARGETS` of the stated targets are neither 0 nor 1. A few others are `NO_CLASS`,
            and the suite judges their rows.
        """
        column = self.cell_of(c.TARGET)
        if column is None or self.positive is not None:
            return
        import pyarrow.dataset as ds

        rows = ds.dataset(folder, format="parquet")
        unread = rows.to_table([c.AS_IT_CAME], filter=ds.field(c.TARGET) == c.NO_CLASS)[c.AS_IT_CAME].to_pylist()
        others = Counter(_read_cell(line, column) for line in unread)
        stated = rows.count_rows(filter=ds.field(c.TARGET).is_valid())
        if others.total() <= MOST_OTHER_TARGETS * stated:
            return
        shown = ", ".join(repr(cell) for cell, _ in others.most_common(5))
        raise SourceError(
            f"column {column!r}, the target: expected 0 and 1, got other values in {others.total()} of {stated} rows, "
            f"{len(others)} different ones: {shown}{', ...' if len(others) > 5 else ''}. Only binary classification is "
            f"supported. Name the one value that means class 1 in the source, as in positive: {next(iter(others))!r}, and all "
            "others mean class 0; turn a number into two classes before it is delivered. Nothing was published"
        )

    def _text(self, canonical: str) -> Column:
        from pyspark.sql import functions as F

        name = self.cell_of(canonical)
        return F.lit(None).cast("string") if name is None else text(name)

    def _number(self, canonical: str) -> Column:
        from pyspark.sql import functions as F

        name = self.cell_of(canonical)
        return F.lit(None).cast("double") if name is None else number(name)

    def moment_of(self, name: str, local: Collection[str] = ()) -> Column:
        """The moments of a column of the source. `local` names columns of the type `timestamp` that hold local times."""
        from pyspark.sql import functions as F

        kind, cell = self.cells[name], F.col(f"`{name}`")
        if kind in {"int", "long"}:
            return F.timestamp_seconds(number(name).cast("long"))
        if kind == "string" or self.is_text:
            moment = F.try_to_timestamp(text(name), F.lit(self.time_format))
            return moment if states_offset(self.time_format) else read_local(moment, self.times_of)
        if kind == "date":
            return midnight_of(cell, self.times_of)
        moment = cell.cast("timestamp")
        return read_local(moment, self.times_of) if name in local else moment

    def _moment(self, canonical: str, local: Collection[str]) -> Column:
        from pyspark.sql import functions as F

        name = self.cell_of(canonical)
        return F.lit(None).cast("timestamp") if name is None else self.moment_of(name, local)


def _read_cell(line: str | None, column: str) -> str:
    """A cell of a row as it came; empty where there is none, or where the line is no JSON."""
    try:
        cells = json.loads(line or "{}")
    except ValueError:
        return ""
    cell = cells.get(column) if isinstance(cells, dict) else None
    return "" if cell is None else str(cell).strip()

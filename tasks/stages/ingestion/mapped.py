"""Sources whose YAML maps their columns: cells of any format -> canonical columns, or rows with a target."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from tasks import columns as c
from tasks.contracts.cells import MOMENTS, NUMBERS, TEXTS, Cell, CellType, class_cell
from tasks.io.cells import CellReader, LostCell
from tasks.io.days import local_date, midnight_of
from tasks.io.spark_cells import TIME_FORMAT, Times, Wanted, quote, read_cells, value_of
from tasks.stages.ingestion.base import LocalTimes, as_json, name_rows
from tasks.stages.ingestion.names import check_names, check_pattern

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

STORE_ID = "store_id"  # of an order number that is unique in its store only
TIMES = (c.EVENT_AT, c.INGESTED_AT)
IDS = (c.EVENT_ID, c.LINE_ID, c.USER_ID, c.ITEM_ID)
TEXT_COLUMNS = (c.ITEM_TEXT, c.SEGMENT, c.USER_ATTRIBUTES, c.ITEM_ATTRIBUTES)
NUMBER_COLUMNS = (c.QUANTITY, c.UNIT_PRICE, c.VALUE)
OF_INTERACTIONS = (*TIMES, c.EVENT_TYPE, *IDS, *NUMBER_COLUMNS, *TEXT_COLUMNS)
OF_REQUESTS = (c.USER_ID, c.ITEM_ID, c.EVENT_TYPE, c.QUANTITY, c.VALUE, c.SEGMENT)  # what clients send of interactions
Constant = Annotated[str | float, Field(union_mode="left_to_right")]


class Mapped(LocalTimes):
    """Interactions, or rows with a target, with a declared schema. Types are never inferred.

    Attributes
    ----------
    cells : every column of the source, in order, with its type or its whole declaration. A missing or additional column is
        refused. A full cell that is not what it is stated to be is lost: it is counted, and its row goes to quarantine.
    columns : canonical column -> column of the source, where the names differ. Ids are of the type `id`, whatever they state.
    constants : canonical column -> its value in all rows, where the source has no such column.
    time_format : pattern of times in text columns that state none, in Spark's syntax. Whole numbers are seconds since 1970,
        UTC, unless the cell states a `unit`. Times without an offset are local times of `time_zone`.
    decimal, thousands, missing : of all cells that state none (see `Cell`).
    positive : rows with a target: the word that means class 1. None: 1, yes, true and so on. The target of a missing cell is
        not known yet. Such a row is scored, and a later delivery of it can bring the target.
    negative : the words that mean class 0, or `others`. None: the opposite of `positive`, where this is yes, 1 and so on.
    leave_out : rows with a target: columns that are not features, such as those known only afterwards.
    event_id_unique : within what an `event_id` names one event. A session that goes on after midnight is cut there, as is
        every event that is unique in its day only. `per_store` needs the column `store_id`.

    Rows are tabular where a column is the `target`. Every column that is neither named in `columns` nor left out is a feature.
    Their `event_id` is the name of a row: of several deliveries of the same name the newest one counts.

    Columns that the source lacks are null, with these defaults: `event_type` is `return` for negative quantities and otherwise
    `purchase`, `value` is quantity times price, `ingested_at` is midnight after the day of the delivery, and `event_at` of
    tabular rows is the delivery's day.
    """

    cells: dict[Annotated[str, Field(pattern=r"^[^`]*$")], Cell] = Field(min_length=2)
    columns: dict[str, str] = Field({})
    constants: dict[str, Constant] = Field({})
    time_format: str = TIME_FORMAT
    decimal: Literal[".", ","] = "."
    thousands: Literal[",", ".", "'", " "] | None = None
    missing: tuple[str, ...] | None = None
    positive: str | None = None
    negative: tuple[str, ...] | Literal["others"] | None = None
    leave_out: tuple[str, ...] = ()
    event_id_unique: Literal["for_ever", "per_day", "per_store", "session"] = "for_ever"

    @model_validator(mode="after")
    def _maps_what_is_there(self) -> Self:
        allowed = (*TIMES, c.EVENT_ID, c.TARGET) if self.maps_rows else (*OF_INTERACTIONS, STORE_ID)
        for canonical, column in self.columns.items():
            if canonical not in allowed:
                raise ValueError(f"columns: no canonical column {canonical!r}; allowed: {', '.join(allowed)}")
            if column not in self.cells:
                raise ValueError(f"columns.{canonical}: no column {column!r} in cells; allowed: {', '.join(self.cells)}")
            if self.cells[column].type == "ignore":
                raise ValueError(f"columns.{canonical}: the column {column!r} is ignored; state its type in cells")
        read = [name for name, cell in self.cells.items() if cell.type != "ignore"]
        check_names(read, self.features if self.maps_rows else ())
        self._check_patterns()
        if unknown := [name for name in self.leave_out if name not in self.cells]:
            raise ValueError(f"leave_out: no column {', '.join(unknown)} in cells; allowed: {', '.join(self.cells)}")
        if not self.maps_rows:
            if self.positive is not None or self.negative is not None or self.leave_out:
                raise ValueError("positive, negative and leave_out need rows with a target; set columns.target")
            if missing := [name for name in (c.EVENT_AT, c.ITEM_ID) if self.cell_of(name) is None]:
                raise ValueError(f"columns: set {', '.join(missing)}; allowed: {', '.join(self.cells)}")
        elif not self.features:
            raise ValueError("columns: no column remains as a feature")
        elif times := [name for name in self.features if self.cells[name].type in MOMENTS]:
            raise ValueError(
                f"cells: {', '.join(times)}: a time cannot be a feature; map it in columns, or add it to leave_out"
            )
        self._check_constants()
        self._check_events()
        _ = self.wanted  # raises where the settings of a cell do not fit what it is read as
        return self

    def _check_patterns(self) -> None:
        check_pattern(self.time_format)
        for name, cell in self.cells.items():
            for pattern in cell.formats:
                check_pattern(pattern, f"cells.{name}.formats")

    def _check_constants(self) -> None:
        allowed = (c.EVENT_TYPE, *NUMBER_COLUMNS, c.SEGMENT, c.ITEM_TEXT)
        for canonical, value in self.constants.items():
            if self.maps_rows or canonical not in allowed:
                what = "rows with a target have none" if self.maps_rows else f"allowed: {', '.join(allowed)}"
                raise ValueError(f"constants: {canonical!r} cannot be a constant; {what}")
            if self.cell_of(canonical) is not None:
                raise ValueError(f"constants.{canonical}: the source has this column; state one of the two")
            try:
                CellReader(self._read_as(canonical, Cell()))(value)
            except LostCell as error:
                raise ValueError(f"constants.{canonical}: {error}") from error

    def _check_events(self) -> None:
        if self.event_id_unique == "for_ever":
            return
        if self.maps_rows or self.cell_of(c.EVENT_ID) is None:
            raise ValueError(
                f"event_id_unique: {self.event_id_unique} needs interactions with an event_id; set columns.event_id"
            )
        if self.event_id_unique == "per_store" and self.cell_of(STORE_ID) is None:
            raise ValueError("event_id_unique: per_store needs the column of the store; set columns.store_id")

    @property
    def maps_rows(self) -> bool:
        """Whether the rows have a target. Otherwise they are interactions."""
        return self.cell_of(c.TARGET) is not None

    @property
    def features(self) -> tuple[str, ...]:
        """The feature columns of tabular rows."""
        excluded = {*self.leave_out, *(self.cell_of(name) for name in (*TIMES, c.EVENT_ID, c.TARGET))}
        return tuple(name for name, cell in self.cells.items() if name not in excluded and cell.type != "ignore")

    @property
    def row_columns(self) -> tuple[str, ...]:
        names = [c.EVENT_ID] if self.cell_of(c.EVENT_ID) is not None else []
        return (*c.TABULAR_COLUMNS, *names, *self.features) if self.maps_rows else c.INTERACTION_COLUMNS

    @property
    def states_events(self) -> bool:
        """Whether a column or a constant says what happened in a row."""
        return self.cell_of(c.EVENT_TYPE) is not None or c.EVENT_TYPE in self.constants

    def cell_of(self, canonical: str) -> str | None:
        """The source's column for a canonical one. None where it has none."""
        return self.columns.get(canonical, canonical if canonical in self.cells else None)

    @property
    def types(self) -> dict[str, CellType]:
        """Column of the source -> its stated type."""
        return {name: cell.type for name, cell in self.cells.items()}

    @property
    def wanted(self) -> dict[str, Wanted]:
        """Canonical column or feature -> the source's column, and its cell with the source's defaults."""
        if self.maps_rows:
            names = {name: self.cell_of(name) for name in (*TIMES, c.TARGET, c.EVENT_ID)}
            names |= {name: name for name in self.features}
        else:
            used = (*OF_INTERACTIONS, *([STORE_ID] if self.event_id_unique == "per_store" else []))
            names = {name: self.cell_of(name) for name in used}
        found = {}
        for name, column in names.items():
            if column is not None:
                try:
                    found[name] = Wanted(column, self._read_as(name, self._complete(self.cells[column])))
                except ValueError as error:
                    reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
                    raise ValueError(f"cells.{column}, read as {name}: {reason.removeprefix('Value error, ')}") from error
        return found

    @property
    def requested(self) -> dict[str, Cell]:
        """What clients of the endpoint send -> how it is read, which is as the source's cells are."""
        sent = (c.TARGET, c.EVENT_ID, *self.features) if self.maps_rows else OF_REQUESTS
        return {name: one.cell for name, one in self.wanted.items() if name in sent}

    def _complete(self, cell: Cell) -> Cell:
        """The cell with the source's defaults where it states nothing."""
        stated = {"missing": self.missing if cell.missing is None else cell.missing}
        if cell.type in TEXTS or cell.type in NUMBERS:  # text may be read as a number, where a canonical column is one
            stated |= {name: getattr(self, name) for name in ("decimal", "thousands") if getattr(cell, name) is None}
        return cell.model_copy(update=stated)

    def _read_as(self, name: str, cell: Cell) -> Cell:
        """The cell as what a canonical column, or a feature, needs."""
        if name in TIMES:
            return self._as_time(cell)
        if self.maps_rows:
            if name == c.TARGET:
                return class_cell(self.positive, self.negative, cell)
            return cell.as_type("id" if name == c.EVENT_ID else cell.type)
        if name == c.EVENT_TYPE:
            return cell.as_type("string", allowed=c.EVENT_TYPES, case=None)
        if name in NUMBER_COLUMNS:
            return cell.as_type(cell.type if cell.type in NUMBERS else "double")
        return cell.as_type("string" if name in TEXT_COLUMNS else "id")

    def _as_time(self, cell: Cell) -> Cell:
        """The cell as a moment: text by its pattern, and numbers in their unit, which are seconds by default."""
        kind: CellType = "date" if cell.type == "date" else "timestamp"
        if cell.type in NUMBERS:
            return cell.as_type(kind, unit="s")
        has_default = not cell.formats and cell.unit is None and kind == "timestamp"
        return cell.as_type(kind, formats=(self.time_format,) if has_default else cell.formats)

    def to_canonical(
        self, frame: DataFrame, known_at: Column, as_it_came: Column | None = None, local: Collection[str] = ()
    ) -> DataFrame:
        """Cells with `FILE` and `PLACE` -> the canonical columns and `LOST_CELLS`; null where a cell is missing.

        Parameters
        ----------
        local : columns of the type `timestamp` that hold local times (see `find_local_times`).
        """
        from pyspark.sql import functions as F

        wanted = self.wanted
        frame = self._join_lists(frame)
        read = read_cells(frame, wanted, Times(self.times_of, local))
        came = as_json([name for name in self.cells if name in frame.columns]) if as_it_came is None else as_it_came
        first = name_rows()
        value = _Values(wanted, self.constants)
        day = midnight_of(F.date_sub(local_date(known_at, self.days_of), 1), self.days_of)
        event_at = value(c.EVENT_AT, "timestamp") if c.EVENT_AT in wanted else day
        times = [
            event_at.alias(c.EVENT_AT),
            F.coalesce(value(c.INGESTED_AT, "timestamp"), known_at).alias(c.INGESTED_AT),
            came.alias(c.AS_IT_CAME),
        ]
        if self.maps_rows:
            name = [value(c.EVENT_ID).alias(c.EVENT_ID)] if c.EVENT_ID in wanted else []
            features = [F.col(quote(value_of(name))).alias(name) for name in self.features]
            target = value(c.TARGET, "double").cast("long").alias(c.TARGET)
            return read.select(*first, *times, target, *name, *features, c.LOST_CELLS)
        amount = value(c.QUANTITY, "double") * value(c.UNIT_PRICE, "double")
        kind = F.when(value(c.QUANTITY, "double") < 0, c.RETURN).otherwise(c.PURCHASE)
        made = {
            c.EVENT_ID: self._event_id(value, event_at),
            c.EVENT_TYPE: value(c.EVENT_TYPE) if c.EVENT_TYPE in value else kind,
            c.VALUE: value(c.VALUE, "double") if c.VALUE in value else amount,
        }
        kinds = {**dict.fromkeys(NUMBER_COLUMNS, "double")}
        rest = [
            made.get(name, value(name, kinds.get(name, "string"))).alias(name)
            for name in c.INTERACTION_COLUMNS
            if name not in (c.ROW_ID, c.SOURCE_FILE, *TIMES, c.AS_IT_CAME)
        ]
        return read.select(*first, *times, *rest, c.LOST_CELLS)

    def _event_id(self, value: _Values, event_at: Column) -> Column:
        """The name of an event, with its store or its local day where it is unique only there."""
        from pyspark.sql import functions as F

        name = value(c.EVENT_ID)
        if self.event_id_unique == "for_ever":
            return name
        within = value(STORE_ID) if self.event_id_unique == "per_store" else local_date(event_at, self.days_of).cast("string")
        return F.when(name.isNotNull(), F.concat_ws(" ", within, name))

    def _join_lists(self, frame: DataFrame) -> DataFrame:
        """The frame with lists as text, their elements joined by the delimiter of the cell."""
        from pyspark.sql import functions as F

        lists = [name for name, kind in frame.dtypes if kind.startswith("array") and name in self.cells]
        joined = {name: F.array_join(F.col(quote(name)), self.cells[name].delimiter) for name in lists}
        return frame.withColumns(joined) if joined else frame

    @property
    def arrival(self) -> str:
        """The canonical column that assigns rows to windows where a source holds many days. Empty: it has none."""
        return next((name for name in (c.INGESTED_AT, c.EVENT_AT) if self.cell_of(name) is not None), "")

    def add_day(self, frame: DataFrame, day: str, local: Collection[str] = ()) -> DataFrame:
        """Cells with the local day on which each row arrived, null where its time cannot be read.

        Parameters
        ----------
        day : the name of the new column.
        local : columns of the type `timestamp` that hold local times.
        """
        from pyspark.sql import functions as F

        wanted = {self.arrival: self.wanted[self.arrival]}
        read = read_cells(frame, wanted, Times(self.times_of, local))
        arrived = local_date(F.col(quote(value_of(self.arrival))), self.days_of)
        return read.select(*(F.col(quote(name)) for name in frame.columns), arrived.alias(day))


class _Values:
    """The values of canonical columns: read from a cell, the same in all rows, or null."""

    def __init__(self, wanted: Mapping[str, Wanted], constants: Mapping[str, Constant]) -> None:
        self._wanted, self._constants = wanted, constants

    def __contains__(self, name: str) -> bool:
        return name in self._wanted or name in self._constants

    def __call__(self, name: str, kind: str = "string") -> Column:
        from pyspark.sql import functions as F

        return F.col(quote(value_of(name))) if name in self._wanted else F.lit(self._constants.get(name)).cast(kind)

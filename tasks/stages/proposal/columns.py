"""What the cells of one column are: the declaration that fits most of them, and how many do not fit."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tasks.contracts.cells import FALSE, MISSING, NO_VALUE, TRUE, Cell
from tasks.io.cells import clean, read_column
from tasks.stages.proposal.times import TimeFormat, formats_of, time_format
from tasks.stages.proposal.words import is_time_named

NUMBER, TIME, BOOLEAN, TEXT, EMPTY = "number", "time", "boolean", "text", "empty"
FITS = 0.9  # share of the full cells that a type must fit, to be proposed
MOST_FORMATS = 3
CURRENCIES = ("€", "$", "£", "¥", "₹", "zł", "kr", "CHF", "EUR", "USD", "GBP", "Kč", "R$")
EPOCH_DIGITS = {"s": 10, "ms": 13, "us": 16, "ns": 19}
FIRST_YEAR, LAST_YEAR = 1990, 2040  # of times that are stated as numbers
WHOLE = re.compile(r"-?[0-9]+")
SINCE_1970 = re.compile(r"[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True)
class Alternative:
    """Another declaration, and the share of the full cells that it fits."""

    cell: Mapping[str, Any]
    share: float


@dataclass(frozen=True)
class Column:
    """One column of a sample.

    Parameters
    ----------
    cell : its declaration, as the YAML has it.
    kind : number, time, boolean, text or empty.
    rows, full : all rows of the sample, and those with a cell.
    share : of the full cells that the declaration reads.
    misfits : examples of those that it does not read.
    values : spelling -> rows, of the full cells; of typed formats their text.
    missing : word that means a missing cell -> rows.
    times : of times: the moment of each row, as if in UTC where none states an offset; None where there is none.
    states_offset : of times of a typed format: whether they have a zone.
    tied : other formats that fit as many cells.
    """

    name: str
    cell: Mapping[str, Any]
    kind: str
    rows: int
    full: int
    share: float
    misfits: tuple[str, ...]
    values: Mapping[str, int]
    missing: Mapping[str, int]
    times: tuple[datetime | None, ...] = ()
    states_offset: bool = False
    tied: tuple[str, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    signs: tuple[str, ...] = field(default=())  # the decimal signs that its cells allow

    @property
    def distinct(self) -> int:
        """How many different full cells it has."""
        return len(self.values)

    @property
    def is_unique(self) -> bool:
        """Whether no full cell repeats."""
        return self.full > 1 and self.distinct == self.full

    @property
    def numbers(self) -> dict[float, int]:
        """Value -> rows, of a number."""
        read, _ = read_column(Cell.model_validate(dict(self.cell)), self.values)
        found: Counter[float] = Counter()
        for value, rows in zip(read, self.values.values(), strict=True):
            if isinstance(value, float | int):
                found[float(value)] += rows
        return dict(found)

    def as_cell(self, **cell: Any) -> Column:
        """The same column with another declaration."""
        return replace(self, cell=cell)


def describe_column(name: str, cells: Sequence[Any], arrow_type: str = "") -> Column:
    """What a column holds.

    Parameters
    ----------
    cells : text, or values of a typed format; None where there is none.
    arrow_type : the type in a typed format; empty for text.
    """
    if arrow_type and arrow_type not in {"string", "large_string"}:
        return _describe_typed(name, cells, arrow_type)
    texts = [None if cell is None else clean(str(cell)) or None for cell in cells]
    words = Counter(text for text in texts if text is not None)
    missing = {word: rows for word, rows in words.items() if word.lower() in MISSING}
    values = {word: rows for word, rows in words.items() if word not in missing}
    base = Column(name, {"type": "string"}, TEXT, len(texts), sum(values.values()), 1.0, (), values, missing)
    if not values:
        return replace(base, kind=EMPTY)
    for attempt in (_as_time, _as_epoch, _as_time_of_day, _as_boolean, _as_number):
        found = attempt(base, texts)
        if found is not None:
            return found
    return _as_list(base) or base


def _without_no_value(column: Column) -> tuple[dict[str, int], dict[str, int]]:
    """The full cells and the missing words, where `-`, `?` and the like are no value."""
    words = {word: rows for word, rows in column.values.items() if word.lower() in NO_VALUE}
    return {word: rows for word, rows in column.values.items() if word not in words}, {**column.missing, **words}


# times


def _as_time(column: Column, texts: Sequence[str | None]) -> Column | None:
    values, missing = _without_no_value(column)
    full = sum(values.values())
    found: Counter[TimeFormat] = Counter()
    for text, rows in values.items():
        for one in formats_of(text):
            found[one] += rows
    likely = {one: rows for one, rows in found.items() if one.pattern != "yyyyMMdd" or is_time_named(column.name)}
    if not likely or not full:
        return None
    chosen, tied = _choose(values, likely, texts)
    read = {text: _read_time(text, chosen) for text in values}
    misfits = tuple(text for text, moment in read.items() if moment is None)
    share = 1 - sum(values[text] for text in misfits) / full
    if share < FITS:
        return None
    kind = "timestamp" if any(one.has_clock for one in chosen) else "date"
    patterns = [one.pattern for one in chosen]
    stated = {"format": patterns[0]} if len(patterns) == 1 else {"formats": patterns}
    parts = tuple(Alternative({"type": kind, "format": one.pattern}, found[one] / full) for one in chosen)
    return replace(
        column,
        cell={"type": kind, **stated},
        kind=TIME,
        full=full,
        share=share,
        misfits=misfits[:3],
        values=values,
        missing=missing,
        times=tuple(read.get(text) if text else None for text in texts),
        tied=tied,
        alternatives=parts if len(parts) > 1 else (),
    )


def _choose(
    values: Mapping[str, int], found: Mapping[TimeFormat, int], texts: Sequence[str | None]
) -> tuple[list[TimeFormat], tuple[str, ...]]:
    """The formats that read most cells together, the best first, and the day-and-month twins that read as many as it."""
    order = list(found)
    best = max(order, key=lambda one: (found[one], -order.index(one)))
    twins = [one for one in order if found[one] == found[best] and _swapped(one.pattern) == _swapped(best.pattern)]
    rivals = [one for one in twins if _day_first(one.pattern) != _day_first(best.pattern)]
    tied: tuple[str, ...] = ()
    if rivals:
        ascents = {one: _count_ascents(one, texts) for one in (best, rivals[0])}
        if ascents[best] == ascents[rivals[0]]:
            best = next((one for one in (best, rivals[0]) if _day_first(one.pattern) == ("a" not in one.pattern)), best)
            tied = tuple(one.pattern for one in (rivals[0], order[0], best) if one != best)[:1]
        else:
            best = max(ascents, key=lambda one: ascents[one])
    chosen, rest = [best], {text: rows for text, rows in values.items() if best.read(text) is None}
    while rest and len(chosen) < MOST_FORMATS:
        gains = {one: sum(rows for text, rows in rest.items() if one.read(text) is not None) for one in order}
        further = max(gains, key=lambda one: gains[one])
        if not gains[further]:
            break
        chosen.append(further)
        rest = {text: rows for text, rows in rest.items() if further.read(text) is None}
    return chosen, tied


def _swapped(pattern: str) -> str:
    """A pattern in which day and month look alike."""
    return re.sub("[Md]+", "#", pattern)


def _day_first(pattern: str) -> bool:
    return pattern.index("d") < pattern.index("M")


def _count_ascents(one: TimeFormat, texts: Sequence[str | None]) -> int:
    """How many rows are not before the row above them: files are mostly in the order of time."""
    moments = [moment for text in texts if text and (moment := one.read(text)) is not None]
    return sum(before <= after for before, after in itertools.pairwise(moments))


def _read_time(text: str, formats: Sequence[TimeFormat]) -> datetime | None:
    return next((moment for one in formats if (moment := one.read(text)) is not None), None)


def _as_epoch(column: Column, texts: Sequence[str | None]) -> Column | None:
    """Whole numbers since 1970, where the name says that they are times."""
    if not is_time_named(column.name):
        return None
    values, missing = _without_no_value(column)
    digits = Counter[int]()
    for text, rows in values.items():
        if SINCE_1970.fullmatch(text):
            digits[len(text.partition(".")[0])] += rows
    full = sum(values.values())
    for unit, length in EPOCH_DIGITS.items():
        if digits[length] + digits[length - 1] < FITS * full:
            continue
        read = {text: _from_epoch(text, unit) for text in values}
        misfits = tuple(text for text, moment in read.items() if moment is None)
        share = 1 - sum(values[text] for text in misfits) / full
        if share >= FITS:
            times = tuple(read.get(text) if text else None for text in texts)
            changes: dict[str, Any] = {"full": full, "values": values, "missing": missing, "times": times, "kind": TIME}
            return replace(column, cell={"type": "timestamp", "unit": unit}, share=share, misfits=misfits[:3], **changes)
    return None


def _as_time_of_day(column: Column, _texts: Sequence[str | None]) -> Column | None:
    if not any(":" in value for value in column.values):
        return None
    _, lost = read_column(Cell(type="time"), column.values)
    misfits = tuple(text for text, is_lost in zip(column.values, lost, strict=True) if is_lost)
    share = 1 - sum(column.values[text] for text in misfits) / column.full
    return replace(column, cell={"type": "time"}, kind=NUMBER, share=share, misfits=misfits[:3]) if share >= FITS else None


def _from_epoch(text: str, unit: str) -> datetime | None:
    try:
        number = float(text) / 10 ** {"s": 0, "ms": 3, "us": 6, "ns": 9}[unit]
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
    except (ValueError, OverflowError):
        return None
    return moment if FIRST_YEAR <= moment.year <= LAST_YEAR else None


# words and numbers


def _as_boolean(column: Column, _texts: Sequence[str | None]) -> Column | None:
    words = {value.lower() for value in column.values}
    if words <= {*TRUE, *FALSE} and words & set(TRUE) and words & set(FALSE) and not words <= {"0", "1", "0.0", "1.0"}:
        return replace(column, cell={"type": "boolean"}, kind=BOOLEAN)
    return None


def _as_number(column: Column, _texts: Sequence[str | None]) -> Column | None:
    values, missing = _without_no_value(column)
    full = sum(values.values())
    if not values or _has_leading_zeros(values):
        return None
    best: tuple[float, Mapping[str, Any], list[bool]] | None = None
    signs: dict[str, float] = {}
    for cell in _number_cells(values):
        _, lost = read_column(Cell.model_validate(cell), values)
        share = 1 - sum(rows for rows, is_lost in zip(values.values(), lost, strict=True) if is_lost) / full
        if share >= FITS and any(sign in value for value in values for sign in ".,"):
            signs[cell.get("decimal", ".")] = max(share, signs.get(cell.get("decimal", "."), 0.0))
        if best is None or share > best[0]:
            best = share, cell, lost
    if best is None or best[0] < FITS:
        return None
    share, cell, lost = best[0], dict(best[1]), best[2]
    misfits = tuple(text for text, is_lost in zip(values, lost, strict=True) if is_lost)[:3]
    if all(WHOLE.fullmatch(value) for value in values):
        cell = {**cell, "type": "long"}
    return replace(
        column,
        cell=cell,
        kind=NUMBER,
        full=full,
        share=share,
        misfits=misfits,
        values=values,
        missing=missing,
        signs=tuple(sorted(sign for sign, fits in signs.items() if fits == share)),
    )


def _has_leading_zeros(values: Iterable[str]) -> bool:
    return any(re.fullmatch(r"0[0-9]+", value) for value in values)


def _number_cells(values: Iterable[str]) -> list[dict[str, Any]]:
    """The declarations that numbers in these texts may have, the most usual first."""
    letters = {symbol for symbol in CURRENCIES for value in values if symbol.lower() in value.lower()}
    marks: dict[str, Any] = {"symbols": sorted(letters, key=lambda one: (-len(one), one))} if letters else {}
    if "R$" in letters:
        marks["symbols"] = [one for one in marks["symbols"] if one != "$"]
    if any("%" in value for value in values):
        marks["percent"] = True
    has_space = any(re.search(r"[0-9] [0-9]", value) for value in values)
    signs: list[dict[str, Any]] = [{}, {"decimal": ","}, {"thousands": ","}, {"decimal": ",", "thousands": "."}]
    signs += [{"thousands": "'"}] if any("'" in value or "\u2019" in value for value in values) else []
    signs += [{"thousands": " "}, {"decimal": ",", "thousands": " "}] if has_space else []
    return [{"type": "double", **sign, **marks} for sign in signs]


def _as_list(column: Column) -> Column | None:
    """Short words of a small vocabulary with | between them."""
    parted = {value: rows for value, rows in column.values.items() if "|" in value}
    if sum(parted.values()) < 0.3 * column.full:
        return None
    vocabulary = {word for value in column.values for word in value.split("|")}
    if len(vocabulary) > 300 or len(vocabulary) > 0.5 * column.distinct + 50:
        return None
    return replace(column, cell={"type": "list"})


# typed formats


def _describe_typed(name: str, cells: Sequence[Any], arrow_type: str) -> Column:
    if arrow_type.startswith("dictionary"):
        return describe_column(name, cells)
    present = [cell for cell in cells if cell is not None and not (isinstance(cell, float) and math.isnan(cell))]
    values = Counter(_write(cell) for cell in present)
    base = Column(name, {"type": "string"}, TEXT if present else EMPTY, len(cells), len(present), 1.0, (), values, {})
    if arrow_type.startswith(("timestamp", "date")):
        times = tuple(cell if cell is None else _in_utc(cell) for cell in cells)
        cell = {"type": "date" if arrow_type.startswith("date") else "timestamp"}
        return replace(base, cell=cell, kind=TIME, times=times, states_offset="tz=" in arrow_type)
    kind, stated = next(found for prefixes, *found in _OF_ARROW if arrow_type.startswith(prefixes))
    if stated in {"long", "double"} and (epoch := _as_epoch(base, [None if cell is None else _write(cell) for cell in cells])):
        return epoch
    return replace(base, cell={"type": stated}, kind=kind if present else EMPTY)


_OF_ARROW: tuple[
    tuple[tuple[str, ...], str, str], ...
] = (  # beginnings of the names of types, what they are, and what to state
    (("bool",), BOOLEAN, "boolean"),
    (("int", "uint"), NUMBER, "long"),
    (("decimal",), NUMBER, "decimal"),
    (("float", "double", "halffloat"), NUMBER, "double"),
    (("list", "large_list", "fixed_size_list"), TEXT, "list"),
    (("time",), NUMBER, "time"),
    (("",), TEXT, "string"),
)


def _write(cell: Any) -> str:
    """The text of a typed cell; a whole float as a whole number, as an id is."""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return str(int(cell))
    return "|".join(map(str, cell)) if isinstance(cell, list) else str(cell)


def _in_utc(moment: Any) -> datetime:
    """A moment in UTC, from what pyarrow gives for times and dates; local times as if in UTC."""
    if not isinstance(moment, datetime):
        return datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


__all__ = ["BOOLEAN", "EMPTY", "NUMBER", "TEXT", "TIME", "Alternative", "Column", "describe_column", "time_format"]

"""Adapter: the normalization of `tasks.io.cells` as expressions of Spark, for millions of rows without Python.

Expressions are texts of SQL: a plan of many columns is built with one call of Java a column.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from tasks import columns as c
from tasks.contracts.calendar import UTC_ZONE
from tasks.contracts.cells import LONGEST_ID, MOMENTS, NUMBERS, OTHERS, WHOLE_NUMBERS, Cell
from tasks.io.cells import (
    ENDS,
    EXACT,
    INVISIBLE,
    JOINERS,
    LARGEST,
    LOST_DIGITS,
    PLAIN_NUMBER,
    POINT_ZERO,
    SPACES,
    TIME_OF_DAY,
    WRITTEN_BY_PROGRAM,
    clean,
    number_form,
)
from tasks.io.days import states_offset

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

TIME_FORMAT = "yyyy-MM-dd HH:mm:ss"
DATE_FORMAT = "yyyy-MM-dd"
_MICROSECONDS = {"s": "1000000", "ms": "1000", "us": "1", "ns": "0.001BD"}
_WHOLE_TIME = r"^[+-]?[0-9]{1,19}(\.[0-9]+)?([eE]\+?[0-9]{1,2})?$"  # Spark writes 1.7095E9 for a number in JSON
_COMPOSED = "reflect('com.ibm.icu.text.Normalizer', 'compose', {}, false)"  # of ICU, which Spark's collations need


class Wanted(NamedTuple):
    """A value to read: from which column, and as what."""

    column: str
    cell: Cell


@dataclass(frozen=True)
class Times:
    """How the source's times without an offset are meant.

    zone : whose local times they are. local : columns of the type timestamp that hold such times.
    """

    zone: ZoneInfo = UTC_ZONE
    local: Collection[str] = ()


def read_cells(frame: DataFrame, wanted: Mapping[str, Wanted], times: Times | None = None) -> DataFrame:
    """The frame with a value for each name of `wanted`, and with `c.LOST_CELLS`.

    The values are in columns of the names that `value_of` gives. Each text is cleaned once for each way of cleaning.
    """
    kinds = dict(frame.dtypes)
    parts = [_Part(place, one, kinds[one.column], times or Times()) for place, one in enumerate(wanted.values())]
    cleaned = frame.selectExpr("*", *dict.fromkeys(part.cleaned for part in parts if part.is_text))
    full = cleaned.selectExpr("*", *(part.full for part in parts if part.is_text))
    read = full.selectExpr("*", *(f"{part.value} AS {quote(value_of(name))}" for name, part in zip(wanted, parts, strict=True)))
    lost: dict[str, list[str]] = {}
    for name, part in zip(wanted, parts, strict=True):
        is_lost = f"({part.is_full} AND {quote(value_of(name))} IS NULL)"
        lost.setdefault(part.column, []).append(is_lost)
    marks = [f"CASE WHEN {' OR '.join(tests)} THEN {literal(mark_of(column))} END" for column, tests in lost.items()]
    return read.selectExpr("*", f"nullif(concat_ws(',', {', '.join(marks) or 'NULL'}), '') AS {quote(c.LOST_CELLS)}")


def value_of(name: str) -> str:
    """The column that `read_cells` gives the value of a name in."""
    return f"titleholder_value_{name}"


def mark_of(column: str) -> str:
    """How a column is named in `c.LOST_CELLS`: a JSON text, so that no name is part of another one."""
    return json.dumps(column, ensure_ascii=False)


def quote(name: str) -> str:
    """A name of a column in SQL."""
    return f"`{name.replace('`', '``')}`"


def literal(text: str) -> str:
    """A text in SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class _Part:
    """The expressions of one value."""

    def __init__(self, place: int, wanted: Wanted, kind: str, times: Times) -> None:
        self.column, self.cell, self.kind, self.times = wanted.column, wanted.cell, kind, times
        self._raw, self._full = quote(self.column), f"titleholder_full_{place}"
        self._is_id = self.cell.type == "id"
        is_number = kind in {"tinyint", "smallint", "int", "bigint", "float", "double"} or kind.startswith("decimal")
        self._is_double = kind in {"float", "double"}
        to_value = self.cell.type in NUMBERS or (self.cell.type in MOMENTS and kind != "string")
        self.is_text = not (to_value and (is_number or kind in {"boolean", "timestamp", "timestamp_ntz", "date"}))
        self._text = self._raw if kind == "string" else f"CAST({self._raw} AS STRING)"
        if self._is_id and self._is_double:
            number = f"CAST({self._raw} AS DOUBLE)"
            is_exact = f"{number} = floor({number}) AND abs({number}) < {EXACT:.0f}D"
            # What is not exact becomes an id that is too long, and so is lost.
            self._text = (
                f"CASE WHEN {self._raw} IS NULL OR isnan({self._raw}) THEN NULL WHEN {is_exact} "
                f"THEN CAST(CAST({number} AS BIGINT) AS STRING) ELSE repeat('9', {LONGEST_ID + 1}) END"
            )

    @property
    def cleaned(self) -> str:
        return f"{clean_sql(self._text, is_id=self._is_id)} AS {quote(self._cleaned)}"

    @property
    def _cleaned(self) -> str:
        return f"titleholder_{'id' if self._is_id else 'text'}_{self.column}"

    @property
    def full(self) -> str:
        """The cleaned text, null where the cell is missing."""
        name = quote(self._cleaned)
        return f"CASE WHEN lower({name}) NOT IN ({self._missing}) THEN {name} END AS {self._full}"

    @property
    def _missing(self) -> str:
        return ", ".join(literal(word) for word in sorted(self.cell.missing_words | {""}))

    @property
    def is_full(self) -> str:
        if self.is_text:
            return f"{self._full} IS NOT NULL"
        return f"({self._raw} IS NOT NULL AND NOT isnan({self._raw}))" if self._is_double else f"{self._raw} IS NOT NULL"

    @property
    def value(self) -> str:
        kind, text = self.cell.type, self._full
        if kind in MOMENTS:
            return self._moment()
        if kind in NUMBERS:
            number = number_sql(self.cell, text) if self.is_text else f"CAST({self._raw} AS DOUBLE)"
            return _in_range(self.cell, number)
        if kind == "boolean":
            return self._boolean(text)
        return _time_of_day(text) if kind == "time" else self._text_value(text)

    def _text_value(self, text: str) -> str:
        if self.cell.type == "list":
            pieces = f"transform(split({text}, {literal(_escape(self.cell.delimiter))}, -1), e -> btrim(e, {_ENDS}))"
            elements = f"transform(filter({pieces}, e -> lower(e) NOT IN ({self._missing})), e -> {self._worded('e')})"
            joined = _cased(f"array_join({elements}, '|')", self.cell.case)
            return f"nullif({joined}, '')"
        worded = self._worded(text)
        if self.cell.type == "id":
            return _id(worded, self.cell.case)
        if self.cell.allowed is not None:
            return f"try_element_at({_map({word.lower(): word for word in self.cell.allowed})}, lower({worded}))"
        return _cased(worded, self.cell.case)

    def _worded(self, text: str) -> str:
        words = {clean(word).lower(): into for word, into in self.cell.words.items()}
        return f"coalesce(try_element_at({_map(words)}, lower({text})), {text})" if words else text

    def _boolean(self, text: str) -> str:
        true = [clean(word).lower() for word in self.cell.true]
        false = [] if self.cell.false == OTHERS else [clean(word).lower() for word in self.cell.false]
        otherwise = f"WHEN {text} IS NOT NULL THEN 0D" if self.cell.false == OTHERS else _when_in(text, false, "0D")
        return f"CASE {_when_in(text, true, '1D')} {otherwise} END"

    def _moment(self) -> str:
        cell, zone = self.cell, ZoneInfo(self.cell.time_zone) if self.cell.time_zone else self.times.zone
        first = datetime.combine(cell.first_day, time(), UTC)
        after = datetime.combine(cell.last_day + timedelta(days=1), time(), UTC)
        if self.kind in {"timestamp", "timestamp_ntz"}:
            moment = f"CAST({self._raw} AS TIMESTAMP)"
            moment = _local(moment, zone) if self.kind == "timestamp_ntz" or self.column in self.times.local else moment
        elif self.kind == "date":
            moment = _local(f"CAST({self._raw} AS TIMESTAMP)", zone)
        elif self.is_text and cell.unit is None:
            formats = cell.formats or ((DATE_FORMAT,) if cell.type == "date" else (TIME_FORMAT,))
            read = [
                read if states_offset(pattern) else _local(read, zone)
                for pattern in formats
                for read in [f"try_to_timestamp({self._full}, {literal(pattern)})"]
            ]
            moment = f"coalesce({', '.join(read)})" if len(read) > 1 else read[0]
        else:
            unit = _MICROSECONDS[cell.unit or "s"]
            number = f"CAST({self._full if self.is_text else self._raw} AS DECIMAL(29, 9))"
            micros = f"({number} * {unit})"
            limits = (round((limit - _EPOCH) / _MICROSECOND) for limit in (first, after - timedelta(microseconds=1)))
            is_time = " AND ".join(
                [
                    *([f"{self._full} RLIKE {literal(_WHOLE_TIME)}"] if self.is_text else []),
                    "{} BETWEEN {} AND {}".format(micros, *limits),
                ]
            )
            return f"CASE WHEN {is_time} THEN timestamp_micros(CAST({micros} AS BIGINT)) END"
        earliest, latest = (f"TIMESTAMP '{limit:%Y-%m-%d %H:%M:%S} UTC'" for limit in (first, after))
        return f"CASE WHEN {moment} >= {earliest} AND {moment} < {latest} THEN {moment} END"


_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_ENDS = literal(ENDS)


def clean_sql(text: str, *, is_id: bool = False) -> str:
    """`tasks.io.cells.clean` of an expression. Only text beyond ASCII is looked at sign by sign."""
    removed = INVISIBLE + (JOINERS if is_id else "")
    visible = f"translate({text}, {literal(SPACES + removed)}, {literal(' ' * len(SPACES))})"
    composed = f"CASE WHEN {visible} RLIKE {literal(_MAY_COMPOSE)} THEN {_COMPOSED.format(visible)} ELSE {visible} END"
    is_ascii = f"octet_length({text}) = char_length({text})"
    return f"CASE WHEN {is_ascii} THEN btrim({text}, {_ENDS}) ELSE btrim({composed}, {_ENDS}) END"


_MAY_COMPOSE = r"[^\u0000-\u02ff]"  # signs below are composed already


def number_sql(cell: Cell, text: str) -> str:
    """The number in a cleaned text; null where it is none."""
    form = number_form(cell)
    order = "".join(part if isinstance(part, str) else f"${part}" for part in form.order)
    plain = (
        f"translate(regexp_replace({text}, {literal(form.pattern)}, {literal(order)}), {', '.join(map(literal, form.signs))})"
    )
    number = (
        f"CASE WHEN {text} RLIKE {literal(form.pattern)} THEN "
        f"CASE WHEN {plain} RLIKE {literal(PLAIN_NUMBER)} THEN CAST({plain} AS DOUBLE) END END"
    )
    if cell.percent:
        number = f"({number}) / CASE WHEN {text} LIKE '%\\%%' THEN 100D ELSE 1D END"
    elif (cell.decimal or ".") == ".":
        number = f"CASE WHEN {text} RLIKE {literal(PLAIN_NUMBER)} THEN CAST({text} AS DOUBLE) ELSE {number} END"
    return number


def _in_range(cell: Cell, number: str) -> str:
    tests = [f"abs({number}) < double('infinity')"]
    if cell.type in WHOLE_NUMBERS:
        tests = [f"abs({number}) < {LARGEST[cell.type]:.0f}D", f"({number}) = floor({number})"]
    return f"CASE WHEN {' AND '.join(tests)} THEN {number} END"


def _id(text: str, case: str | None) -> str:
    parts = [f"regexp_extract({text}, {literal(WRITTEN_BY_PROGRAM)}, {place})" for place in range(1, 6)]
    digits = f"concat({parts[1]}, regexp_replace(concat({parts[2]}, {parts[3]}), '0+$', ''))"
    count = f"(CAST({parts[4]} AS INT) + 1)"
    whole = f"CASE WHEN length({digits}) <= {count} THEN concat({parts[0]}, rpad({digits}, {count}, '0')) END"
    # Few ids are numbers with a point or an exponent: one test finds out.
    found = (
        f"CASE WHEN NOT {text} RLIKE '^-?[0-9]+[.eE]' THEN {text} "
        f"WHEN {text} RLIKE {literal(POINT_ZERO)} THEN regexp_replace({text}, '\\\\.0+$', '') "
        f"WHEN {text} RLIKE {literal(WRITTEN_BY_PROGRAM)} THEN {whole} "
        f"WHEN {text} RLIKE {literal(f'^({LOST_DIGITS})$')} THEN NULL ELSE {text} END"
    )
    cased = _cased(found, case)
    return f"CASE WHEN char_length({cased}) <= {LONGEST_ID} THEN {cased} END"


def _time_of_day(text: str) -> str:
    hour, minute, second, half = (f"regexp_extract({text}, {literal(TIME_OF_DAY)}, {place})" for place in (1, 2, 3, 4))
    hours = (
        f"CASE WHEN {half} = '' THEN CAST({hour} AS DOUBLE) WHEN CAST({hour} AS INT) BETWEEN 1 AND 12 "
        f"THEN CAST({hour} AS INT) % 12 + CASE WHEN lower({half}) = 'p' THEN 12D ELSE 0D END END"
    )
    seconds = f"CAST(CASE WHEN {second} = '' THEN '0' ELSE {second} END AS DOUBLE)"
    return (
        f"CASE WHEN {text} RLIKE {literal(TIME_OF_DAY)} THEN ({hours}) * 3600 + CAST({minute} AS DOUBLE) * 60 + {seconds} END"
    )


def _local(moment: str, zone: ZoneInfo) -> str:
    return moment if zone == UTC_ZONE else f"to_utc_timestamp({moment}, {literal(zone.key)})"


def _map(words: Mapping[str, str]) -> str:
    return f"map({', '.join(literal(one) for pair in words.items() for one in pair)})"


def _when_in(text: str, words: Sequence[str], value: str) -> str:
    return f"WHEN lower({text}) IN ({', '.join(map(literal, words))}) THEN {value}" if words else ""


def _cased(text: str, case: str | None) -> str:
    return text if case is None else f"{case}({text})"


def _escape(delimiter: str) -> str:
    return "".join(f"\\{sign}" if not sign.isalnum() and sign.isascii() else sign for sign in delimiter)

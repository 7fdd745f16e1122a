"""Adapter: cells as people and programs write them -> values. The only normalization, in Python; `spark_cells` says it in SQL.

A cell is missing (None), becomes a value (text, or a float), or is lost: it is full and not what its column is stated to hold.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from tasks.contracts.cells import LONGEST_ID, MOMENTS, NUMBERS, OTHERS, WHOLE_NUMBERS, Cell, CellType

SPACES = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
INVISIBLE = "\u00ad\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
JOINERS = "\u200c\u200d"  # part of words in some scripts, and of no id
ENDS = " \t\n\x0b\x0c\r\x85\u2028\u2029"  # removed from both ends

PLAIN_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
POINT_ZERO = r"^(-?[0-9]+)\.0+$"
# Programs write whole numbers with an exponent: Java and pandas 1.2345607E7, R 1e+05. Excel shows fewer digits than there are.
WRITTEN_BY_PROGRAM = r"^(-?)([0-9])(?:\.([0-9]+)E|(?:\.([0-9]+))?e\+)(0?[0-9]|1[0-5])$"
LOST_DIGITS = r"-?[0-9](\.[0-9]+)?[eE]\+[0-9]{2,3}|-?[0-9]\.[0-9]+E(1[6-9]|[2-9][0-9])"
TIME_OF_DAY = r"^([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9](?:\.[0-9]{1,9})?))?(?: ?([aApP])\.?[mM]\.?)?$"
LARGEST = {"int": 2.0**31, "long": 2.0**63}
EXACT = 2.0**53  # whole numbers from here on have lost digits in a double

Value = str | float | None


class LostCell(ValueError):
    """A full cell that is not what its column is stated to hold."""


class NumberForm(NamedTuple):
    """How a number may be written: a pattern, and the groups and signs that turn it into a plain number.

    order : the groups in the order of a plain number, with `\\x1f` for the decimal sign. signs : what is replaced by what, sign
    by sign; those beyond the end of the second are removed.
    """

    pattern: str
    order: tuple[int | str, ...]
    signs: tuple[str, str]


def number_form(cell: Cell) -> NumberForm:
    """How the numbers of a column may be written. Accountants write negative ones in brackets, or with the sign at the end."""
    marks = {",": ",", ".": r"\.", "'": "['\u2019]", " ": " "}
    whole = "[0-9]+"
    if cell.thousands is not None:
        mark = marks[cell.thousands]
        whole = f"[0-9]{{1,3}}(?:{mark}[0-9]{{2,3}})*{mark}[0-9]{{3}}|{whole}"
    symbols = sorted({*cell.symbols, *(("%",) if cell.percent else ())}, key=lambda symbol: (-len(symbol), symbol))
    around = f"(?:(?i:{'|'.join(map(re.escape, symbols))}) ?)*" if symbols else ""
    sign = "([+\u2212-]?)"
    pattern = (
        rf"^(?!\([^)]*$)(?![^(]*\)$)(\(?){sign} ?{around}{sign}({whole})?(?:{marks[cell.decimal or '.']}([0-9]*))?"
        rf"([eE][+-]?[0-9]+)? ?{around}(-?)\)?$"
    )
    removed = {"'": "'\u2019", None: ""}.get(cell.thousands, cell.thousands or "")
    return NumberForm(pattern, (1, 2, 3, 7, 4, "\x1f", 5, 6), (f"\x1f(\u2212{removed}", ".--"))


def clean(text: str, *, is_id: bool = False) -> str:
    """Text in its composed form, without invisible characters, with usual spaces, and none at the ends."""
    if text.isascii():
        return text.strip(ENDS)
    return unicodedata.normalize("NFC", text.translate(_REPLACED[is_id])).strip(ENDS)


_REPLACED = {
    is_id: {**{ord(one): " " for one in SPACES}, **{ord(one): None for one in INVISIBLE + (JOINERS if is_id else "")}}
    for is_id in (False, True)
}


class CellReader:
    """Reads the cells of one column.

    A value that it returned is read as itself, so that rows that were read once can pass it again.
    """

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self._missing = cell.missing_words
        self._is_id = cell.type == "id"
        self._words = {clean(word).lower(): into for word, into in cell.words.items()}
        self._allowed = None if cell.allowed is None else {word.lower(): word for word in cell.allowed}
        self._true = {clean(word).lower() for word in cell.true}
        self._false = None if cell.false == OTHERS else {clean(word).lower() for word in cell.false}
        self._form = number_form(cell)
        self._read = self._reader_of(cell.type)

    def _reader_of(self, kind: CellType) -> Callable[[str], str | float | None]:
        if kind in NUMBERS:
            return self._number
        if kind in MOMENTS or kind == "ignore":
            raise TypeError(f"cells of the type {kind} are read by Spark only")
        readers: dict[str, Callable[[str], str | float | None]] = {
            "id": self._id,
            "boolean": self._boolean,
            "time": self._time,
            "list": self._list,
        }
        return readers.get(kind, self._text)

    @property
    def gives_text(self) -> bool:
        """Whether its values are text. Otherwise they are floats."""
        return self.cell.type in {"string", "id", "list"}

    @property
    def expected(self) -> str:
        """What its cells hold, for messages."""
        kind = self.cell.type
        if self.cell.allowed is not None:
            return f"one of {', '.join(self.cell.allowed)}"
        if kind == "boolean":
            false = "others" if self.cell.false == OTHERS else ", ".join(self.cell.false)
            return f"{', '.join(self.cell.true)} for true, {false} for false"
        if kind in WHOLE_NUMBERS:
            return "a whole number"
        if kind in NUMBERS:
            thousands = f" and thousands {self.cell.thousands!r}" if self.cell.thousands else ""
            return f"a finite number with the decimal sign {self.cell.decimal or '.'!r}{thousands}"
        texts = {"id": f"an id of at most {LONGEST_ID} characters with all its digits", "time": "a time of day such as 13:05"}
        return texts.get(kind, "text")

    def __call__(self, value: object) -> Value:
        """The value of a cell; None where it is missing.

        Raises
        ------
        LostCell : the cell is full and is not what the column is stated to hold.
        """
        if value is None:
            return None
        if not isinstance(value, str):
            found = self._of_other_type(value)
            if not isinstance(found, str):
                return found
            value = found
        cleaned = clean(value, is_id=self._is_id)
        if not cleaned or cleaned.lower() in self._missing:
            return None
        found = self._read(cleaned)
        if found is None:
            raise LostCell(f"expected {self.expected}, got {value[:80]!r}")
        return found

    def _of_other_type(self, value: object) -> Value:
        """A cell of a typed format: a float is final, and a text is read on."""
        if isinstance(value, bool):
            return str(value).lower() if self.gives_text else float(value)
        if not isinstance(value, int | float | Decimal):
            try:
                value = float(value)  # type: ignore[arg-type]  # NumPy's scalars, and pandas' NA, which refuses
            except (TypeError, ValueError):
                return None
        if isinstance(value, float | Decimal) and math.isnan(value):
            return None
        if self.gives_text:
            if isinstance(value, float) and self._is_id and not (value.is_integer() and abs(value) < EXACT):
                raise LostCell(f"expected an id, got the number {value!r}, which is not whole or has lost digits")
            return str(int(value)) if isinstance(value, float) and self._is_id else str(value)
        if self.cell.type == "boolean" and value not in (0, 1):  # these are values that were read
            return str(value)
        number = float(value)
        if not self._is_in_range(number):
            raise LostCell(f"expected {self.expected}, got {value!r}")
        return number

    def _is_in_range(self, number: float) -> bool:
        if not math.isfinite(number):
            return False
        return self.cell.type not in WHOLE_NUMBERS or (number.is_integer() and abs(number) < LARGEST[self.cell.type])

    def _text(self, text: str) -> str | None:
        found = self._words.get(text.lower(), text) if self._words else text
        if self._allowed is not None:
            return self._allowed.get(found.lower())
        return change_case(found, self.cell.case)

    def _id(self, text: str) -> str | None:
        found = self._words.get(text.lower(), text) if self._words else text
        if "." not in found and "+" not in found:
            pass  # no number with a point or an exponent
        elif match := re.fullmatch(POINT_ZERO, found):
            found = match[1]
        elif match := re.fullmatch(WRITTEN_BY_PROGRAM, found):
            digits, zeros = match[2] + (match[3] or match[4] or "").rstrip("0"), int(match[5])
            if len(digits) > zeros + 1:
                return None
            found = match[1] + digits.ljust(zeros + 1, "0")
        elif re.fullmatch(LOST_DIGITS, found):
            return None
        found = change_case(found, self.cell.case)
        return found if len(found) <= LONGEST_ID else None

    def _number(self, text: str) -> float | None:
        match = re.fullmatch(self._form.pattern, text)
        if match is None:
            return None
        signs, replaced = self._form.signs
        table = {ord(sign): replaced[place : place + 1] or None for place, sign in enumerate(signs)}
        plain = "".join(part if isinstance(part, str) else match[part] or "" for part in self._form.order).translate(table)
        if not re.fullmatch(PLAIN_NUMBER, plain):
            return None
        number = float(plain)
        if self.cell.percent and "%" in text:
            number /= 100
        return number if self._is_in_range(number) else None

    def _boolean(self, text: str) -> float | None:
        word = text.lower()
        if word in self._true:
            return 1.0
        return 0.0 if self._false is None or word in self._false else None

    def _time(self, text: str) -> float | None:
        match = re.fullmatch(TIME_OF_DAY, text)
        if match is None:
            return None
        hour = float(match[1])
        if match[4]:
            if not 1 <= hour <= 12:
                return None
            hour = hour % 12 + (12 if match[4].lower() == "p" else 0)
        return hour * 3600 + float(match[2]) * 60 + float(match[3] or 0)

    def _list(self, text: str) -> str | None:
        elements = (element.strip(ENDS) for element in text.split(self.cell.delimiter))
        found = [self._words.get(one.lower(), one) for one in elements if one and one.lower() not in self._missing]
        return change_case("|".join(found), self.cell.case) or None


def change_case(text: str, case: str | None) -> str:
    """Text in capitals, in small letters, or as it is."""
    return text if case is None else text.upper() if case == "upper" else text.lower()


def read_column(cell: Cell, values: Iterable[Any]) -> tuple[list[Value], list[bool]]:
    """The values of a column, and which of its cells are lost."""
    reader = CellReader(cell)
    found: dict[Any, tuple[Value, bool]] = {}
    read, lost = [], []
    for value in values:
        key = (type(value), value)
        if key not in found:
            try:
                found[key] = reader(value), False
            except LostCell:
                found[key] = None, True
        read.append(found[key][0])
        lost.append(found[key][1])
    return read, lost


def readers_of(cells: Mapping[str, Cell], names: Sequence[str], texts: Sequence[str] = ()) -> dict[str, CellReader]:
    """A reader for each of the named columns. One that is not declared holds text where it is in `texts`, otherwise numbers."""
    return {name: CellReader(cells.get(name, Cell(type="string" if name in texts else "double"))) for name in names}

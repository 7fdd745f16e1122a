"""The encoding of columns as numbers (nominal, ordinal, free text), learned from training rows and part of the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tasks.contracts.arrays import Floats
from tasks.errors import ModelError
from tasks.models.base import ColumnKinds
from tasks.models.prepared import read_numbers
from tasks.models.text import WORD

if TYPE_CHECKING:
    import pandas as pd

LEVELS, WORDS, ROWS_OF_A_WORD = 100, 200, 2
NOMINAL, ORDINAL, TEXT = "nominal", "ordinal", "text"


@dataclass(frozen=True)
class Encoding:
    """Rows -> a matrix, column by column.

    names : the columns, in order. Numbers stay as they are. encoders : column -> (kind, values) for those that hold text:

    nominal : a column of 0 and 1 for each of the `LEVELS` values that most training rows have (a missing one is a value too);
        a value that training did not see is 0 in all of them.
    ordinal : the place among its stated values, from 0; NaN for others, and so imputed as missing numbers are.
    text : 1 where the row has the word, for each of the `WORDS` words in most rows, and in at least `ROWS_OF_A_WORD`.
    """

    names: tuple[str, ...]
    encoders: Mapping[str, tuple[str, tuple[str | None, ...]]] = field(default_factory=dict)

    @classmethod
    def learn(cls, rows: pd.DataFrame, names: Sequence[str], kinds: ColumnKinds) -> Self:
        """From training rows."""
        encoders: dict[str, tuple[str, tuple[str | None, ...]]] = {}
        for name in text_columns(rows, names):
            if name in kinds.ordinal:
                encoders[name] = (ORDINAL, tuple(kinds.ordinal[name]))
            elif name in kinds.text:
                counted = Counter(word for cell in rows[name] for word in _words(cell))
                found = [(-rows_of, word) for word, rows_of in counted.items() if rows_of >= ROWS_OF_A_WORD]
                encoders[name] = (TEXT, tuple(sorted(word for _, word in sorted(found)[:WORDS])))
            else:
                levels = Counter(_cell(cell) for cell in rows[name])
                most = sorted(levels, key=lambda level: (-levels[level], level or ""))[:LEVELS]
                encoders[name] = (NOMINAL, tuple(sorted(most, key=lambda level: (level is not None, level or ""))))
        return cls(tuple(names), encoders)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the matrix's columns: `age`, `job=student`, `notes~broken`."""
        found: list[str] = []
        for name in self.names:
            kind, values = self.encoders.get(name, (ORDINAL, ()))
            sign = {NOMINAL: "=", TEXT: "~"}.get(kind)
            found += [name] if sign is None else [f"{name}{sign}{'' if value is None else value}" for value in values]
        return tuple(found)

    def read(self, rows: pd.DataFrame, whose: str) -> Floats:
        """The matrix (rows, outputs); NaN where a number is missing.

        Raises
        ------
        ModelError : a column is missing, or a cell of a column of numbers is not a number.
        """
        if not self.encoders:
            return _numbers(rows, self.names, whose)
        if missing := [name for name in self.names if name not in rows]:
            return read_numbers(rows, missing, whose)  # raises with the missing and the present columns
        parts = []
        for name in self.names:
            if name not in self.encoders:
                parts.append(_numbers(rows, [name], whose))
                continue
            kind, values = self.encoders[name]
            cells = rows[name].tolist()
            if kind == ORDINAL:
                places = {value: float(place) for place, value in enumerate(values)}
                parts.append(np.array([[places.get(_cell(cell), np.nan)] for cell in cells]).reshape(len(cells), 1))
                continue
            matrix = np.zeros((len(cells), len(values)))
            column = {value: place for place, value in enumerate(values)}
            for row, cell in enumerate(cells):
                for value in _words(cell) if kind == TEXT else (_cell(cell),):
                    if (place := column.get(value)) is not None:
                        matrix[row, place] = 1.0
            parts.append(matrix)
        return np.hstack(parts)

    def to_json(self) -> dict[str, Any]:
        """Beside the settings of a model; nothing of `encoders` where all columns are numbers."""
        encoders = {name: [kind, list(values)] for name, (kind, values) in self.encoders.items()}
        return {"names": list(self.names)} | ({"encoders": encoders} if encoders else {})

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        encoders = {name: (kind, tuple(values)) for name, (kind, values) in settings.get("encoders", {}).items()}
        return cls(tuple(settings["names"]), encoders)


def text_columns(rows: pd.DataFrame, names: Sequence[str]) -> tuple[str, ...]:
    """Those of the named columns that hold text, or only missing values in a column of objects."""
    import pandas as pd

    def is_text(column: pd.Series) -> bool:
        return bool(pd.api.types.is_string_dtype(column) or pd.api.types.is_object_dtype(column))

    return tuple(name for name in names if is_text(rows[name]))


def _numbers(rows: pd.DataFrame, names: Sequence[str], whose: str) -> Floats:
    try:
        return read_numbers(rows, names, whose)
    except (ValueError, TypeError) as error:
        raise ModelError(f"{whose}: the columns {', '.join(names)} hold numbers: {error}") from error


def _cell(cell: Any) -> str | None:
    """Text, or None if it is missing (None, NaN, pandas' NA)."""
    return cell if isinstance(cell, str) else None


def _words(cell: Any) -> set[str]:
    return set(WORD.findall(cell.lower())) if isinstance(cell, str) else set()

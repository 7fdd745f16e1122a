"""A sample of a source, as it is before anything is known of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Sample:
    """Some rows of a file, a folder of daily files, or a table.

    Parameters
    ----------
    place : what was looked at, as it was named.
    source : the settings of the source that are known from its form, such as format, delimiter and encoding.
    cells : column -> its cells in the order of the rows; text, values of a typed format, or None.
    types : column -> its Arrow type, in a typed format.
    rows : how many rows the cells have. of_rows : of how many in all, where it is known, otherwise about.
    is_whole : whether these are all rows.
    days : day -> the file that reports on it, of a folder of daily files.
    files : the files that were read.
    notes : where, and what a person should know: what was guessed of the form.
    """

    place: str
    source: Mapping[str, Any]
    cells: Mapping[str, Sequence[Any]]
    types: Mapping[str, str]
    rows: int
    of_rows: int
    is_whole: bool
    days: Mapping[date, Path] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()

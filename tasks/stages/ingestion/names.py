"""What the names of a source's columns, and the patterns of its times, must be so that every later stage can take them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from tasks import columns as c

LONGEST = 200
_TAKEN = frozenset({*c.TABULAR_COLUMNS, c.EVENT_ID, c.LABEL, *c.COMPUTED_COLUMNS})
_UNWRITABLE = ('"', "\\")  # the endpoint's decoder of rows, msgspec, cannot hold them in a name


def check_names(names: Iterable[str], features: Iterable[str] = ()) -> None:
    """Refuse names of columns that a later stage cannot take.

    Parameters
    ----------
    names : all columns that are read.
    features : those that are kept under their own name.

    Raises
    ------
    ValueError : the name, why it cannot be taken, and what to do.
    """
    seen: dict[str, str] = {}
    for name in names:
        if other := seen.get(_fold(name)):
            raise ValueError(
                f"cells: {other!r} and {name!r} differ in capitals only, which Spark does not distinguish; rename one of them "
                "in the source"
            )
        seen[_fold(name)] = name
        if _fold(name).startswith(c.OWN):
            raise ValueError(f"cells: {name!r}: names that begin with {c.OWN} are the pipeline's; rename it in the source")
        if any(unicodedata.category(letter) == "Cc" for letter in name):
            raise ValueError(f"cells: {name!r} contains a control character, such as a line break; rename it in the source")
        if len(name) > LONGEST:
            raise ValueError(f"cells: {name[:40]!r}...: a name has at most {LONGEST} letters, got {len(name)}")
    for name in features:
        remedy = "rename it in the source, map it in columns, or add it to leave_out"
        if _fold(name) in _TAKEN:
            raise ValueError(f"cells: {name} cannot be features, because the pipeline uses the name {_fold(name)}; {remedy}")
        if not name.strip():
            raise ValueError(f"cells: a column without a name cannot be a feature; {remedy}")
        if letters := [letter for letter in _UNWRITABLE if letter in name]:
            raise ValueError(f"cells: {name!r} cannot be a feature, because a request cannot name {letters[0]}; {remedy}")


def _fold(name: str) -> str:
    """A name as Spark compares it."""
    return name.lower()


# letter of a pattern -> how often it may stand, of those with which Spark reads
_MOST = {"G": 4, "y": 6, "M": 4, "L": 4, "d": 2, "D": 3, "a": 1, "h": 2, "K": 2, "k": 2, "H": 2, "m": 2, "s": 2, "S": 9}
_ZONES = {"V": 2, "z": 4, "O": 4, "X": 3, "x": 3, "Z": 5}
_INSTEAD = {
    "Y": "Y is the year of a week; years are yyyy",
    "u": "years are yyyy",
    "E": "E is the name of a weekday, which Spark writes and does not read; deliver times without it",
    "e": "the day of the week is not read; deliver times without it",
    "c": "the day of the week is not read; deliver times without it",
    "n": "fractions of a second are SSS",
    "A": "AM and PM are a",
    "p": "AM and PM are a",
    "T": "text is quoted: yyyy-MM-dd'T'HH:mm:ss",
}


def check_pattern(pattern: str, field: str = "time_format", *, is_time_of_day: bool = False) -> None:
    """Refuse a pattern of times that Spark cannot read, or that says something else than it seems to.

    Parameters
    ----------
    field : where it is stated.

    Raises
    ------
    ValueError : the letter, what it means, and the right one. Patterns of Python and SQL are such.
    """
    where = f"{field}: {pattern!r}"
    if "%" in pattern:
        raise ValueError(f"{where}: %Y and so on are Python's letters; write Spark's, such as yyyy-MM-dd HH:mm:ss")
    if pattern.count("'") % 2:
        raise ValueError(f"{where}: a quote is not closed; text is quoted, such as yyyy-MM-dd'T'HH:mm:ss")
    fields = [found[0] for found in re.finditer(r"([A-Za-z])\1*", re.sub(r"'[^']*'", " ", pattern))]
    for letters in fields:
        most = (_MOST | _ZONES).get(letters[0])
        if most is None:
            raise ValueError(f"{where}: {letters}: {_INSTEAD.get(letters[0], 'is no letter of a pattern; quote text')}")
        if len(letters) > most:
            raise ValueError(f"{where}: {letters}: at most {letters[0] * most}")
    _check_meaning(where, [letters[0] for letters in fields], is_time_of_day=is_time_of_day)


def _check_meaning(where: str, letters: list[str], *, is_time_of_day: bool) -> None:
    """Refuse letters that contradict each other, or miss a part of a date."""
    there, hours = set(letters), "HhKk"
    for before, letter in zip([" ", *letters], letters, strict=False):
        if letter == "m" and before not in hours:
            raise ValueError(f"{where}: mm are minutes and stand after an hour; months are MM")
        if letter == "M" and before in hours:
            raise ValueError(f"{where}: MM are months; minutes are mm")
    if there & {"h", "K"} and "a" not in there:
        raise ValueError(f"{where}: hh are hours from 1 to 12 and need a, which is AM or PM; hours of a day are HH")
    if "S" in there and "s" not in there:
        raise ValueError(f"{where}: SS are fractions of a second; seconds are ss")
    if is_time_of_day:
        if not there & set(hours):
            raise ValueError(f"{where}: a time of day needs an hour, HH")
        return
    if "D" in there and ("M" in there or "d" in there):
        raise ValueError(f"{where}: DD is the day of a year; days of a month are dd")
    needed = {"year, yyyy": "y", "month, MM": "MLD", "day, dd": "dD"}
    if missing := [name for name, any_of in needed.items() if not there & set(any_of)]:
        raise ValueError(f"{where}: a date needs a {' and a '.join(missing)}")

"""Titles of films, and attributes of films and users, in the MovieLens sets.

Attributes follow the published benchmarks of the set. A film has its genres (together of length 1) and its year. A user has the
decade of their age, sex, occupation and the first character of their zip code.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

from tasks.errors import SourceError

GENRES = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
FIRST_FLAG = 5  # position of the first genre flag in a line of u.item


def read_films(path: Path, delimiter: str, encoding: str, has_header: bool) -> dict[str, tuple[str, str]]:
    """Film -> its title and its attributes as JSON.

    Raises
    ------
    SourceError : a line of another form.
    """
    films = {}
    for place, fields in _lines(path, delimiter, encoding, has_header):
        if len(fields) < 2 or not fields[0]:
            raise SourceError(
                f"{path}: line {place}: expected id, title and more fields split by {delimiter!r}, got "
                f"{delimiter.join(fields)[:120]!r}; deliver it again"
            )
        listed = fields[2] if delimiter != "|" and len(fields) > 2 else ""
        flags = [name for name, flag in zip(GENRES, fields[FIRST_FLAG:], strict=False) if flag == "1"]
        genres = flags or [name for name in listed.split("|") if name and not name.startswith("(")]
        attributes = {_name("genre", genre): len(genres) ** -0.5 for genre in genres}
        if year := re.search(r"\((\d{4})\)\s*$", fields[1]):
            attributes[_name("year", year[1])] = 1.0
        films[fields[0]] = (fields[1], json.dumps(attributes, sort_keys=True))
    return films


def read_people(path: Path, delimiter: str, order: tuple[str, ...]) -> dict[str, str]:
    """User -> attributes as JSON. `order`: the names of a line's fields, among id, age, sex, work and zip.

    Raises
    ------
    SourceError : a line of another form.
    """
    people = {}
    for place, fields in _lines(path, delimiter, "ISO-8859-1", has_header=False):
        user = dict(zip(order, fields, strict=False))
        if len(fields) != len(order) or not user["age"].isdecimal():
            raise SourceError(
                f"{path}: line {place}: expected {', '.join(order)} split by {delimiter!r} with a whole number as age, got "
                f"{delimiter.join(fields)[:120]!r}; deliver it again"
            )
        shown = user | {"age": str(int(user["age"]) // 10 * 10), "zip": user["zip"][:1]}
        people[user["id"]] = json.dumps(
            {_name(name, shown[name]): 1.0 for name in ("age", "sex", "work", "zip")}, sort_keys=True
        )
    return people


def _lines(path: Path, delimiter: str, encoding: str, has_header: bool) -> Iterator[tuple[int, list[str]]]:
    """The number and the fields of each line that is not empty."""
    content = path.read_bytes().decode(encoding, errors="replace")
    if delimiter == ",":
        rows: Iterator[list[str]] = csv.reader(io.StringIO(content, newline=""))
    else:
        rows = (line.split(delimiter) for line in content.split("\n"))  # splitlines also splits at other characters
    for place, fields in enumerate(rows, start=1):
        if any(fields) and not (has_header and place == 1):
            yield place, [field.strip() for field in fields]


def _name(kind: str, value: str) -> str:
    """A valid name of a column, such as `genre_film_noir`."""
    plain = re.sub(r"[^a-z0-9]+", "_", value.lower().replace("'", "")).strip("_")
    return f"{kind}_{plain}"

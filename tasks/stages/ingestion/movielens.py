"""MovieLens files of GroupLens: explicit ratings, one file set for all days."""

from __future__ import annotations

import hashlib
import io
import shutil
import tempfile
import urllib.request
import zipfile
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.errors import SourceError
from tasks.stages.ingestion.base import (
    Source,
    SourceFile,
    as_json,
    check_folder,
    decode,
    number,
    number_rows,
    plain_paths,
    read_bytes,
    text,
)
from tasks.stages.ingestion.movielens_about import read_films, read_people

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class Layout:
    """How one generation of MovieLens writes its files."""

    ratings: str
    cells: tuple[str, str, str, str]
    delimiter: str
    has_header: bool
    films: str
    films_delimiter: str
    films_encoding: str
    people: str = ""
    person: tuple[str, ...] = ()


LAYOUTS = {
    "ml-100k": Layout(
        "u.data",
        ("user id", "item id", "rating", "timestamp"),
        "\t",
        False,
        "u.item",
        "|",
        "ISO-8859-1",
        "u.user",
        ("id", "age", "sex", "work", "zip"),
    ),
    "ml-1m": Layout(
        "ratings.dat",
        ("UserID", "MovieID", "Rating", "Timestamp"),
        "::",
        False,
        "movies.dat",
        "::",
        "ISO-8859-1",
        "users.dat",
        ("id", "sex", "age", "work", "zip"),
    ),
    "ml-latest": Layout("ratings.csv", ("userId", "movieId", "rating", "timestamp"), ",", True, "movies.csv", ",", "UTF-8"),
}
PUBLISHER = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
DIGEST = "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490"  # of u.data
LARGEST_DOWNLOAD = 64 * 2**20


class MovieLens(Source):
    """Ratings; the rows of a window are those that were given in it. A rating is known from midnight after its day.

    `variant` says which files to look for: ml-100k (u.data), ml-1m (ratings.dat; ml-10m writes the same), ml-latest
    (ratings.csv; ml-20m, ml-25m and ml-32m write the same). Titles and attributes of films (u.item, movies.dat, movies.csv) and
    of who rated them (u.user, users.dat) are read where their files are there.
    """

    reader_version = 2
    refuses_files: ClassVar[bool] = True
    kind: Literal["movielens"] = "movielens"
    variant: Literal["ml-100k", "ml-1m", "ml-latest"] = "ml-100k"
    download: bool = Field(False, description="fetch ml-100k from its publisher when the folder is missing")

    @model_validator(mode="after")
    def _can_be_downloaded(self) -> MovieLens:
        if self.download and self.variant != "ml-100k":
            raise ValueError(f"download is for ml-100k, whose digest is known; the variant is {self.variant}")
        return self

    def files(self, folder: Path | None, window: Window) -> list[SourceFile]:
        if self.download and folder is not None and not folder.exists():
            download(folder)
        folder, layout = check_folder(folder, self.kind), LAYOUTS[self.variant]
        path = folder / layout.ratings
        if not path.is_file():
            came = ", ".join(sorted(entry.name for entry in folder.iterdir())[:5]) or "nothing"
            allowed = ", ".join(f"{name}: {known.ratings}" for name, known in LAYOUTS.items())
            raise SourceError(
                f"{folder}: no {layout.ratings}, which source.variant {self.variant} means ({allowed}); got {came}"
            )
        content, sha256 = read_bytes(path)
        rows = _count_rows(decode(content, path), layout, path, window)
        if not rows:
            return []
        told = [folder / name for name in (layout.films, layout.people) if name and (folder / name).is_file()]
        about = [SourceFile(one.name, one, read_bytes(one)[1], window.start, 0) for one in told]
        _read_about(about, layout)  # refuses at the door
        return [SourceFile(path.name, path, sha256, window.start, rows), *about]

    def read(self, spark: SparkSession, files: list[SourceFile], window: Window) -> DataFrame:
        from pyspark.sql import functions as F

        layout = LAYOUTS[self.variant]
        user, item, rating, seconds = layout.cells
        cells = spark.read.csv(
            plain_paths(files[:1]),
            schema=", ".join(f"`{name}` string" for name in layout.cells),
            header=layout.has_header,
            sep=layout.delimiter,
            quote="",
            multiLine=True,  # read as a whole, so that rows can be numbered
        )
        start, end = _bounds(window)
        rated = text(seconds).cast("long")
        event_at = F.timestamp_seconds(rated)
        value, nothing = number(rating), F.lit(None)
        rows = (
            number_rows(cells)
            .where((rated >= start) & (rated < end))
            .select(
                c.ROW_ID,
                # One file holds all days: a day of it is what a later window may read again, as a file is elsewhere.
                F.concat_ws("@", c.SOURCE_FILE, F.to_date(event_at).cast("string")).alias(c.SOURCE_FILE),
                event_at.alias(c.EVENT_AT),
                F.date_add(F.to_date(event_at), 1).cast("timestamp").alias(c.INGESTED_AT),
                as_json(list(layout.cells)).alias(c.AS_IT_CAME),
                F.concat_ws("-", text(user), text(item), text(seconds)).alias(c.EVENT_ID),
                F.lit(c.RATING).alias(c.EVENT_TYPE),
                text(user).alias(c.USER_ID),
                text(item).alias(c.ITEM_ID),
                nothing.cast("double").alias(c.QUANTITY),
                nothing.cast("double").alias(c.UNIT_PRICE),
                value.alias(c.VALUE),
                nothing.cast("string").alias(c.SEGMENT),
            )
        )
        films, people = _read_about(files, layout)
        texts = f"{c.ITEM_ID} string, {c.ITEM_TEXT} string, {c.ITEM_ATTRIBUTES} string"
        of_films = spark.createDataFrame([(film, *told) for film, told in films.items()], texts)
        of_people = spark.createDataFrame(list(people.items()), f"{c.USER_ID} string, {c.USER_ATTRIBUTES} string")
        return rows.join(of_films, c.ITEM_ID, "left").join(of_people, c.USER_ID, "left").select(*c.INTERACTION_COLUMNS)


def _read_about(files: list[SourceFile], layout: Layout) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
    """Titles and attributes of films, attributes of people; empty where the set came without them."""
    came = {file.name: file.path for file in files}
    films, people = came.get(layout.films), came.get(layout.people)
    return (
        read_films(films, layout.films_delimiter, layout.films_encoding, layout.has_header) if films else {},
        read_people(people, layout.films_delimiter, layout.person) if people else {},
    )


def _bounds(window: Window) -> tuple[int, int]:
    """The window in seconds since 1970, UTC."""

    def seconds(day: date) -> int:
        return int(datetime.combine(day, time(), UTC).timestamp())

    return seconds(window.start), seconds(window.end)


def _count_rows(content: str, layout: Layout, path: Path, window: Window) -> int:
    """Rows of the window; refuses a line of another form, and one whose time cannot be told: no window would take it."""
    start, end = _bounds(window)
    lines = io.StringIO(content, newline="\n")
    places = enumerate(lines, start=1)
    expected = layout.delimiter.join(layout.cells)
    if layout.has_header and (header := next(places)[1].rstrip("\r\n")) != expected:
        raise SourceError(f"{path}: line 1: the header is {expected}; got {header[:120]!r}")
    count = 0
    for place, line in places:
        fields = line.rstrip("\r\n").split(layout.delimiter)
        if fields == [""]:
            continue
        if len(fields) != len(layout.cells):
            cut = "" if line.endswith("\n") else "; the file is cut off at its end"
            raise SourceError(
                f"{path}: line {place}: {len(layout.cells)} fields ({', '.join(layout.cells)}) split by "
                f"{layout.delimiter!r} are allowed; got {len(fields)}: {line[:120]!r}{cut}; deliver it again"
            )
        seconds = fields[3].strip()
        if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 11):
            raise SourceError(
                f"{path}: line {place}: {layout.cells[3]}: whole seconds since 1970 are allowed; got {fields[3]!r}"
            )
        count += start <= int(seconds) < end
    return count


def download(folder: Path, url: str = PUBLISHER) -> None:
    """Fetch ml-100k into a folder that is not there yet: the whole set, or nothing.

    Raises
    ------
    SourceError : the publisher does not answer, or what came is not the set that the digest names.
    """
    remedy = f"fetch {PUBLISHER} by hand and unpack it into {folder}"
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310  # the address is the publisher's
            content = answer.read(LARGEST_DOWNLOAD)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            wanted = {name: archive.read(f"ml-100k/{name}") for name in ("u.data", "u.item", "u.user", "README")}
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise SourceError(f"source movielens: {url} gave no ml-100k: {error}; {remedy}") from error
    came = hashlib.sha256(wanted["u.data"]).hexdigest()
    if came != DIGEST:
        raise SourceError(f"source movielens: u.data of {url} has sha256 {came}; allowed: {DIGEST}; nothing was kept; {remedy}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, data in wanted.items():
            (staging / name).write_bytes(data)
        staging.chmod(0o755)
        staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)

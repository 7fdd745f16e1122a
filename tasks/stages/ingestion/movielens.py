"""MovieLens files of GroupLens: explicit ratings, one file set for all days."""

from __future__ import annotations

import hashlib
import io
import shutil
import tempfile
import urllib.request
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.calendar import start_of_day
from tasks.contracts.cells import Cell
from tasks.errors import SourceError
from tasks.io.days import local_date, midnight_of
from tasks.io.spark_cells import Wanted, read_cells, value_of
from tasks.stages.ingestion.base import (
    Source,
    SourceFile,
    as_json,
    check_folder,
    decode,
    name_rows,
    number_rows,
    plain_paths,
    read_bytes,
)
from tasks.stages.ingestion.movielens_about import read_films, read_people

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class Layout:
    """Names and formats of the files of one generation of MovieLens."""

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
    """Ratings. The rows of a window are the ratings given in it. A rating is known from midnight after its local day.

    `variant` selects the files: ml-100k (u.data), ml-1m (ratings.dat, also of ml-10m), ml-latest (ratings.csv, also of ml-20m,
    ml-25m and ml-32m). Titles and attributes of films (u.item, movies.dat, movies.csv) and of users (u.user, users.dat) are
    read where those files exist.
    """

    reader_version = 3
    refuses_files: ClassVar[bool] = True
    kind: Literal["movielens"] = "movielens"
    variant: Literal["ml-100k", "ml-1m", "ml-latest"] = "ml-100k"
    download: bool = Field(False, description="fetch ml-100k from its publisher when the folder is missing")

    @model_validator(mode="after")
    def _can_be_downloaded(self) -> MovieLens:
        if self.download and self.variant != "ml-100k":
            raise ValueError(f"download is available for ml-100k only, whose digest is known; got {self.variant}")
        return self

    @property
    def wanted(self) -> Mapping[str, Wanted]:
        user, item, rating, _ = LAYOUTS[self.variant].cells
        an_id = Cell(type="id")
        return {c.USER_ID: Wanted(user, an_id), c.ITEM_ID: Wanted(item, an_id), c.VALUE: Wanted(rating, Cell(type="double"))}

    def files(self, folder: Path | None, window: Window) -> list[SourceFile]:
        if self.download and folder is not None and not folder.exists():
            download(folder)
        folder, layout = check_folder(folder, self.kind), LAYOUTS[self.variant]
        path = folder / layout.ratings
        if not path.is_file():
            found = ", ".join(sorted(entry.name for entry in folder.iterdir())[:5]) or "nothing"
            allowed = ", ".join(f"{name}: {known.ratings}" for name, known in LAYOUTS.items())
            raise SourceError(f"{folder}: expected {layout.ratings} for source.variant {self.variant} ({allowed}), got {found}")
        content, sha256 = read_bytes(path)
        rows = _count_rows(decode(content, path), layout, path, _bounds(window, self.days_of))
        if not rows:
            return []
        paths = [folder / name for name in (layout.films, layout.people) if name and (folder / name).is_file()]
        about = [SourceFile(one.name, one, read_bytes(one)[1], window.start, 0) for one in paths]
        _read_about(about, layout)  # refuses files of another form
        return [SourceFile(path.name, path, sha256, window.start, rows), *about]

    def read(self, spark: SparkSession, files: list[SourceFile], window: Window) -> DataFrame:
        from pyspark.sql import functions as F

        layout = LAYOUTS[self.variant]
        seconds = layout.cells[3]
        cells = spark.read.csv(
            plain_paths([file.path for file in files[:1]]),
            schema=", ".join(f"`{name}` string" for name in layout.cells),
            header=layout.has_header,
            sep=layout.delimiter,
            quote="",
            multiLine=True,  # read as a whole, so that rows can be numbered
        )
        start, end = _bounds(window, self.days_of)
        rated = F.btrim(F.col(f"`{seconds}`")).cast("long")  # whole seconds, which the check before has seen
        event_at = F.timestamp_seconds(rated)
        day = local_date(event_at, self.days_of)
        in_window = number_rows(cells).where((rated >= start) & (rated < end))
        user_id, item_id, value = (F.col(f"`{value_of(name)}`") for name in (c.USER_ID, c.ITEM_ID, c.VALUE))
        nothing = F.lit(None)
        row_id, file = name_rows()
        rows = read_cells(in_window, self.wanted).select(
            row_id,
            # One file holds all days. Naming each day lets a later window read it again, as daily files allow.
            F.concat_ws("@", file, day.cast("string")).alias(c.SOURCE_FILE),
            event_at.alias(c.EVENT_AT),
            midnight_of(F.date_add(day, 1), self.days_of).alias(c.INGESTED_AT),
            as_json(list(layout.cells)).alias(c.AS_IT_CAME),
            F.concat_ws("-", user_id, item_id, rated.cast("string")).alias(c.EVENT_ID),
            F.lit(c.RATING).alias(c.EVENT_TYPE),
            user_id.alias(c.USER_ID),
            item_id.alias(c.ITEM_ID),
            nothing.cast("double").alias(c.QUANTITY),
            nothing.cast("double").alias(c.UNIT_PRICE),
            value.alias(c.VALUE),
            nothing.cast("string").alias(c.SEGMENT),
            nothing.cast("string").alias(c.LINE_ID),
            c.LOST_CELLS,
        )
        films, people = _read_about(files, layout)
        texts = f"{c.ITEM_ID} string, {c.ITEM_TEXT} string, {c.ITEM_ATTRIBUTES} string"
        of_films = spark.createDataFrame([(film, *about) for film, about in films.items()], texts)
        of_people = spark.createDataFrame(list(people.items()), f"{c.USER_ID} string, {c.USER_ATTRIBUTES} string")
        return (
            rows.join(of_films, c.ITEM_ID, "left")
            .join(of_people, c.USER_ID, "left")
            .select(*c.INTERACTION_COLUMNS, c.LOST_CELLS)
        )


def _read_about(files: list[SourceFile], layout: Layout) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
    """Titles and attributes of films, and attributes of users. Empty where the files are missing."""
    paths = {file.name: file.path for file in files}
    films, people = paths.get(layout.films), paths.get(layout.people)
    return (
        read_films(films, layout.films_delimiter, layout.films_encoding, layout.has_header) if films else {},
        read_people(people, layout.films_delimiter, layout.person) if people else {},
    )


def _bounds(window: Window, zone: ZoneInfo) -> tuple[int, int]:
    """The window of local days in seconds since 1970, UTC."""
    start, end = (int(start_of_day(day, zone).timestamp()) for day in (window.start, window.end))
    return start, end


def _count_rows(content: str, layout: Layout, path: Path, bounds: tuple[int, int]) -> int:
    """Rows of the window. Refuses a line of another form, and one without a valid time, which belongs to no window."""
    start, end = bounds
    lines = io.StringIO(content, newline="\n")
    places = enumerate(lines, start=1)
    expected = layout.delimiter.join(layout.cells)
    if layout.has_header and (header := next(places)[1].rstrip("\r\n")) != expected:
        raise SourceError(f"{path}: line 1: expected the header {expected}, got {header[:120]!r}")
    count = 0
    for place, line in places:
        fields = line.rstrip("\r\n").split(layout.delimiter)
        if fields == [""]:
            continue
        if len(fields) != len(layout.cells):
            cut = "" if line.endswith("\n") else "; the file is truncated"
            raise SourceError(
                f"{path}: line {place}: expected {len(layout.cells)} fields ({', '.join(layout.cells)}) split by "
                f"{layout.delimiter!r}, got {len(fields)}: {line[:120]!r}{cut}; deliver it again"
            )
        seconds = fields[3].strip()
        if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 11):
            raise SourceError(f"{path}: line {place}: {layout.cells[3]}: expected whole seconds since 1970, got {fields[3]!r}")
        count += start <= int(seconds) < end
    return count


def download(folder: Path, url: str = PUBLISHER) -> None:
    """Download ml-100k into a new folder, completely or not at all.

    Raises
    ------
    SourceError : the publisher does not answer, or the digest of the download is another one.
    """
    remedy = f"download {PUBLISHER} manually and unpack it into {folder}"
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310  # the address is the publisher's
            content = answer.read(LARGEST_DOWNLOAD)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            contents = {name: archive.read(f"ml-100k/{name}") for name in ("u.data", "u.item", "u.user", "README")}
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise SourceError(f"source movielens: {url} did not return ml-100k: {error}; {remedy}") from error
    digest = hashlib.sha256(contents["u.data"]).hexdigest()
    if digest != DIGEST:
        raise SourceError(f"source movielens: expected sha256 {DIGEST} of u.data from {url}, got {digest}; {remedy}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, data in contents.items():
            (staging / name).write_bytes(data)
        staging.chmod(0o755)
        staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)

"""MovieLens: windows, layouts, titles, and a download that is verified."""

from __future__ import annotations

import hashlib
import json
import zipfile
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError
from pyspark.sql import SparkSession

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.errors import SourceError
from tasks.io.storage import Storage
from tasks.stages.ingestion import ingest, movielens
from tasks.stages.ingestion.movielens import MovieLens
from tasks.stages.ingestion.movielens_about import read_films, read_people
from tests.tasks.stages.ingestion.source_examples import sample


@sample(
    "movielens",
    faults={
        "an_empty_file_of_ratings": ("u.data", "", ""),
        "a_rating_without_its_film": ("u.data", "196\t242\t3\t", "196\t3\t"),
    },
)
def movielens_folder(folder: Path) -> tuple[Path, Window]:
    folder.mkdir(parents=True)
    (folder / "u.data").write_text("196\t242\t3\t881250949\n186\t302\t3\t891717742\n22\t242\t1\t878887116\n")
    (folder / "u.item").write_bytes("242|Léon (1994)|01-Jan-1994||\n302|L.A. Confidential (1997)|||\n".encode("latin-1"))
    return folder, Window(start=date(1997, 9, 20), end=date(1997, 12, 31))


def test_ratings_of_the_window_with_their_titles(tmp_path: Path, storage: Storage, spark: SparkSession) -> None:
    folder, window = movielens_folder(tmp_path / "in")
    ref = ingest("test", MovieLens(), folder, window, storage)
    assert ref is not None
    frame = storage.read(ref).sort_values(c.ROW_ID)
    assert frame[c.ROW_ID].tolist() == ["u.data:1", "u.data:3"]  # the second was given in 1998
    assert frame[c.SOURCE_FILE].tolist() == ["u.data@1997-12-04", "u.data@1997-11-07"]  # no day supersedes another
    assert frame[c.ITEM_TEXT].tolist() == ["Léon (1994)", "Léon (1994)"]
    assert frame[c.VALUE].tolist() == [3.0, 1.0]
    assert frame[c.EVENT_AT].tolist() == [pd.Timestamp("1997-12-04 15:55:49"), pd.Timestamp("1997-11-07 07:18:36")]
    assert frame[c.INGESTED_AT].tolist() == [pd.Timestamp("1997-12-05"), pd.Timestamp("1997-11-08")]
    assert frame[c.AS_IT_CAME].iloc[0] == '{"user id":"196","item id":"242","rating":"3","timestamp":"881250949"}'
    assert set(frame[c.EVENT_TYPE]) == {c.RATING} and frame[[c.QUANTITY, c.UNIT_PRICE, c.SEGMENT]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("variant", "ratings", "titles", "people"),
    [
        (
            "ml-1m",
            "1::1193::5::978300760\n1::661::3::978302109\n",
            "661::James (1996)::Animation\n1193::One, Two (1975)::Drama\n",
            "1::F::35::10::48067\n",
        ),
        (
            "ml-latest",
            "userId,movieId,rating,timestamp\n1,1193,5.0,978300760\n1,661,3.5,978302109\n",
            'movieId,title,genres\n661,James (1996),Animation\n1193,"One, Two (1975)",Drama\n',
            "",
        ),
    ],
)
def test_newer_layouts(
    variant: str, ratings: str, titles: str, people: str, tmp_path: Path, storage: Storage, spark: SparkSession
) -> None:
    layout = movielens.LAYOUTS[variant]
    (tmp_path / layout.ratings).write_text(ratings)
    (tmp_path / layout.films).write_text(titles)
    if people:
        (tmp_path / layout.people).write_text(people)
    source = MovieLens.model_validate({"kind": "movielens", "variant": variant})
    ref = ingest("test", source, tmp_path, Window(start=date(2000, 12, 31), end=date(2001, 1, 1)), storage)
    assert ref is not None
    frame = storage.read(ref).sort_values(c.ROW_ID)
    assert frame[c.ITEM_TEXT].tolist() == ["One, Two (1975)", "James (1996)"]
    assert [json.loads(cell) for cell in frame[c.ITEM_ATTRIBUTES]] == [
        {"genre_drama": 1.0, "year_1975": 1.0},
        {"genre_animation": 1.0, "year_1996": 1.0},
    ]
    known = {"age_30": 1.0, "sex_f": 1.0, "work_10": 1.0, "zip_4": 1.0}
    assert [cell and json.loads(cell) for cell in frame[c.USER_ATTRIBUTES]] == [known if people else None] * 2
    assert frame[c.USER_ID].tolist() == ["1", "1"] and frame[c.VALUE].iloc[0] == 5.0


def test_attributes_of_films_and_users(tmp_path: Path) -> None:
    cells = ["7", "Twelve Monkeys (1995)", "01-Jan-1995", "", "", *("1" if place in (8, 15) else "0" for place in range(19))]
    (tmp_path / "u.item").write_text("|".join(cells) + "\n8|Untitled|||\n", encoding="latin-1")
    films = read_films(tmp_path / "u.item", "|", "ISO-8859-1", has_header=False)
    title, attributes = films["7"]
    half = pytest.approx(0.5**0.5)
    assert (title, json.loads(attributes)) == (
        "Twelve Monkeys (1995)",
        {"genre_drama": half, "genre_sci_fi": half, "year_1995": 1.0},
    )
    assert films["8"] == ("Untitled", "{}")
    (tmp_path / "u.user").write_bytes(PERSON)
    people = read_people(tmp_path / "u.user", "|", movielens.LAYOUTS["ml-100k"].person)
    assert json.loads(people["1"]) == {"age_20": 1.0, "sex_m": 1.0, "work_technician": 1.0, "zip_8": 1.0}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("u.item", "7;Twelve Monkeys\n", r"u\.item: line 1: expected id, title .* got '7;Twelve"),
        ("u.user", "1|24|M|technician\n", r"u\.user: line 1: expected id, age, sex, work, zip .* got '1\|24\|M\|tech"),
        ("u.user", "1|young|M|technician|85711\n", r"u\.user: line 1: .* with a whole number as age, got '1\|young"),
    ],
)
def test_attributes_in_another_form_are_refused(name: str, content: str, message: str, tmp_path: Path) -> None:
    folder, window = movielens_folder(tmp_path / "in")
    (folder / name).write_text(content)
    with pytest.raises(SourceError, match=message):
        MovieLens().files(folder, window)


def test_a_window_without_ratings_is_normal(tmp_path: Path, storage: Storage) -> None:
    folder, _ = movielens_folder(tmp_path / "in")
    assert ingest("test", MovieLens(), folder, Window(start=date(2020, 1, 1), end=date(2021, 1, 1)), storage) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"u\.data: the file is empty"),
        ("1\t2\t3\t881250949\n1\t2\t3", r"line 2: expected 4 fields .* got 3.*truncated"),
        ("1,2,3,881250949\n", r"line 1: expected 4 fields .*split by '\\t', got 1"),
        ("1\t2\t3\tyesterday\n", r"line 1: timestamp: expected whole seconds since 1970, got 'yesterday'"),
    ],
)
def test_a_broken_file_is_refused(content: str, message: str, tmp_path: Path, storage: Storage) -> None:
    folder, window = movielens_folder(tmp_path / "in")
    (folder / "u.data").write_text(content)
    with pytest.raises(SourceError, match=message):
        ingest("test", MovieLens(), folder, window, storage)
    assert not storage.root.exists()


def test_a_folder_of_another_variant_is_refused(tmp_path: Path) -> None:
    folder, window = movielens_folder(tmp_path / "in")
    with pytest.raises(SourceError, match=r"expected ratings\.dat for source\.variant ml-1m .*got u\.data, u\.item"):
        MovieLens(variant="ml-1m").files(folder, window)


PERSON = b"1|24|M|technician|85711\n"
RATINGS = b"1\t2\t5\t881250949\n"


def _archive(path: Path, ratings: bytes) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {"u.data": ratings, "u.item": b"1|T|||\n", "u.user": PERSON, "README": b"terms"}.items():
            archive.writestr(f"ml-100k/{name}", content)
    return path.as_uri()


def test_a_download_with_another_digest_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, folder = _archive(tmp_path / "ml-100k.zip", RATINGS), tmp_path / "home" / "ml"
    with pytest.raises(SourceError, match=r"expected sha256 06416e59\w{56} .*got \w{64};"):
        movielens.download(folder, url)
    assert not folder.parent.exists()
    monkeypatch.setattr(movielens, "DIGEST", hashlib.sha256(RATINGS).hexdigest())
    movielens.download(folder, url)
    assert sorted(path.name for path in folder.iterdir()) == ["README", "u.data", "u.item", "u.user"]


def test_a_download_without_an_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>moved</html>")
    for url in ((tmp_path / "page.html").as_uri(), (tmp_path / "nowhere.zip").as_uri()):
        with pytest.raises(SourceError, match=r"did not return ml-100k.*download https://files\.grouplens\.org"):
            movielens.download(tmp_path / "ml", url)
    assert not (tmp_path / "ml").exists()


def test_the_real_set_downloads_completely(ml_100k: Path, tmp_path: Path) -> None:
    url = _archive(tmp_path / "ml-100k.zip", (ml_100k / "u.data").read_bytes())
    movielens.download(tmp_path / "home" / "ml", url)
    window = Window(start=date(1997, 9, 20), end=date(1998, 4, 23))
    ratings, *others = MovieLens(download=True).files(tmp_path / "home" / "ml", window)
    assert (ratings.rows, ratings.sha256, [file.name for file in others]) == (100_000, movielens.DIGEST, ["u.item", "u.user"])
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == ["ml"]


def test_only_the_set_with_a_known_digest_can_be_downloaded() -> None:
    with pytest.raises(ValidationError, match="download is available for ml-100k only"):
        MovieLens(variant="ml-1m", download=True)

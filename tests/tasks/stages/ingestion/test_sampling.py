"""A sample says what the form of a file is, takes rows from all of its parts, and refuses what is no table."""

from __future__ import annotations

import bz2
import gzip
import json
import sqlite3
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from tasks.errors import ConfigurationError, SourceError
from tasks.stages.ingestion import sampling
from tasks.stages.ingestion.sampling import take_sample

LINES = "order,sku,price\no1,s1,1.50\no2,s2,2.00\n"
CELLS = {"order": ["o1", "o2"], "sku": ["s1", "s2"], "price": ["1.50", "2.00"]}
ROWS = [dict(zip(CELLS, row, strict=True)) for row in zip(*CELLS.values(), strict=True)]


def zip_lines(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", LINES)


FILES: dict[str, tuple[str, Callable[[Path], object], dict[str, str]]] = {
    "commas": ("a.csv", lambda path: path.write_text(LINES), {"format": "csv"}),
    "tabs": ("a.tsv", lambda path: path.write_text(LINES.replace(",", "\t")), {"format": "csv", "delimiter": "\t"}),
    "pipes": ("a.data", lambda path: path.write_text(LINES.replace(",", "|")), {"format": "csv", "delimiter": "|"}),
    "semicolons of Excel": (
        "a.csv",
        lambda path: path.write_bytes(LINES.replace(",", ";").replace("\n", "\r\n").encode("utf-8-sig")),
        {"format": "csv", "delimiter": ";"},
    ),
    "UTF-16": ("a.txt", lambda path: path.write_bytes(LINES.encode("utf-16")), {"format": "csv", "encoding": "utf-16"}),
    "gzip": ("a.csv.gz", lambda path: path.write_bytes(gzip.compress(LINES.encode())), {"format": "csv"}),
    "bzip2": ("a.csv.bz2", lambda path: path.write_bytes(bz2.compress(LINES.encode())), {"format": "csv"}),
    "a line of Excel before the header": (
        "a.csv",
        lambda path: path.write_text("sep=;\n" + LINES.replace(",", ";")),
        {"format": "csv", "delimiter": ";"},
    ),
    "zip": ("a.zip", zip_lines, {"format": "csv"}),
    "Arrow": ("a.feather", lambda path: feather.write_feather(pa.table(CELLS), path), {"format": "arrow"}),
    "JSON lines": ("a.jsonl", lambda path: path.write_text("\n".join(map(json.dumps, ROWS))), {"format": "jsonl"}),
    "a JSON array": ("a.json", lambda path: path.write_text(json.dumps(ROWS, indent=1)), {"format": "jsonl"}),
    "Parquet": ("a.parquet", lambda path: pq.write_table(pa.table(CELLS), path), {"format": "parquet"}),
}


@pytest.mark.parametrize("name", FILES)
def test_the_form_of_a_file_is_found(name: str, tmp_path: Path) -> None:
    file, write, source = FILES[name]
    write(tmp_path / file)
    found = take_sample(str(tmp_path / file))
    assert (dict(found.source), dict(found.cells), found.rows, found.of_rows, found.is_whole) == (source, CELLS, 2, 2, True)


def test_letters_of_windows_are_read_and_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("artikel,preis\nTheière,5 €\nSchäkel,6 €\n".encode("windows-1252"))
    found = take_sample(str(tmp_path / "a.csv"))
    assert found.cells["artikel"] == ["Theière", "Schäkel"] and found.source["encoding"] == "windows-1252"
    assert dict(found.notes)["encoding"].startswith("line 2 is not UTF-8")


def test_another_alphabet_is_refused_by_name(tmp_path: Path) -> None:
    text = "товар,цена\n" + "чайник и большая чашка для чая,5\n" * 40
    (tmp_path / "a.csv").write_bytes(text.encode("cp1251"))
    with pytest.raises(SourceError, match=r"looks like .*1251.*convert the file to UTF-8"):
        take_sample(str(tmp_path / "a.csv"))


def test_nested_keys_have_dots(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"user": {"id": 7, "tags": ["a", "b"]}, "ok": true}\n{"user": {"id": 8}}\n')
    found = take_sample(str(tmp_path / "a.jsonl"))
    assert found.cells == {"user.id": ["7", "8"], "user.tags": [["a", "b"], None], "ok": ["true", None]}
    assert found.types == {"user.tags": "list<string>"}


def test_a_large_file_is_read_in_all_of_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "WHOLE_BYTES", 1000)
    monkeypatch.setattr(sampling, "BLOCK_BYTES", 500)
    rows = [f"{place},name {place}" for place in range(5000)]
    (tmp_path / "a.csv").write_text("number,name\n" + "\n".join(rows) + "\n")
    found = take_sample(str(tmp_path / "a.csv"))
    numbers = [int(cell) for cell in found.cells["number"]]
    assert not found.is_whole and found.rows < 500 and numbers == sorted(numbers)
    assert numbers[0] == 0 and numbers[-1] == 4999 and any(2000 < number < 3000 for number in numbers)
    assert found.of_rows == pytest.approx(5000, rel=0.3)


def test_a_folder_of_days_is_sampled_over_all_of_its_time(tmp_path: Path) -> None:
    for day in range(1, 31):
        (tmp_path / f"2024-03-{day:02}.csv").write_text(LINES.replace("o1", f"day{day}"))
    found = take_sample(str(tmp_path))
    assert (min(found.days), max(found.days), len(found.days)) == (date(2024, 3, 1), date(2024, 3, 30), 30)
    assert found.cells["order"][0] == "day1" and found.cells["order"][-2] == "day30"
    assert (found.rows, found.of_rows, found.is_whole) == (24, 60, False)


def test_files_with_different_headers_are_told(tmp_path: Path) -> None:
    (tmp_path / "2024-03-01.csv").write_text(LINES)
    (tmp_path / "2024-03-02.csv").write_text("order,sku,price,coupon\no3,s1,1.50,SPRING\n")
    found = take_sample(str(tmp_path))
    assert found.source["headers"] == [["order", "sku", "price"], ["order", "sku", "price", "coupon"]]
    assert found.cells["coupon"] == [None, None, "SPRING"]
    assert "2 different headers" in dict(found.notes)["headers"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("u.data", b"196\t242\t3\t881250949\n186\t302\t3\t891717742\n", "expected the names of the columns"),
        ("a.csv", b"id,id,name\n1,2,x\n", "names 'id' twice"),
        ("a.csv", b"", "empty"),
        ("a.jsonl", b'{"a": 1}\n{"a": \n', "cannot be read"),
        ("a.jsonl", b"[1, 2]\n", "expected JSON objects"),
        ("a.parquet", b"PAR1 cut", "cannot be read"),
        ("a.csv.gz", b"no gzip", "cannot be read"),
    ],
)
def test_what_is_no_table_is_refused(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=message):
        take_sample(str(tmp_path / name))


def test_a_place_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file or folder"):
        take_sample(str(tmp_path / "nothing.csv"))
    (tmp_path / "a.csv").write_text(LINES)
    (tmp_path / "b.csv").write_text(LINES)
    with pytest.raises(SourceError, match=r"expected one file, or files named like 2026-01-31.csv, got a.csv, b.csv"):
        take_sample(str(tmp_path))
    with pytest.raises(ConfigurationError, match="expected the name of a table"):
        take_sample("postgresql://localhost/shop", table="orders; DROP TABLE orders")


def test_a_table_is_sampled_as_its_database_gives_it(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute('CREATE TABLE "order lines" (number INTEGER, at TEXT, price REAL, note TEXT)')
        lines = [(place, f"2024-03-0{1 + place % 9} 10:00:00", 1.5, None) for place in range(50)]
        connection.executemany('INSERT INTO "order lines" VALUES (?, ?, ?, ?)', lines)
    connection.close()
    url = f"sqlite:///{tmp_path}/shop.db"
    found = take_sample(url, table="order lines")
    assert dict(found.source) == {"kind": "table", "url": url, "table": "order lines"}
    assert (found.rows, found.of_rows, found.is_whole) == (50, 50, True)
    assert found.cells["number"][:2] == ["0", "1"] and found.cells["note"] == [None] * 50
    assert take_sample(url, table="order lines", rows=10).rows == 10
    with pytest.raises(SourceError, match="does not exist"):
        take_sample(url, table="lines")
    with duckdb.connect(tmp_path / "shop.duckdb") as file:
        file.execute("CREATE TABLE lines AS SELECT range AS number, 1.5::DOUBLE AS price, NULL AS note FROM range(50)")
    typed = take_sample(f"duckdb:///{tmp_path}/shop.duckdb", table="lines")
    assert (typed.rows, typed.of_rows, typed.is_whole) == (50, 50, True)
    assert typed.cells["number"][:2] == [0, 1] and typed.types["price"] == "double"
    with pytest.raises(ConfigurationError, match=r"expected the address of a database .*duckdb.*, got oracle://"):
        take_sample("oracle://shop", table="lines")

"""Daily invoice files: how cells are read, and which files are refused."""

from __future__ import annotations

import csv
import json
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.errors import SourceError
from tasks.io.storage import Storage
from tasks.stages.ingestion import ingest
from tasks.stages.ingestion.invoice_files import InvoiceFiles
from tests.tasks.stages.ingestion.conftest import HEADER, LINE, write_day
from tests.tasks.stages.ingestion.source_examples import sample

DAY = Window(start=date(2010, 12, 1), end=date(2010, 12, 2))


@sample(
    "invoice_files",
    faults={
        "an_empty_file": ("2010-12-02.csv", "", ""),
        "a_swapped_header": ("2010-12-01.csv", "InvoiceNo,StockCode", "StockCode,InvoiceNo"),
    },
)
def invoice_folder(folder: Path) -> tuple[Path, Window]:
    write_day(folder, "2010-12-01", LINE, 'C536366,22,"A ""BIG"" TIN,\nblue",-2,2010-12-01 09:00:00,3.0,,EIRE')
    write_day(folder, "2010-12-02", LINE.replace("12-01", "12-02"))
    return folder, Window(start=date(2010, 12, 1), end=date(2010, 12, 3))


def read(folder: Path, storage: Storage, window: Window = DAY) -> pd.DataFrame:
    ref = ingest("test", InvoiceFiles(), folder, window, storage)
    assert ref is not None
    return storage.read(ref).set_index(c.ROW_ID)


def test_cells_become_canonical_columns(tmp_path: Path, storage: Storage, spark: SparkSession) -> None:
    folder, window = invoice_folder(tmp_path / "in")
    frame = read(folder, storage, window)
    assert sorted(frame.index) == ["2010-12-01.csv:1", "2010-12-01.csv:2", "2010-12-02.csv:1"]
    sale, back = frame.loc["2010-12-01.csv:1"], frame.loc["2010-12-01.csv:2"]
    assert list(sale[[c.EVENT_ID, c.EVENT_TYPE, c.USER_ID, c.ITEM_ID, c.SEGMENT]]) == [
        "536365",
        "purchase",
        "17850",
        "85123A",
        "United Kingdom",
    ]
    assert list(sale[[c.QUANTITY, c.UNIT_PRICE, c.VALUE]]) == [6.0, 2.55, pytest.approx(15.3)]
    assert sale[c.EVENT_AT] == pd.Timestamp("2010-12-01 08:26:00")
    assert sale[c.INGESTED_AT] == pd.Timestamp("2010-12-02")
    assert list(back[[c.EVENT_TYPE, c.QUANTITY, c.VALUE]]) == ["return", -2.0, -6.0]
    assert back[c.USER_ID] is None  # an anonymous sale is valid
    assert back[c.ITEM_TEXT] == 'A "BIG" TIN,\nblue'


def test_the_original_row_is_kept_with_the_sources_names(tmp_path: Path, storage: Storage, spark: SparkSession) -> None:
    write_day(tmp_path / "in", "2010-12-01", LINE, ' 1,,"x\\""",a dozen,yesterday,"1,5",, ')
    frame = read(tmp_path / "in", storage)
    for row, cells in (
        ("2010-12-01.csv:1", LINE.split(",")),
        ("2010-12-01.csv:2", [" 1", "", 'x\\"', "a dozen", "yesterday", "1,5", "", " "]),
    ):
        assert json.loads(str(frame.loc[row, c.AS_IT_CAME])) == dict(zip(HEADER.split(","), cells, strict=True))


@pytest.mark.parametrize("cell", ["a dozen", "", "NaN", "Infinity", "6d", "0x10", "1e999", "1,5"])
def test_a_cell_that_is_not_a_number_is_null(cell: str, tmp_path: Path, storage: Storage, spark: SparkSession) -> None:
    write_day(tmp_path / "in", "2010-12-01", f'1,2,x,"{cell}",2010-12-01 08:00:00,1.0,3,EIRE')
    assert read(tmp_path / "in", storage)[c.QUANTITY].isna().all()


@pytest.mark.parametrize("cell", ["", "01/12/2010 08:26", "2010-13-01 08:00:00", "2010-02-30 08:00:00", "2010-12-01", "soon"])
def test_a_cell_that_is_not_a_time_is_null(cell: str, tmp_path: Path, storage: Storage, spark: SparkSession) -> None:
    write_day(tmp_path / "in", "2010-12-01", f"1,2,x,1,{cell},1.0,3,EIRE")
    assert read(tmp_path / "in", storage)[c.EVENT_AT].isna().all()


def test_rows_of_many_files_are_numbered_in_order(tmp_path: Path, storage: Storage, spark: SparkSession) -> None:
    for day in range(1, 29):
        lines = [f"{day},{row},x,1,2011-02-{day:02} 08:00:00,1.0,3,EIRE" for row in range(1, 1 + (day * 37) % 60)]
        write_day(tmp_path / "in", f"2011-02-{day:02}", *lines)
    frame = read(tmp_path / "in", storage, Window(start=date(2011, 2, 1), end=date(2011, 3, 1)))
    assert len(frame) == sum((day * 37) % 60 for day in range(1, 29))
    expected = frame[c.SOURCE_FILE] + ":" + frame[c.ITEM_ID]
    assert expected.tolist() == frame.index.tolist()


def test_a_day_without_trading_is_normal(tmp_path: Path, storage: Storage) -> None:
    folder, _ = invoice_folder(tmp_path / "in")
    saturday = Window(start=date(2010, 12, 4), end=date(2010, 12, 5))
    assert ingest("test", InvoiceFiles(), folder, saturday, storage) is None
    assert not storage.root.exists()


def test_only_files_of_the_window_are_read_without_its_end(tmp_path: Path) -> None:
    folder, _ = invoice_folder(tmp_path / "in")
    assert [file.name for file in InvoiceFiles().files(folder, DAY)] == ["2010-12-01.csv"]


def test_a_corrected_file_gives_a_new_snapshot(tmp_path: Path, storage: Storage, spark: SparkSession) -> None:
    write_day(tmp_path / "in", "2010-12-01", LINE)
    first = ingest("test", InvoiceFiles(), tmp_path / "in", DAY, storage)
    write_day(tmp_path / "in", "2010-12-01", LINE, LINE)
    second = ingest("test", InvoiceFiles(), tmp_path / "in", DAY, storage)
    assert first is not None and second is not None
    assert second.rows == {"rows": 2} and second.version != first.version
    assert storage.current("test", c.RAW, DAY.label) == second


REFUSED = {
    "empty": (b"", r"2010-12-01\.csv: the file is empty"),
    "missing column": (HEADER.replace(",Country", "").encode(), r"line 1: missing: Country; expected the header InvoiceNo"),
    "unknown column": (f"{HEADER},Colour\n".encode(), r"unknown: 'Colour'"),
    "renamed column": (HEADER.replace("CustomerID", "Customer ID").encode(), r"missing: CustomerID; unknown: 'Customer ID'"),
    "doubled column": (f"{HEADER},Country".encode(), r"repeated: Country"),
    "reordered": (",".join(reversed(HEADER.split(","))).encode(), r"another order.*got Country,CustomerID"),
    "no header": (LINE.encode(), r"missing: InvoiceNo, StockCode"),
    "semicolons": (f"{HEADER}\n{LINE}\n".replace(",", ";").encode(), r"expected the delimiter ',', got ';'"),
    "tabs": (f"{HEADER}\n{LINE}\n".replace(",", "\t").encode(), r"expected the delimiter ',', got '\\t'"),
    "cut off": (f"{HEADER}\n{LINE}\n{LINE[:40]}".encode(), r"line 3: expected 8 fields, got 5.*truncated"),
    "cut off in a quote": (
        f'{HEADER}\n{LINE}\n536365,85123A,"WHITE'.encode(),
        r"line 3: not CSV.*truncated, or a quote is not closed",
    ),
    "long cell": (
        f"{HEADER}\n{LINE}\n{LINE.replace('HEART', 'H' * 200_000)}\n".encode(),
        r"line 3: a cell has more than 131072 characters; shorten it",
    ),
    "short line": (f"{HEADER}\n536365,85123A\n{LINE}\n".encode(), r"line 2: expected 8 fields, got 2: '536365,85123A';"),
    "long line": (f"{HEADER}\n{LINE},more\n".encode(), r"line 2: expected 8 fields, got 9"),
    "latin-1": (f"{HEADER}\n{LINE}".replace("HEART", "CAFÉ").encode("latin-1"), r"line 2: expected UTF-8, got byte 0xc9"),
    "binary": (bytes(range(256)), r"expected UTF-8"),
}


@pytest.mark.parametrize("fault", sorted(REFUSED))
def test_a_broken_file_is_refused_before_anything_is_written(fault: str, tmp_path: Path, storage: Storage) -> None:
    content, message = REFUSED[fault]
    path = write_day(tmp_path / "in", "2010-12-01", LINE)
    path.write_bytes(content)
    with pytest.raises(SourceError, match=message) as refusal:
        ingest("test", InvoiceFiles(), tmp_path / "in", DAY, storage)
    assert str(path) in str(refusal.value)
    assert not storage.root.exists()


def test_one_broken_file_stops_the_whole_window(tmp_path: Path, storage: Storage) -> None:
    folder, window = invoice_folder(tmp_path / "in")
    (folder / "2010-12-02.csv").write_bytes(b"")
    with pytest.raises(SourceError, match=r"2010-12-02\.csv: the file is empty"):
        ingest("test", InvoiceFiles(), folder, window, storage)
    assert not storage.root.exists()


def test_a_wrong_folder_is_refused(tmp_path: Path) -> None:
    source, a_file = InvoiceFiles(), tmp_path / "file"
    a_file.touch()
    for folder, message in (
        (None, "no folder of raw files is configured"),
        (tmp_path / "nowhere", "folder .*nowhere does not exist"),
        (a_file, "is a file"),
        (tmp_path, r"expected files named YYYY-MM-DD\.csv, got file"),
    ):
        with pytest.raises(SourceError, match=message):
            source.files(folder, DAY)


@pytest.mark.parametrize("name", ["2010-12-1.csv", "2011-02-30.csv", "all.csv"])
def test_a_file_whose_name_is_not_a_day_is_refused(name: str, tmp_path: Path) -> None:
    folder, window = invoice_folder(tmp_path / "in")
    (folder / name).touch()
    with pytest.raises(SourceError, match=f"{name}: expected the name YYYY-MM-DD.csv"):
        InvoiceFiles().files(folder, window)


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "2010-12-01.csv").mkdir()
    with pytest.raises(SourceError, match=r"2010-12-01\.csv: cannot be read: Is a directory"):
        InvoiceFiles().files(tmp_path, DAY)


def test_an_empty_table_and_a_byte_order_mark_are_allowed(tmp_path: Path, storage: Storage, spark: SparkSession) -> None:
    write_day(tmp_path / "in", "2010-12-01")
    assert read(tmp_path / "in", storage).empty
    write_day(tmp_path / "marked", "2010-12-01").write_text(f"\ufeff{HEADER}\r\n{LINE}")
    assert read(tmp_path / "marked", storage)[c.EVENT_ID].tolist() == ["536365"]


def test_a_file_that_changes_after_its_check_is_refused(
    tmp_path: Path, storage: Storage, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_day(tmp_path / "in", "2010-12-01", LINE, LINE)
    files = InvoiceFiles().files(tmp_path / "in", DAY)
    monkeypatch.setattr(InvoiceFiles, "files", lambda *_: files)
    path.write_text(f"{HEADER}\n{LINE}\n")
    with pytest.raises(SourceError, match="expected 2 rows as counted before, Spark read 1"):
        ingest("test", InvoiceFiles(), tmp_path / "in", DAY, storage)
    assert storage.current("test", c.RAW, DAY.label) is None


def test_real_days_are_read_cell_by_cell(online_retail: Path, storage: Storage, spark: SparkSession) -> None:
    window = Window(start=date(2010, 12, 1), end=date(2010, 12, 6))
    frame = read(online_retail, storage, window)
    expected: dict[str, dict[str, str]] = {}
    for path in sorted(online_retail.glob("2010-12-0[1-5].csv")):
        with path.open(newline="") as stream:
            expected |= {f"{path.name}:{place}": row for place, row in enumerate(csv.DictReader(stream), start=1)}
    assert {row: json.loads(cells) for row, cells in frame[c.AS_IT_CAME].items()} == expected
    assert frame[[c.EVENT_AT, c.QUANTITY, c.UNIT_PRICE, c.ITEM_ID, c.SEGMENT]].notna().all(axis=None)
    assert (frame.loc[frame[c.USER_ID].notna(), c.USER_ID].str.fullmatch(r"\d{5}")).all()

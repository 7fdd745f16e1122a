"""Bad deliveries and how each must end. Tests and the benchmark use the same list.

Each is a second delivery of a day whose first one was good. Three results are right: ingestion refuses it with a clear error,
the run stops with the rules that it broke, or its bad rows are in quarantine and the rest is validated.
"""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.data import DatasetRef
from tasks.errors import SourceError, TitleholderError, ValidationFailed
from tasks.io.storage import Storage
from tasks.settings import ROOT
from tasks.stages.ingestion import ingest
from tasks.stages.ingestion.base import Source
from tasks.stages.ingestion.invoice_files import InvoiceFiles
from tasks.stages.ingestion.sources import SOURCES
from tasks.stages.validation import validate

DAY, NEXT = "2010-12-01", "2010-12-02"
WINDOW = Window(start=date(2010, 12, 1), end=date(2010, 12, 2))
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
LINE = "{n},85123A,WHITE HEART,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom"
GOOD = [LINE.format(n=536_000 + place) for place in range(40)]
REFUSED, STOPPED, HELD = "refused by ingestion", "stopped by rules", "bad row in quarantine"
CASE = "bad"

COLUMNS = {
    "event_id": "InvoiceNo",
    "item_id": "StockCode",
    "item_text": "Description",
    "quantity": "Quantity",
    "unit_price": "UnitPrice",
    "event_at": "InvoiceDate",
    "user_id": "CustomerID",
    "segment": "Country",
}
TEXT = dict.fromkeys(HEADER.split(","), "string")
TYPED = {**TEXT, "Quantity": "double", "UnitPrice": "double", "InvoiceDate": "timestamp"}


@dataclass(frozen=True)
class Bad:
    """write : puts the delivery into the folder. expected : a part of the error, or the rule that the row broke."""

    end: str
    expected: str
    write: Callable[[Path], Any] = lambda folder: None
    format: str = ""
    row: str = ""  # a line that is delivered among good ones
    is_unprivileged: bool = False  # read by a user without rights to the file


def csv_of(*lines: str, header: str = HEADER) -> bytes:
    return ("\n".join([header, *lines]) + "\n").encode()


def put(content: bytes, name: str = f"{DAY}.csv") -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes(content)


def _typed(**changes: Any) -> pd.DataFrame:
    frame = pd.DataFrame([line.split(",") for line in GOOD], columns=HEADER.split(","))
    frame["InvoiceDate"] = pd.to_datetime(frame["InvoiceDate"]).astype("datetime64[us]")
    return frame.assign(Quantity=6.0, UnitPrice=2.55, **changes)


def _parquet(frame: pd.DataFrame, cut: int = 0) -> Callable[[Path], Any]:
    def write(folder: Path) -> None:
        path = folder / f"{DAY}.parquet"
        frame.to_parquet(path, index=False)
        if cut:
            path.write_bytes(path.read_bytes()[:-cut])

    return write


def _orc(folder: Path) -> None:
    path = folder / f"{DAY}.orc"
    _typed().to_orc(path, index=False)
    content = bytearray(path.read_bytes())
    content[len(content) // 3 : len(content) // 3 + 60] = b"\0" * 60
    path.write_bytes(bytes(content[: len(content) - 7]))


def _avro(folder: Path) -> None:
    import fastavro

    fields = [{"name": name, "type": "string"} for name in TEXT]
    rows = [dict(zip(TEXT, line.split(","), strict=True)) for line in GOOD]
    with (folder / f"{DAY}.avro").open("wb") as stream:
        fastavro.writer(stream, {"type": "record", "name": "line", "fields": fields}, rows)
    path = folder / f"{DAY}.avro"
    path.write_bytes(path.read_bytes()[:-100])


def _directory(folder: Path) -> None:
    (folder / f"{DAY}.csv").unlink(missing_ok=True)
    (folder / f"{DAY}.csv").mkdir()


def _dangling(folder: Path) -> None:
    (folder / f"{DAY}.csv").unlink(missing_ok=True)
    (folder / f"{DAY}.csv").symlink_to(folder / "nowhere.csv")


def _unreadable(folder: Path) -> None:
    (folder / f"{DAY}.csv").write_bytes(csv_of(*GOOD))
    (folder / f"{DAY}.csv").chmod(0)


def line(**cells: str) -> str:
    """One good line with other cells."""
    values = dict(zip(HEADER.split(","), LINE.format(n=700_000).split(","), strict=True)) | cells
    return ",".join(values.values())


LATIN = csv_of(*GOOD[:3]).replace(b"WHITE HEART", "CAFÉ".encode("latin-1"))
BAD_INPUTS: dict[str, Bad] = {
    "no bytes": Bad(REFUSED, "the file is empty", put(b"")),
    "gzip cut off": Bad(REFUSED, "not a complete .gz file", put(gzip.compress(csv_of(*GOOD))[:-20], f"{DAY}.csv.gz"), "csv"),
    "gzip damaged": Bad(
        REFUSED, "not a complete .gz file", put(gzip.compress(csv_of(*GOOD))[:-8] + b"\0" * 8, f"{DAY}.csv.gz"), "csv"
    ),
    "semicolons": Bad(REFUSED, "got ';'", put(csv_of(*GOOD).replace(b",", b";"))),
    "tabs": Bad(REFUSED, "expected the delimiter ','", put(csv_of(*GOOD).replace(b",", b"\t"))),
    "latin-1": Bad(REFUSED, "expected UTF-8, got byte 0xc9", put(LATIN)),
    "utf-16": Bad(REFUSED, "expected UTF-8", put(csv_of(*GOOD).decode().encode("utf-16"))),
    "binary": Bad(REFUSED, "expected UTF-8", put(bytes(range(256)) * 40)),
    "no header": Bad(REFUSED, "missing: InvoiceNo", put("\n".join(GOOD).encode())),
    "a column lost": Bad(REFUSED, "missing: Country", put(csv_of(header=HEADER.removesuffix(",Country")))),
    "a column new": Bad(REFUSED, "unknown: 'Colour'", put(csv_of(header=HEADER + ",Colour"))),
    "a column renamed": Bad(REFUSED, "unknown: 'Customer ID'", put(csv_of(header=HEADER.replace("CustomerID", "Customer ID")))),
    "a column twice": Bad(REFUSED, "repeated: Country", put(csv_of(header=HEADER + ",Country"))),
    "columns in another order": Bad(REFUSED, "another order", put(csv_of(header=",".join(reversed(HEADER.split(",")))))),
    "10,000 columns": Bad(
        REFUSED, "and 9995 more", put(csv_of(header=HEADER + "," + ",".join(f"c{n}" for n in range(10_000))))
    ),
    "a line too short": Bad(REFUSED, "expected 8 fields, got 2", put(csv_of("536365,85123A", *GOOD))),
    "a line too long": Bad(REFUSED, "expected 8 fields, got 9", put(csv_of(*GOOD, GOOD[0] + ",more"))),
    "a newline without quotes": Bad(
        REFUSED, "expected 8 fields", put(csv_of(*GOOD).replace(b"WHITE HEART", b"WHITE\nHEART", 1))
    ),
    "cut off in a line": Bad(REFUSED, "truncated", put(csv_of(*GOOD)[:-40])),
    "cut off in a quote": Bad(REFUSED, "a quote is not closed", put(csv_of(*GOOD) + b'536365,85123A,"WHITE')),
    "a folder in place of a file": Bad(REFUSED, "Is a directory", _directory),
    "no right to read": Bad(REFUSED, "Permission denied", _unreadable, is_unprivileged=True),
    "a link to nowhere": Bad(REFUSED, "No such file", _dangling),
    "a name that is no day": Bad(REFUSED, "expected the name YYYY-MM-DD.csv", put(csv_of(*GOOD), "all.csv")),
    "a day that is none": Bad(REFUSED, "expected the name YYYY-MM-DD.csv", put(csv_of(*GOOD), "2010-02-30.csv")),
    "broken JSON": Bad(REFUSED, "line 2: not JSON", put(b'{"StockCode": "1"}\n{"StockCode": \n', f"{DAY}.jsonl"), "jsonl"),
    "nested JSON": Bad(REFUSED, "the key 'StockCode' is an object", put(b'{"StockCode": {"a": 1}}\n', f"{DAY}.jsonl"), "jsonl"),
    "Parquet cut off": Bad(REFUSED, "truncated or damaged", _parquet(_typed(), cut=50), "parquet"),
    "Parquet of other types": Bad(REFUSED, "40 of 40 full cells", _parquet(_typed().assign(Quantity="six")), "parquet"),
    "ORC damaged": Bad(REFUSED, "truncated or damaged", _orc, "orc"),
    "Avro cut off": Bad(REFUSED, "not a complete avro file", _avro, "avro"),
    "header only": Bad(STOPPED, "some_lines_came", put(csv_of())),
    "every row bad": Bad(STOPPED, "40 of 40 rows", put(csv_of(*GOOD).replace(b",6,", b",0,"))),
    "last month's export again": Bad(STOPPED, "lines_are_fresh", put(csv_of(*GOOD).replace(b"2010-12-01", b"2010-11-01"))),
    "a date of another country": Bad(HELD, "event_at_parses", row=line(InvoiceDate="01/12/2010 08:26")),
    "a date in words": Bad(HELD, "event_at_parses", row=line(InvoiceDate="1 Dec 2010 8.26am")),
    "a date as a number": Bad(HELD, "event_at_parses", row=line(InvoiceDate="1291191960")),
    "a date in the future": Bad(HELD, "happened_before_it_was_known", row=line(InvoiceDate="2031-12-01 08:26:00")),
    "a negative price": Bad(HELD, "unit_price_not_negative", row=line(UnitPrice="-2.55")),
    "an absurd price": Bad(HELD, "unit_price_plausible", row=line(UnitPrice="2550000")),
    "1e308": Bad(HELD, "quantity_plausible", row=line(Quantity="1e308")),
    "1e999": Bad(HELD, "quantity_parses", row=line(Quantity="1e999")),
    "NaN": Bad(HELD, "quantity_parses", row=line(Quantity="NaN")),
    "look-alike digits": Bad(HELD, "quantity_parses", row=line(Quantity="\uff16")),
    "a look-alike C": Bad(HELD, "sign_agrees_with_kind", row=line(InvoiceNo="\u0421536365", Quantity="-6")),
    "a NUL in a number": Bad(HELD, "unit_price_parses", row=line(UnitPrice="2.5\0")),
    "no pieces": Bad(HELD, "quantity_not_zero", row=line(Quantity="0")),
    "no item": Bad(HELD, "item_known", row=line(StockCode=" ")),
    "a line twice": Bad(HELD, "exact_duplicates", row=GOOD[7]),
}
ROWS = {name: bad for name, bad in BAD_INPUTS.items() if bad.end == HELD}
FAULTS = (
    "the disk full while writing",
    "killed while publishing",
    "a file that changes while it is read",
)  # each a test of its own


def source_of(bad: Bad) -> Source:
    if not bad.format:
        return InvoiceFiles()
    cells = TYPED if bad.format in {"parquet", "orc"} else TEXT
    found: Source = SOURCES.parse({"kind": "daily_files", "format": bad.format, "cells": cells, "columns": COLUMNS}, "test")
    return found


def deliver_good(folder: Path, storage: Storage) -> DatasetRef:
    """Validate the first delivery. Its snapshot must stay current."""
    folder.mkdir(parents=True)
    put(csv_of(*GOOD))(folder)
    return _run(InvoiceFiles(), folder, storage)


def _run(source: Source, folder: Path, storage: Storage) -> DatasetRef:
    raw = ingest(CASE, source, folder, WINDOW, storage)
    if raw is None:
        raise SourceError("no file of the day")
    return validate(raw, "invoice_lines", 0.5, storage, ROOT / "expectations").validated


def hold(bad: Bad, folder: Path, storage: Storage, good: DatasetRef) -> str:
    """Deliver a bad input; '' if it ended as it must and the last good snapshot is current, else what went wrong."""
    folder.mkdir(parents=True, exist_ok=True)
    if not bad.format:
        put(csv_of(*GOOD))(folder)
    bad.write(folder)
    try:
        if bad.is_unprivileged:
            _read_unprivileged(bad)
        _run(source_of(bad), folder, storage)
    except (SourceError, ValidationFailed) as error:
        end = REFUSED if isinstance(error, SourceError) else STOPPED
        if end != bad.end or bad.expected not in str(error):
            return f"ended otherwise: {type(error).__name__}: {error}"
    except TitleholderError as error:
        return f"ended otherwise: {type(error).__name__}: {error}"
    else:
        return "was accepted"
    return "" if storage.current(CASE, c.VALIDATED, WINDOW.label) == good else "the last good snapshot is not current"


def hold_rows(folder: Path, storage: Storage) -> dict[str, str]:
    """All bad rows among the good ones, in one delivery. Name -> '' if the row is in quarantine with its rule."""
    folder.mkdir(parents=True, exist_ok=True)
    put(csv_of(*GOOD, *[bad.row for bad in ROWS.values()]))(folder)
    validated = _run(InvoiceFiles(lost_share=0.5), folder, storage)  # many of them cannot be read
    quarantine = storage.current(CASE, c.QUARANTINE, WINDOW.label)
    if quarantine is None or validated.rows[c.ROWS] != len(GOOD):
        return dict.fromkeys(ROWS, f"{validated.rows[c.ROWS]} rows were validated, of which {len(GOOD)} are good")
    rules = storage.read(quarantine).set_index(c.ROW_ID)[c.BROKEN_RULES]
    places = {name: f"{DAY}.csv:{len(GOOD) + place}" for place, name in enumerate(ROWS, start=1)}
    broken = {name: str(rules.get(place, "none")).split(", ") for name, place in places.items()}
    return {name: "" if ROWS[name].expected in broken[name] else f"broke {', '.join(broken[name])}" for name in ROWS}


def _read_unprivileged(bad: Bad) -> None:
    """Read in a folder that is open to all users. Root, to whom no permission applies, reads as the user nobody."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        bad.write(folder)
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(65_534)
        try:
            source_of(bad).files(folder, WINDOW)
        finally:
            if is_root:
                os.seteuid(0)


def kill_while_publishing(storage: Storage) -> int:
    """Publish another validated snapshot of the day in a process that kills itself before CURRENT is replaced."""
    script = f"""
import os, signal
from pathlib import Path
import pandas as pd
from tasks.io.storage import Storage, frame_writer
def deadly(path, target):
    if Path(target).name == "CURRENT":
        os.kill(os.getpid(), signal.SIGKILL)
    os.replace(path, target)
Path.replace = deadly
tables = {{"rows": frame_writer(pd.DataFrame({{"x": [1]}}))}}
Storage(Path({str(storage.root)!r})).publish(use_case={CASE!r}, layer="validated", partition={WINDOW.label!r}, tables=tables)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == -signal.SIGKILL, "the fault did not fire"
    return done.returncode

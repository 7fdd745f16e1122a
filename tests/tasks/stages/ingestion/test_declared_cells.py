"""Cells as shops, tills, spreadsheets and other programs write them, read as they are declared."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.cells import Cell
from tasks.errors import ConfigurationError, SourceError, ValidationFailed
from tasks.io.spark_cells import Times, Wanted, read_cells, value_of
from tasks.io.storage import Storage
from tasks.stages.ingestion import ingest
from tasks.stages.ingestion.base import Source
from tasks.stages.ingestion.sources import SOURCES
from tasks.stages.validation import validate

DAYS = Window(start=date(2026, 1, 5), end=date(2026, 1, 7))
SHOP = {
    "at": {"type": "timestamp", "formats": ["dd.MM.yyyy HH:mm", "yyyy-MM-dd HH:mm:ssXXX"], "time_zone": "Europe/Berlin"},
    "clicked": {"type": "timestamp", "unit": "ms"},
    "receipt": "int",
    "kind": {"type": "string", "words": {"addtocart": "cart", "transaction": "purchase"}},
    "customer": "long",
    "sku": "id",
    "pieces": "int",
    "price": {"type": "double", "decimal": ",", "thousands": ".", "symbols": ["€"]},
    "comment": "ignore",
}
COLUMNS = {
    c.EVENT_AT: "at",
    c.EVENT_ID: "receipt",
    c.EVENT_TYPE: "kind",
    c.USER_ID: "customer",
    c.ITEM_ID: "sku",
    c.QUANTITY: "pieces",
    c.UNIT_PRICE: "price",
}
SUITE = """
dataset: lines
description: Lines of a shop.
rules:
  - {rule: item_known, expect: expect_column_values_to_not_be_null, with: {column: item_id}, severity: row,
     reason: A line without an item says nothing., owner: shop}
"""


def parse(**settings: Any) -> Source:
    return SOURCES.parse({"kind": "daily_files", **settings}, "x.yaml: source")


def read(source: Source, folder: Path, storage: Storage) -> pd.DataFrame:
    raw = ingest("case", source, folder, DAYS, storage)
    assert raw is not None
    frame = storage.read(raw)
    return frame.assign(place=frame[c.ROW_ID].str.rpartition(":")[2].astype(int)).sort_values([c.SOURCE_FILE, "place"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "files"
    made.mkdir()
    return made


@pytest.mark.usefixtures("spark")
def test_a_shop_with_the_spelling_of_its_country(folder: Path, storage: Storage, tmp_path: Path) -> None:
    lines = [
        "05.01.2026 00:30;1767569400000;1;transaction;17850.0;a1;2;1.234,50;0",
        "2026-01-04 23:30:00+00:00;1767569400000;1;AddToCart;17850; a1\u00a0;1.0;€ 2,50;1",
        "05.01.2026 09:00;1767569400000;2;view;NULL;\u200ba1;1;3;2",
        "31.12.9999 00:00;1767569400000;3;transaction;17851;a1;1;3;3",
    ]
    for day in ("05", "06"):
        body = "\n".join(lines) if day == "05" else lines[0].replace("05.01.", "06.01.")
        (folder / f"2026-01-{day}.csv").write_text(";".join(SHOP) + "\n" + body + "\n")
    entry = {"delimiter": ";", "cells": SHOP, "columns": COLUMNS, "constants": {c.SEGMENT: "web"}}
    source = parse(**entry, event_id_unique="per_day").in_days_of(ZoneInfo("Europe/Berlin"))
    frame = read(source, folder, storage)
    assert frame[c.EVENT_ID].tolist() == ["2026-01-05 1", "2026-01-05 1", "2026-01-05 2", "3", "2026-01-06 1"]
    assert frame[c.USER_ID].tolist() == ["17850", "17850", None, "17851", "17850"]
    assert set(frame[c.ITEM_ID]) == {"a1"} and set(frame[c.SEGMENT]) == {"web"}
    assert frame[c.EVENT_TYPE].tolist() == ["purchase", "cart", "view", "purchase", "purchase"]
    assert frame[c.QUANTITY].tolist() == [2.0, 1.0, 1.0, 1.0, 2.0]
    assert frame[c.UNIT_PRICE].tolist() == [1234.5, 2.5, 3.0, 3.0, 1234.5]
    moments = [pd.Timestamp("2026-01-04 23:30"), pd.Timestamp("2026-01-04 23:30"), pd.Timestamp("2026-01-05 08:00")]
    assert frame[c.EVENT_AT].tolist()[:3] == moments and frame[c.EVENT_AT].isna().tolist() == [False] * 3 + [True, False]
    assert frame[c.LOST_CELLS].tolist() == [None, None, None, '"at"', None], "the year 9999 is no time of a sale"

    raw = storage.current("case", c.RAW, DAYS.label)
    assert raw is not None
    counted = storage.manifest(raw)["figures"]["cells"]
    example = {"cell": "31.12.9999 00:00", "row": "2026-01-05.csv:4"}
    assert counted["at"] == {"full": 5, "lost": 1, "examples": [example]} and counted["customer"] == {"full": 4, "lost": 0}
    (tmp_path / "lines.yaml").write_text(SUITE)
    done = validate(raw, "lines", 0.5, storage, tmp_path)
    assert done.report.rows_validated == 4 and done.quarantine is not None
    assert storage.read(done.quarantine)[c.BROKEN_RULES].tolist() == ["cell_at_reads"]
    assert tuple(storage.read(done.validated).columns) == c.INTERACTION_COLUMNS
    with pytest.raises(ValidationFailed, match=r"cell_at_reads \(row\): 1 rows, observed 2026-01-05.csv:4. The cell of the"):
        validate(raw, "lines", 0.1, storage, tmp_path)


@pytest.mark.usefixtures("spark")
def test_typed_ids_and_one_time_far_away(folder: Path, storage: Storage) -> None:
    """pandas writes ids with a gap as floats, and one row of a column of seconds has milliseconds."""
    table = pa.table(
        {
            "when": pa.array([1767600000, 1767600000000, 1767600001], pa.int64()),
            "who": pa.array([12345607.0, 17850.0, None], pa.float64()),
            "what": pa.array([10**15 + 1, 7, 8], pa.int64()),
            "price": pa.array([1.5, float("nan"), float("inf")], pa.float64()),
        }
    )
    pq.write_table(table, folder / "2026-01-05.parquet")
    cells = {"when": "long", "who": "double", "what": "long", "price": "double"}
    columns = {c.EVENT_AT: "when", c.USER_ID: "who", c.ITEM_ID: "what", c.UNIT_PRICE: "price"}
    frame = read(parse(format="parquet", cells=cells, columns=columns), folder, storage)
    assert frame[c.USER_ID].tolist() == ["12345607", "17850", None]
    assert frame[c.ITEM_ID].tolist() == ["1000000000000001", "7", "8"]
    assert frame[c.EVENT_AT].isna().tolist() == [False, True, False]
    assert frame[c.LOST_CELLS].tolist() == [None, '"when"', '"price"'], "NaN is a missing number, and infinity is none"
    pq.write_table(table.set_column(0, "when", pa.array([1767600000123] * 3, pa.int64())), folder / "2026-01-05.parquet")
    with pytest.raises(SourceError, match=r"'when': 3 of 3 .* unit: ms and the type timestamp; these look like milliseconds"):
        read(parse(format="parquet", cells=cells, columns=columns), folder, storage)


@pytest.mark.usefixtures("spark")
def test_a_table_with_labels_in_several_spellings(folder: Path, storage: Storage) -> None:
    lines = ["1,5;ja;08:30;a, b;Yes", "2;nein;1:00 pm;;YES", "n/a;ja;;b;no", "3;ja;;c;", "4;ja;;c;TRUE"]
    (folder / "2026-01-05.csv").write_text("age;paid;hour;tags;churned\n" + "\n".join(lines) + "\n")
    cells = {
        "age": "double",
        "paid": {"type": "boolean", True: ["ja"], False: ["nein"]},
        "hour": "time",
        "tags": {"type": "list", "delimiter": ","},
        "churned": "string",
    }
    source = parse(delimiter=";", decimal=",", cells=cells, columns={c.TARGET: "churned"}, positive="Yes")
    frame = read(source, folder, storage)
    assert frame[c.TARGET].tolist()[:3] + frame[c.TARGET].tolist()[4:] == [1, 1, 0, 1] and pd.isna(frame[c.TARGET].iloc[3])
    assert frame["age"].tolist()[:2] == [1.5, 2.0] and pd.isna(frame["age"].iloc[2])
    assert frame["paid"].tolist() == [1.0, 0.0, 1.0, 1.0, 1.0]
    assert frame["hour"].tolist()[:2] == [30600.0, 46800.0]
    assert frame["tags"].tolist() == ["a|b", None, "b", "c", "c"]
    assert frame[c.LOST_CELLS].isna().all()


def test_moments_of_every_unit_and_zone(spark: Any) -> None:
    """Also where a text states its offset, where a day is meant, and outside of the plausible days."""
    text = spark.createDataFrame(
        [("1767600000", "1767600000.5", "05/01/2026", "2026-01-05T08:00:00Z", "1899-12-31 23:59:59", "1767600000123456789")],
        "s string, f string, d string, z string, old string, ns string",
    )
    cells = {
        "s": Cell(type="timestamp", unit="s"),
        "f": Cell(type="timestamp", unit="s"),
        "ms": Cell(type="timestamp", unit="ms"),
        "ns": Cell(type="timestamp", unit="ns"),
        "d": Cell(type="date", formats=("dd/MM/yyyy",)),
        "z": Cell(type="timestamp", formats=("yyyy-MM-dd'T'HH:mm:ssX",), time_zone="Asia/Tokyo"),
        "old": Cell(type="timestamp"),
        "older": Cell(type="timestamp", first_day=date(1800, 1, 1)),
    }
    wanted = {name: Wanted({"ms": "s", "older": "old"}.get(name, name), cell) for name, cell in cells.items()}
    row = read_cells(text, wanted, Times(ZoneInfo("Europe/Berlin"))).collect()[0].asDict()
    found = {name: row[value_of(name)] for name in cells}
    at = pd.Timestamp("2026-01-05 08:00")
    assert found["s"] == at and found["f"] == at + pd.Timedelta("500ms") and found["ns"] == at + pd.Timedelta("123456us")
    assert found["ms"] == pd.Timestamp("1970-01-21 11:00"), "plausible, and the suite judges it"
    assert found["d"] == pd.Timestamp("2026-01-04 23:00") and found["z"] == at
    assert found["old"] is None and found["older"] is not None and row[c.LOST_CELLS] == '"old"'


@pytest.mark.usefixtures("spark")
def test_a_number_is_of_its_store(folder: Path, storage: Storage) -> None:
    (folder / "2026-01-05.csv").write_text(
        "event_at,item_id,event_id,shop\n" + "2026-01-05 10:00:00,a,1,north\n2026-01-05 10:00:00,a,1,south\n"
    )
    cells = dict.fromkeys(("event_at", "item_id", "event_id", "shop"), "string")
    source = parse(cells=cells, columns={"store_id": "shop"}, event_id_unique="per_store")
    assert read(source, folder, storage)[c.EVENT_ID].tolist() == ["north 1", "south 1"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"cells": {"a": {"type": "string", "decimal": ","}}},
            "decimal is for decimal, double, float, int, long; the type is string",
        ),
        ({"cells": {"a": {"type": "double", "thousands": "."}}}, "thousands and decimal must differ"),
        (
            {"decimal": ",", "cells": {"a": {"type": "double", "thousands": ","}}},
            "cells.a, read as quantity: thousands and decimal",
        ),
        ({"cells": {"a": {"type": "boolean", True: [True]}}}, "put the word in quotes"),
        (
            {"cells": {"a": {"type": "timestamp", "unit": "ms", "format": "yyyy"}}},
            "unit is of whole numbers, and formats are of text",
        ),
        (
            {"cells": {"a": {"type": "date", "last_day": "9999-12-31"}}},
            "between 1678-01-01 and 2261-12-31, which nanoseconds hold",
        ),
        ({"cells": {"a": {"words": {"x": "y", "y": "z"}}}}, "words: y is turned into another word"),
        ({"cells": {"a": "ignore"}}, "columns.quantity: the column 'a' is ignored"),
        ({"constants": {"user_id": "x"}}, "constants: 'user_id' cannot be a constant; allowed: event_type, quantity"),
        ({"constants": {"quantity": 1}}, "constants.quantity: the source has this column"),
        ({"constants": {"event_type": "theft"}}, "constants.event_type: expected one of purchase, return, rating"),
        ({"event_id_unique": "per_day"}, "event_id_unique: per_day needs interactions with an event_id"),
        ({"event_id_unique": "per_store", "columns": {"event_id": "a"}}, "needs the column of the store"),
        ({"negative": ["no"]}, "positive, negative and leave_out need rows with a target"),
    ],
)
def test_declarations_that_say_nothing_are_refused(change: dict[str, Any], message: str) -> None:
    cells = {"event_at": "string", "item_id": "string", **change.get("cells", {"a": "double"})}
    with pytest.raises(ConfigurationError) as refusal:
        parse(**{"columns": {"quantity": "a"}, **change, "cells": cells})
    assert message in str(refusal.value)


@pytest.mark.usefixtures("spark")
def test_seconds_with_a_fraction_are_read_as_json_numbers_too(folder: Path, storage: Storage) -> None:
    cells = {"ts": {"type": "timestamp", "unit": "s"}, "sku": "id"}
    columns = {c.EVENT_AT: "ts", c.ITEM_ID: "sku"}
    moment = pd.Timestamp("2026-01-05 08:00:00.250")
    for kind, text in (("csv", "ts,sku\n1767600000.250,a\n"), ("jsonl", '{"ts": 1767600000.250, "sku": "a"}\n')):
        place = folder / kind
        place.mkdir()
        (place / f"2026-01-05.{kind}").write_text(text)
        raw = ingest(f"case_{kind}", parse(format=kind, cells=cells, columns=columns), place, DAYS, storage)
        assert raw is not None
        frame = storage.read(raw)
        assert (frame[c.EVENT_AT].tolist(), frame[c.LOST_CELLS].tolist()) == ([moment], [None]), kind

"""Cells that were full and are not what they are stated to be: counted, and too many stop the run with what to state."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks import columns as c
from tasks.errors import ConfigurationError, SourceError
from tasks.io.cells import read_column
from tasks.io.spark_cells import mark_of
from tasks.stages.ingestion.lost import count_cells
from tasks.stages.ingestion.sources import SOURCES


def count(folder: Path, came: list[Any], cell: Any, canonical: str = c.VALUE, **settings: Any) -> dict[str, Any]:
    """The counts of one column, of which the rows were written as Spark writes them."""
    columns = {canonical: "given"} if canonical != "given" else {}
    rows = canonical in {c.TARGET, "given"}
    if rows:
        cells = {"given": cell, "x": "double", **({} if canonical == c.TARGET else {"target": "boolean"})}
    else:
        cells = {"given": cell, "event_at": "string", "item_id": "string"}
    source = SOURCES.parse({"kind": "daily_files", "cells": cells, "columns": columns, **settings}, "x.yaml: source")
    values, lost = read_column(source.wanted[canonical].cell, came)
    frame = pa.table(
        {
            c.ROW_ID: [f"2026-01-01.csv:{place + 1}" for place in range(len(came))],
            c.AS_IT_CAME: [json.dumps({"given": one}) for one in came],
            canonical: pa.array(values, pa.string() if any(isinstance(one, str) for one in values) else pa.float64()),
            c.LOST_CELLS: pa.array([mark_of("given") if one else None for one in lost], pa.string()),
        }
    )
    folder.mkdir()
    pq.write_table(frame, folder / "part-0.parquet")
    counts: dict[str, Any] = count_cells(folder, source)["given"]
    return counts


def test_few_lost_cells_are_counted_with_examples(tmp_path: Path) -> None:
    found = count(tmp_path / "rows", ["1.5"] * 500 + [""] * 100 + ["1,5", "abc"], "double")
    examples = [{"cell": "1,5", "row": "2026-01-01.csv:601"}, {"cell": "abc", "row": "2026-01-01.csv:602"}]
    assert found == {"full": 502, "lost": 2, "examples": examples}
    assert count(tmp_path / "none", ["1.5", "", "n/a"], "double") == {"full": 1, "lost": 0}
    assert count(tmp_path / "one", ["1.5"] * 5 + ["abc"], "double")["lost"] == 1, "one cell alone stops no run"


def test_the_share_is_stated(tmp_path: Path) -> None:
    came = ["1"] * 90 + ["abc"] * 10
    assert count(tmp_path / "more", came, "double", lost_share=0.1)["lost"] == 10
    with pytest.raises(SourceError, match=r"10 of 100 full cells \(10.0%\) .*; 9.0% are allowed \(source.lost_share\)"):
        count(tmp_path / "fewer", came, "double", lost_share=0.09)
    with pytest.raises(SourceError, match=r"1 of 1,?000|1 of 1000 full cells"):
        count(tmp_path / "no", ["1"] * 999 + ["abc"], "double", lost_share=0)


@pytest.mark.parametrize(
    ("cell", "came", "remedy"),
    [
        ("double", "1234,50", 'decimal: ","'),
        ("double", "€ 12.00", "symbols: ['€']"),
        ("double", "3.5 %", "symbols: ['%'] (percent: true divides by 100)"),
        ("double", "1.234,50 EUR", 'decimal: "," and thousands: "." and symbols: [\'EUR\']'),
        ("double", "1,234.50", 'thousands: ","'),
        ({"type": "double", "decimal": ","}, "1234.5", 'decimal: "."'),
        ("int", "3.5", "type: double"),
        ("double", "unknown", "missing: ['unknown']"),
    ],
)
def test_the_remedy_reads_the_cells(tmp_path: Path, cell: Any, came: str, remedy: str) -> None:
    with pytest.raises(SourceError) as refusal:
        count(tmp_path / "rows", [came] * 30, cell, "given")
    told = str(refusal.value)
    assert "column 'given': 30 of 30 full cells (100.0%) are not what they are stated to be; 1.0% are allowed" in told
    assert f"got {came!r} (row 2026-01-01.csv:1), {came!r} (row" in told and remedy in told


def test_ids_whose_digits_are_lost_are_refused(tmp_path: Path) -> None:
    assert count(tmp_path / "good", ["17850.0", "1.2345607E7", "17850"], "double", c.USER_ID)["lost"] == 0
    with pytest.raises(SourceError, match=r"a program has cut digits of these ids; deliver them as text"):
        count(tmp_path / "excel", ["1.23457E+11"] * 3, "string", c.USER_ID)
    long = count(tmp_path / "one", ["ann"] * 200 + ["x" * 20_000], "string", c.USER_ID)["examples"]
    assert long == [{"cell": "x" * 80 + "... (20000 characters)", "row": "2026-01-01.csv:201"}]
    with pytest.raises(SourceError, match="an id has at most 200 characters"):
        count(tmp_path / "long", ["x" * 201] * 3, "string", c.ITEM_ID)


def test_unknown_words_of_events_are_told(tmp_path: Path) -> None:
    came = ["view", "addtocart", "transaction"] * 10
    with pytest.raises(SourceError, match=r"20 of 30 full cells .* words: \{addtocart: purchase\} \(of purchase, return"):
        count(tmp_path / "rows", came, "string", c.EVENT_TYPE)
    words = {"type": "string", "words": {"addtocart": "cart", "Transaction": "purchase"}}
    assert count(tmp_path / "mapped", came, words, c.EVENT_TYPE) == {"full": 30, "lost": 0}


@pytest.mark.parametrize(
    ("came", "settings", "lost"),
    [
        (["Yes", "yes", "YES", "TRUE", "1", "No", "n/a", ""] * 20, {"positive": "Yes"}, 0),
        (["0", "1", "", None, "1.0"] * 20, {}, 0),
        (["1", "2", "3"] * 20, {"positive": "2", "negative": "others"}, 0),
        (["benign", "Malignant "] * 20, {"positive": "malignant", "negative": ["benign"]}, 0),
        (["0"] * 150 + ["1"] * 49 + ["maybe"], {}, 1),
    ],
    ids=["spellings", "numbers", "one against others", "names", "dirty"],
)
def test_targets_of_two_classes_are_read(tmp_path: Path, came: list[Any], settings: dict[str, Any], lost: int) -> None:
    assert count(tmp_path / "rows", came, "string", c.TARGET, **settings)["lost"] == lost


@pytest.mark.parametrize(
    ("came", "settings", "shown"),
    [
        (["1", "2", "3"] * 20, {}, "40 of 60 full cells"),
        (["Yes", "No", "unknown"] * 20, {"positive": "Yes"}, "20 of 60 full cells"),
        ([f"{value / 7:.3f}" for value in range(1, 50)], {}, "49 of 49 full cells"),
        (["benign", "malignant", "odd"] * 5, {"positive": "malignant", "negative": ["benign"]}, "5 of 15 full cells"),
    ],
    ids=["three classes", "a third label", "a number", "names"],
)
def test_a_third_label_is_no_class(tmp_path: Path, came: list[str], settings: dict[str, Any], shown: str) -> None:
    with pytest.raises(SourceError, match="which words mean class 1 and 0") as refusal:
        count(tmp_path / "rows", came, "string", c.TARGET, **settings)
    assert shown in str(refusal.value) and "column 'given'" in str(refusal.value)


def test_a_positive_word_without_its_opposite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"positive 'churned': state which words mean class 0, as in negative"):
        count(tmp_path / "rows", [], "string", c.TARGET, positive="churned")

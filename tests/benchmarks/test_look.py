"""Proposals for files in the form of public data sets are what was written down as right, and a difference is seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from benchmarks.files import public
from benchmarks.files.benchmark import BENCHMARK
from benchmarks.files.comparing import find_edits, judge
from benchmarks.files.proposals import measure_proposals
from benchmarks.files.public import FILES, HELD_BACK
from benchmarks.files.workbook import make_workbook
from tasks.jobs.look import look

BY_NAME = {file.name: file for file in FILES}
SOME = (
    "online_retail",
    "retailrocket",
    "movielens_latest",
    "bank_marketing",
    "german_shop",
    "multi_category_shop",
    "pandas_parquet",
    "telco_churn",
    "kiosk",
    "amazon_reviews",
    "superstore",
    "hotel_bookings",
)


@pytest.mark.parametrize("name", SOME)
def test_a_usual_file_needs_no_edit(name: str) -> None:
    assert judge(BY_NAME[name]) == []


@pytest.mark.parametrize(
    ("change", "edit"),
    [
        (("unit: ms", "unit: s"), "cells.timestamp"),
        (("transaction: purchase", "transaction: view"), "cells.event"),
        (("user_id: visitorid", "user_id: itemid"), "columns"),
        (("task: propensity", "task: recommendation"), "task"),
    ],
)
def test_a_wrong_line_is_an_edit(change: tuple[str, str], edit: str) -> None:
    right = "name: looked_at\n" + BY_NAME["retailrocket"].right.replace("source:", "source:\n  kind: daily_files", 1)
    assert find_edits(right, BY_NAME["retailrocket"].right) == []
    assert [line.partition(":")[0] for line in find_edits(right.replace(*change), BY_NAME["retailrocket"].right)] == [edit]


def test_shares_are_of_all_files_and_of_those_held_back() -> None:
    figures = measure_proposals(2)
    assert figures["look_files"] == 4 and set(figures["look_edits"]) == {file.name for file in (*FILES[:2], *HELD_BACK[:2])}
    assert figures["look_right_held_back"] == 0.5  # the second one is known to need edits
    assert set(figures) <= set(BENCHMARK.meaning)


def test_each_file_has_its_right_use_case_and_no_other_is_there() -> None:
    right = {path.stem for path in (Path(public.__file__).parent / "right").iterdir()}
    assert right == {file.name for file in (*FILES, *HELD_BACK)} and len(right) == len(FILES) + len(HELD_BACK)


def test_a_workbook_is_looked_at(tmp_path: Path) -> None:
    start = datetime(2024, 3, 1, 9, 30, tzinfo=UTC).replace(tzinfo=None)  # a workbook has local times
    rows = [
        [f"o{place // 2}", start + timedelta(days=place // 2), 17850 + place // 2 % 5, f"s{place % 7}", 1 + place % 3, 2.5]
        for place in range(40)
    ]
    (tmp_path / "sales.xlsx").write_bytes(make_workbook([["Order", "Date", "Customer", "SKU", "Qty", "Price"], *rows]))
    source = look(str(tmp_path / "sales.xlsx"), "sales").proposal.use_case["source"]
    assert (source["kind"], source["format"]) == ("files", "xlsx")
    assert source["cells"] == {
        "Order": "id",
        "Date": "timestamp",
        "Customer": "id",
        "SKU": "id",
        "Qty": "double",
        "Price": "double",
    }
    assert list(source["columns"].values()) == ["Customer", "SKU", "Date", "Order", "Qty", "Price"]

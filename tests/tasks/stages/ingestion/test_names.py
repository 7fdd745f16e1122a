"""Names of columns are the user's: those of helper columns cannot collide, and what no stage can take is refused at once."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from tasks import columns as c
from tasks.contracts.base import TaskKind, Window
from tasks.contracts.calendar import UTC_ZONE
from tasks.errors import ConfigurationError
from tasks.io.storage import Storage
from tasks.settings import ROOT
from tasks.stages.features import SPLITS, FeatureRequest, FeatureSpec, split
from tasks.stages.ingestion import ingest
from tasks.stages.ingestion.names import check_names, check_pattern
from tasks.stages.ingestion.sources import SOURCES
from tasks.stages.monitoring import in_spark
from tasks.stages.profiling.measuring import measure
from tasks.stages.validation import validate

FIRST = date(2026, 1, 5)
HELPERS = ("tasks/stages/ingestion", "tasks/stages/validation", "tasks/stages/features", "tasks/stages/monitoring", "tasks/io")
SUITE = """
dataset: odd
description: Rows whose columns have the names of helper columns.
rules:
  - {rule: once, expect: expect_column_values_to_be_in_set, with: {column: delivered_before, value_set: [false]}, severity: row,
     reason: A row that was delivered before is a copy., owner: team}
  - {rule: target_known, expect: expect_column_values_to_not_be_null, with: {column: target}, severity: row,
     reason: A row without its class teaches nothing., owner: team}
"""


def helper_names() -> Iterator[str]:
    """The literal names that stages give to columns, and those that helper columns had before."""
    for folder in HELPERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
                if is_call and node.func.attr in {"alias", "withColumn"} and node.args:  # type: ignore[attr-defined]  # a call
                    name = node.args[0]  # type: ignore[attr-defined]  # a call
                    if isinstance(name, ast.Constant) and isinstance(name.value, str):
                        yield name.value
    yield from [
        "part",
        "block",
        "place",
        "rules",
        "rows",
        "row",
        "value",
        "cell",
        "unit",
        "side",
        "file",
        "line",
        "index",
        "id",
    ]
    yield from ["_hash", "_came", "_name", "_order", "_newest", "_window", "_own_at", "_line", "_sold", "_snapshot", "count"]


def features() -> list[str]:
    taken = {*c.TABULAR_COLUMNS, *c.COMPUTED_COLUMNS, c.EVENT_ID, c.LABEL}
    names = dict.fromkeys(name for name in helper_names() if name not in taken)
    return [*names, "emp.var.rate", "a b", "$", "count(1)", "Größe {cm}", "select", "x'y"]


def write_days(folder: Path, names: list[str]) -> None:
    folder.mkdir()
    for place in range(6):
        day = pd.Timestamp(FIRST) + pd.Timedelta(days=place)
        rows = pd.DataFrame({name: [(place * 4 + row) * 10_000 + nth for row in range(4)] for nth, name in enumerate(names)})
        rows["bought"] = [0, 1, 0, 1]
        rows["named"] = [f"r{place}-{row}" for row in range(4)]
        rows.to_csv(folder / f"{day:%Y-%m-%d}.csv", index=False)


def test_columns_may_have_the_names_of_helper_columns(tmp_path: Path, storage: Storage, spark: SparkSession) -> None:
    names = features()
    assert {"part", "place", "block", "_hash", "unit", "rules", "side", "emp.var.rate"} <= set(names) and len(names) > 60
    write_days(tmp_path / "files", names)
    suites = tmp_path / "suites"
    suites.mkdir()
    (suites / "odd.yaml").write_text(SUITE)
    source = SOURCES.parse(
        {
            "kind": "daily_files",
            "cells": {**dict.fromkeys(names, "double"), "bought": "int", "named": "string"},
            "columns": {"target": "bought", "event_id": "named"},
        },
        "test",
    )
    history = []
    for start in (date(2026, 1, 5), date(2026, 1, 8)):
        window = Window(start=start, end=date(2026, 1, start.day + 3))
        raw = ingest("odd", source, tmp_path / "files", window, storage)
        assert raw is not None
        history.append(validate(raw, "odd", 0.0, storage, suites).validated)
    request = FeatureRequest("odd", TaskKind.CLASSIFICATION, FeatureSpec(), history, date(2026, 1, 11))
    settings = {"kind": "by_time", "holdout_days": 2, "validation_days": 2, "copies_at_most": 1.0}
    found = split(request, SPLITS.parse(settings, "test"), storage, seed=7)
    expected = {name: place for place, name in enumerate(names)}
    for ref, place in ((found.train, 0), (found.validation, 2), (found.holdout, 4)):
        rows = storage.read(ref)
        assert set(rows.columns) == {c.ROW_ID, c.TARGET, c.SPLIT_ORDER, *names}
        first = rows.set_index(c.ROW_ID).loc[f"r{place}-0"]
        assert {name: first[name] - place * 40_000 for name in names} == expected

    table = spark.read.parquet(str(storage.table(history[0]))).cache()
    sample = in_spark.take_sample(table, names[:20], 1, 10, Window(start=FIRST, end=date(2026, 1, 8)), UTC_ZONE)
    watched = ["side", "unit", "emp.var.rate", "part", "place", "name", "count"]
    drawn = in_spark.take_sample(table, watched, 1, 100, Window(start=FIRST, end=date(2026, 1, 8)), UTC_ZONE)
    assert len(sample) == 10 and set(watched) < set(drawn.columns)
    counts = in_spark.count_bins(table, table, drawn, watched)
    assert {name: sum(one.reference) for name, one in counts.items()} == dict.fromkeys(watched, 12)
    assert set(measure(table.select(c.ROW_ID, c.EVENT_AT, c.TARGET, *(f"`{name}`" for name in watched))).numbers) >= set(
        watched
    )


@pytest.mark.parametrize("key", ["value", "cell", "row_id", "source_file", "titleholder", "user.value"])
def test_keys_of_json_lines_may_have_any_name(key: str, tmp_path: Path, storage: Storage, spark: SparkSession) -> None:
    (tmp_path / "2026-01-05.jsonl").write_text(json.dumps({"at": "2026-01-05 10:00:00", "film": "m1", key: 4.5}) + "\n")
    cells = {"at": "string", "film": "string", key: "double"}
    settings = {"cells": cells, "columns": {"event_at": "at", "item_id": "film", "value": key}}
    source = SOURCES.parse({"kind": "daily_files", "format": "jsonl", **settings}, "test")
    ref = ingest("odd", source, tmp_path, Window(start=FIRST, end=date(2026, 1, 6)), storage)
    assert ref is not None
    assert storage.read(ref)[[c.ITEM_ID, c.VALUE]].to_numpy().tolist() == [["m1", 4.5]]


def parse(cells: dict[str, Any], **settings: Any) -> Any:
    entry = {"kind": "daily_files", "cells": {**cells, "y": "int"}, "columns": {"target": "y"}, **settings}
    return SOURCES.parse(entry, "test")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"ID": "double", "id": "double"}, "cells: 'ID' and 'id' differ in capitals only"),
        ({"Target": "double", "age": "double"}, "cells: Target cannot be features, because the pipeline uses the name target"),
        ({"Row_ID": "double"}, "cells: Row_ID cannot be features"),
        ({"price_band": "double"}, "cells: price_band cannot be features"),
        ({'screen 15"': "double"}, 'because a request cannot name "'),
        ({"back\\slash": "double"}, "because a request cannot name"),
        ({"two\nlines": "double"}, "contains a control character"),
        ({"Titleholder_part": "double"}, "names that begin with titleholder_ are the pipeline's"),
        ({"": "double", "age": "double"}, "a column without a name cannot be a feature"),
        ({"x" * 201: "double"}, "a name has at most 200 letters, got 201"),
    ],
)
def test_names_that_no_stage_can_take_are_refused(cells: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse(cells)


def test_columns_that_are_no_features_may_have_such_names() -> None:
    cells = {"": "double", "Target": "double", 'screen 15"': "double", "age": "double"}
    assert parse(cells, leave_out=["", "Target", 'screen 15"']).features == ("age",)
    check_names(["row_id", "label", "part", ""])


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("%Y-%m-%d", "Python's letters"),
        ("YYYY-MM-DD", "Y is the year of a week; years are yyyy"),
        ("yyyy-MM-DD", "DD is the day of a year; days of a month are dd"),
        ("yyyy-mm-dd HH:MM", "mm are minutes and stand after an hour; months are MM"),
        ("yyyy-MM-dd HH:MM", "MM are months; minutes are mm"),
        ("yyyy-MM-dd hh:mm:ss", "hours of a day are HH"),
        ("yyyy-MM-dd HH:mm:SS", "seconds are ss"),
        ("yyyy-MM-ddTHH:mm:ss", "text is quoted"),
        ("E dd MMM yyyy", "the name of a weekday"),
        ("dd.MM.", "a date needs a year"),
        ("HH:mm", "a date needs a year, yyyy and a month, MM and a day, dd"),
        ("yyyy-MM-dd'T", "a quote is not closed"),
        ("yyyy-MMMMM-dd", "at most MMMM"),
    ],
)
def test_patterns_of_other_languages_are_refused(pattern: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        parse({"age": "double"}, time_format=pattern)


def test_the_pattern_of_a_cell_is_named_by_its_column() -> None:
    with pytest.raises(ConfigurationError, match=r"cells.at.formats: 'YYYY-MM-dd': YYYY: Y is the year of a week"):
        parse({"age": "double", "at": {"type": "timestamp", "format": "YYYY-MM-dd"}}, columns={"target": "y", "event_at": "at"})


PATTERNS = {
    "yyyy-MM-dd HH:mm:ss": "2026-01-05 08:00:00",
    "yyyy-MM-dd'T'HH:mm:ssXXX": "2026-01-05T08:00:00+00:00",
    "dd.MM.yyyy HH:mm": "05.01.2026 08:00",
    "M/d/yyyy h:mm:ss a": "1/5/2026 8:00:00 AM",
    "yyyyMMddHHmmss": "20260105080000",
    "d MMM yyyy HH:mm": "5 Jan 2026 08:00",
    "yyyy-MM-dd[ HH:mm]": "2026-01-05",
    "yyyy-MM-dd HH:mm:ss.SSS z": "2026-01-05 08:00:00.000 UTC",
    "yyyy-DDD": "2026-005",
}


def test_what_spark_reads_is_accepted(spark: SparkSession) -> None:
    from pyspark.sql import functions as F

    for pattern in PATTERNS:
        check_pattern(pattern)
    cells = [F.try_to_timestamp(F.lit(text), F.lit(pattern)) for pattern, text in PATTERNS.items()]
    assert all(value is not None and value.day == 5 for value in spark.range(1).select(*cells).collect()[0])
    check_pattern("HH:mm", is_time_of_day=True)

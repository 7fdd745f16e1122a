"""Targets that are not two classes are refused when their first rows are read, with what came and what to do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tasks import columns as c
from tasks.errors import SourceError
from tasks.stages.ingestion.sources import SOURCES


def check(folder: Path, came: list[Any], read: Sequence[int | None], **settings: Any) -> None:
    """Let a source look at rows whose targets came so and were read so."""
    cells = {"quality": "string", "x": "double"}
    entry = {"kind": "daily_files", "format": "csv", "cells": cells, "columns": {"target": "quality"}, **settings}
    lines = [json.dumps({"quality": cell, "x": "1"}) for cell in came]
    rows = pd.DataFrame({c.TARGET: pd.array(read, dtype="Int64"), c.AS_IT_CAME: lines})
    folder.mkdir()
    rows.to_parquet(folder / "part-0.parquet")
    SOURCES.parse(entry, "x.yaml: source").check_rows(folder)


@pytest.mark.parametrize(
    ("came", "read", "shown"),
    [
        (["1", "2", "3"] * 20, [1, c.NO_CLASS, c.NO_CLASS] * 20, "in 40 of 60 rows, 2 different ones: '2', '3'. Only binary"),
        (["0", "1", "2"] * 20, [0, 1, c.NO_CLASS] * 20, "in 20 of 60 rows, 1 different ones: '2'. Only binary"),
        (["1", "2"] * 20, [1, c.NO_CLASS] * 20, "positive: '2'"),
        ([f"{value / 7:.3f}" for value in range(1, 50)], [c.NO_CLASS] * 49, "in 49 of 49 rows, 49 different ones: '0.143'"),
        (
            ["benign", "malignant"] * 5,
            [c.NO_CLASS] * 10,
            "Name the one value that means class 1 in the source, as in positive: 'benign'",
        ),
    ],
    ids=["three classes", "a third class", "classes 1 and 2", "a number", "names"],
)
def test_other_targets_are_refused(tmp_path: Path, came: list[str], read: list[int | None], shown: str) -> None:
    with pytest.raises(SourceError) as refusal:
        check(tmp_path / "rows", came, read)
    assert "column 'quality', the target: expected 0 and 1, got other values" in str(refusal.value)
    assert shown in str(refusal.value)


def test_unknown_and_few_dirty_targets_are_welcome(tmp_path: Path) -> None:
    check(tmp_path / "unknown", ["0", "1", "", None] * 20, [0, 1, None, None] * 20)
    check(tmp_path / "dirty", ["0"] * 50 + ["1"] * 49 + ["n/a"], [0] * 50 + [1] * 49 + [c.NO_CLASS])
    check(tmp_path / "named", ["1", "2", "3"] * 20, [0, 1, 0] * 20, positive="2")
    check(tmp_path / "none", [""] * 5, [None] * 5)

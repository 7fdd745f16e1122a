"""Figures with known values, and a page that shows them and loads nothing from another server."""

from __future__ import annotations

import math
import re
import shutil
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from html import unescape
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from tasks import columns as c
from tasks.contracts.data import DatasetRef
from tasks.errors import NotEnoughData
from tasks.io import tracking
from tasks.io.storage import Storage, frame_writer
from tasks.stages.profiling import PAGE, draw_profile, profile, sum_cells
from tasks.stages.profiling.measuring import Figures, measure, take_sample

MONDAY = datetime(2026, 1, 5, 8, tzinfo=UTC)
ROWS = 40


def rows() -> pd.DataFrame:
    """Prices 1 to 39 and one of 1000, quantities that follow them, every tenth user missing, a return among purchases."""
    place = range(ROWS)
    times = [MONDAY + timedelta(days=n // 4, hours=n % 2) for n in place]
    price = [float(n + 1) for n in place[:-1]] + [1000.0]
    return pd.DataFrame(
        {
            c.ROW_ID: [f"f:{n}" for n in place],
            c.SOURCE_FILE: "f",
            c.EVENT_AT: pd.to_datetime(times).astype("datetime64[us, UTC]"),
            c.INGESTED_AT: pd.to_datetime([MONDAY + timedelta(days=20)] * ROWS).astype("datetime64[us, UTC]"),
            c.AS_IT_CAME: "{}",
            c.EVENT_TYPE: [c.RETURN] + [c.PURCHASE] * (ROWS - 1),
            c.USER_ID: [None if n % 10 == 0 else f"u{n % 3}" for n in place],
            c.UNIT_PRICE: price,
            c.QUANTITY: [-2.0 * one for one in price],
            c.VALUE: [math.nan if n == 1 else 0.0 for n in place],
            c.SEGMENT: "<script>",
        }
    )


@pytest.fixture
def snapshot(storage: Storage) -> DatasetRef:
    label = "2026-01-05..2026-01-20"
    lost = [{"cell": "<b>1,5</b>", "row": f"f:{n}"} for n in range(2)]
    counts = {"price": {"full": 44, "lost": 4, "examples": lost}, "at": {"full": 44, "lost": 0}}
    tables = {c.ROWS: frame_writer(rows())}
    raw = storage.publish(use_case="shop", layer=c.RAW, partition=label, tables=tables, inspect=lambda _: {"cells": counts})
    return storage.publish(use_case="shop", layer=c.VALIDATED, partition=label, tables=tables, inputs=[raw])


@pytest.fixture
def found(storage: Storage, snapshot: DatasetRef, spark: SparkSession) -> Figures:
    return measure(spark.read.parquet(str(storage.table(snapshot))))


def test_the_figures_have_their_known_values(found: Figures) -> None:
    assert found.rows == ROWS and found.balance == {c.PURCHASE: 39, c.RETURN: 1}
    assert asdict(found.numbers[c.UNIT_PRICE]) == {
        "missing": 0,
        "least": 1.0,
        "mean": pytest.approx(44.5),
        "deviation": pytest.approx(155.36, abs=0.01),
        "quartiles": (10.0, 20.0, 30.0),
        "most": 1000.0,
        "zeros": 0,
        "negative": 0,
        "outliers": 1,
    }
    assert (found.numbers[c.QUANTITY].negative, found.numbers[c.QUANTITY].outliers) == (ROWS, 1)
    assert (found.numbers[c.VALUE].missing, found.numbers[c.VALUE].zeros) == (1, ROWS - 1)
    assert (found.texts[c.USER_ID].missing, found.texts[c.USER_ID].distinct) == (4, 3)
    assert found.texts[c.USER_ID].values == (("u0", 12), ("u1", 12), ("u2", 12))
    assert list(found.days.values()) == [4] * 10 and next(iter(found.days)) == date(2026, 1, 5)
    assert found.weekdays == (8, 8, 8, 4, 4, 4, 4) and {hour: n for hour, n in enumerate(found.hours) if n} == {8: 20, 9: 20}
    between = dict(zip(found.correlated, found.correlations, strict=True))
    assert between[c.UNIT_PRICE][found.correlated.index(c.QUANTITY)] == pytest.approx(-1.0)
    assert math.isnan(between[c.VALUE][found.correlated.index(c.QUANTITY)]), "what does not vary correlates with nothing"


def test_a_sample_is_bounded_and_deterministic(storage: Storage, snapshot: DatasetRef, spark: SparkSession) -> None:
    frame = spark.read.parquet(str(storage.table(snapshot)))
    some = take_sample(frame, ROWS, 10, seed=7)
    assert 2 <= len(some) <= 20 and some.equals(take_sample(frame.repartition(3), ROWS, 10, seed=7))
    assert set(some[c.ROW_ID]) != set(take_sample(frame, ROWS, 10, seed=8)[c.ROW_ID])
    assert len(take_sample(frame, ROWS, ROWS, seed=7)) == ROWS


def test_the_profile_is_one_page_and_logged_once(
    storage: Storage, snapshot: DatasetRef, store: Path, monkeypatch: pytest.MonkeyPatch, spark: SparkSession
) -> None:
    page = profile("shop", "known before 2026-01-20", [snapshot], storage, 7, {"dag_id": "shop.training"})
    (run_id,) = re.findall(r"runs/(\w+)", page)
    assert tracking.get_client().get_run(run_id).data.metrics["rows"] == ROWS
    html = tracking.read_run_text(run_id, PAGE)
    summary = html[html.index("<main>") : html.index("<iframe")]
    assert "<span>rows</span><strong>40</strong>" in summary and "<svg" in summary
    assert "<strong>10</strong><span>2026-01-05 to 2026-01-14</span>" in summary
    assert "1 (2.5%)" in summary and "u0 (12); u1 (12); u2 (12)" in summary
    assert "&lt;script&gt; (40)" in summary and "<script>" not in summary, "what rows hold is no HTML"
    assert "4 (9.1%)" in summary and "&lt;b&gt;1,5&lt;/b&gt;" in summary, "lost cells of the raw rows are shown"
    assert "srcdoc=" in html
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=['\"]?https?:", unescape(html)), (
        "the page loads from another server"
    )
    monkeypatch.setattr("tasks.stages.profiling.draw_profile", lambda *_: pytest.fail("the same page was made again"))
    assert profile("shop", "known before 2026-01-20", [snapshot], storage, 7, {}) == page


def test_no_snapshot_and_no_rows_are_refused(storage: Storage, spark: SparkSession) -> None:
    with pytest.raises(NotEnoughData, match="no validated snapshot"):
        draw_profile("shop", [], storage, 7)
    empty = storage.publish(
        use_case="shop", layer=c.VALIDATED, partition="2026-02-01..2026-02-02", tables={c.ROWS: frame_writer(rows().iloc[:0])}
    )
    with pytest.raises(NotEnoughData, match="the snapshots have no rows"):
        draw_profile("shop", [empty], storage, 7)


def test_lost_cells_of_several_snapshots_are_summed(storage: Storage, snapshot: DatasetRef) -> None:
    raw = storage.current("shop", c.RAW, snapshot.partition)
    assert raw is not None
    summed = sum_cells([snapshot, raw], storage)
    assert summed["price"]["full"] == 88 and summed["price"]["lost"] == 8 and len(summed["price"]["examples"]) == 3
    shutil.rmtree(storage.folder(raw))
    assert sum_cells([snapshot], storage) == {}

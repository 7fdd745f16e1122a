"""Columns that rules may name, on rows few enough to see."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.stages.validation.computed import add_rule_columns
from tasks.stages.validation.past import Past

SCHEMA = (
    f"{c.ROW_ID} string, {c.INGESTED_AT} timestamp, {c.AS_IT_CAME} string, {c.EVENT_ID} string, {c.EVENT_TYPE} string, "
    f"{c.USER_ID} string, {c.ITEM_ID} string, {c.LINE_ID} string"
)


def line(day: int, order: str | None, item: str, pieces: int, line: str | None = None) -> tuple[Any, ...]:
    came = f"{order},{line},{item},{pieces}"
    return (f"{day}.csv:{came}", datetime(2026, 1, day, tzinfo=UTC), came, order, c.PURCHASE, None, item, line)


def test_a_correction_back_is_no_repetition(spark: SparkSession, tmp_path: Path) -> None:
    """Two pieces, then three, then two again: the third delivery is news. A row that nothing replaced came before."""
    days = [
        [line(1, "o1", "tea", 2), line(1, "o2", "tea", 2), line(1, None, "pen", 1), line(1, "o3", "mug", 1, "1")],
        [line(2, "o1", "tea", 3), line(2, "o3", "mug", 5, "1"), line(2, "o3", "mug", 7, "2")],
    ]
    for place, rows in enumerate(days):
        spark.createDataFrame(rows, SCHEMA).write.parquet(str(tmp_path / f"day-{place}"))
    window = Window(start=date(2026, 1, 3), end=date(2026, 1, 4))
    past = Past(window, folders=tuple(sorted(tmp_path.iterdir())))
    now = [
        line(3, "o1", "tea", 2),
        line(3, "o2", "tea", 2),
        line(3, None, "pen", 1),
        line(3, "o3", "mug", 1, "1"),
        line(3, "o3", "mug", 7, "2"),
        line(3, "o4", "tea", 2),
    ]
    frame = add_rule_columns(spark.createDataFrame(now, SCHEMA), window, past, {c.DELIVERED_BEFORE})
    found = {row[c.AS_IT_CAME]: row[c.DELIVERED_BEFORE] for row in frame.collect()}
    assert found == {
        "o1,None,tea,2": False,
        "o2,None,tea,2": True,
        "None,None,pen,1": True,
        "o3,1,mug,1": False,
        "o3,2,mug,7": True,
        "o4,None,tea,2": False,
    }

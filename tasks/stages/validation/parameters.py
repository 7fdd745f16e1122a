"""Values from the past that rules name as parameters, such as `{$PARAMETER: past_rows * 0.2}`."""

from __future__ import annotations

from collections.abc import Collection
from statistics import median
from typing import TYPE_CHECKING, Any

from tasks.contracts.base import Window
from tasks.stages.validation.computed import COMPUTED, add_rule_columns
from tasks.stages.validation.past import Past

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROWS = "past_rows"  # the rows that a window of this length and weekday usually has, see `count_usual_rows`
SHARES = "past_shares_of_"  # with the name of a column: the shares of its values, as Great Expectations' partition object
MAX_VALUES = 50
ENOUGH_ALIKE = 3  # past windows of the same weekday from which they are the measure


def compute_parameters(names: Collection[str], past: Past, spark: SparkSession) -> dict[str, Any]:
    """The values of the named parameters. Empty where there is no past."""
    rows = past.rows(spark)
    if rows is None:
        return {}
    found: dict[str, Any] = {}
    if ROWS in names:
        found[ROWS] = count_usual_rows(past)
    columns = sorted(name.removeprefix(SHARES) for name in names if name.startswith(SHARES))
    if columns:
        frame = add_rule_columns(rows, past.window, past, COMPUTED & set(columns))
        found |= {SHARES + column: _compute_shares(frame, column) for column in columns}
    return found


def count_usual_rows(past: Past) -> int:
    """The median of the past windows' rows a day, times the days of this window.

    Windows of as many days that begin on the same weekday are the measure, from three of them on: a quiet Saturday is
    compared with Saturdays. With fewer, every past window is.
    """

    def shape(window: Window) -> tuple[int, int]:
        return window.days, window.start.weekday()

    rates = dict(zip(past.versions, past.rows_per_day, strict=True))
    alike = [rate for label, rate in rates.items() if shape(Window.from_label(label)) == shape(past.window)]
    return round(median(alike if len(alike) >= ENOUGH_ALIKE else past.rows_per_day) * past.window.days)


def _compute_shares(frame: DataFrame, column: str) -> dict[str, list[Any]]:
    """The most frequent values and their shares, which sum to one."""
    from pyspark.sql import functions as F

    value = F.col(f"`{column}`")
    counted = frame.where(value.isNotNull()).groupBy(value.alias("value")).agg(F.count(F.lit(1)).alias("rows"))
    rows = counted.orderBy(F.desc("rows"), "value").limit(MAX_VALUES).collect()
    total = sum(row["rows"] for row in rows)
    return {"values": [row["value"] for row in rows], "weights": [row["rows"] / total for row in rows]}

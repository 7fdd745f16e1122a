"""Values from the past that rules name as parameters, such as `{$PARAMETER: past_rows * 0.2}`."""

from __future__ import annotations

from collections.abc import Collection
from statistics import median
from typing import TYPE_CHECKING, Any

from tasks.stages.validation.computed import COMPUTED, add_rule_columns
from tasks.stages.validation.past import Past

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROWS = "past_rows"  # the median of the past windows' rows a day, times the days of this window
SHARES = "past_shares_of_"  # with the name of a column: the shares of its values, as Great Expectations' partition object
MAX_VALUES = 50


def compute_parameters(names: Collection[str], past: Past, spark: SparkSession) -> dict[str, Any]:
    """The values of the named parameters. Empty where there is no past."""
    rows = past.rows(spark)
    if rows is None:
        return {}
    found: dict[str, Any] = {}
    if ROWS in names:
        found[ROWS] = round(median(past.rows_per_day) * past.window.days)
    columns = sorted(name.removeprefix(SHARES) for name in names if name.startswith(SHARES))
    if columns:
        frame = add_rule_columns(rows, past.window, past, COMPUTED & set(columns))
        found |= {SHARES + column: _compute_shares(frame, column) for column in columns}
    return found


def _compute_shares(frame: DataFrame, column: str) -> dict[str, list[Any]]:
    """The most frequent values and their shares, which sum to one."""
    from pyspark.sql import functions as F

    counted = frame.where(F.col(column).isNotNull()).groupBy(column).count()
    rows = counted.orderBy(F.desc("count"), column).limit(MAX_VALUES).collect()
    total = sum(row["count"] for row in rows)
    return {"values": [row[column] for row in rows], "weights": [row["count"] / total for row in rows]}

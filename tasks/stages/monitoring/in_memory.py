"""Counting by pandas, of few rows: a Spark job takes longer to start than this to end. in_spark.py counts the same of many."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.calendar import UTC_ZONE
from tasks.contracts.predictions import COLD_PATHS
from tasks.io.equality import number_equal_rows
from tasks.stages.monitoring.bins import cut_into_bins
from tasks.stages.monitoring.checks.base import NEVER_EQUAL, OF_ITS_DAY, UNIT, UNITS, Counts

if TYPE_CHECKING:
    import pandas as pd


def take_sample(
    rows: pd.DataFrame, columns: Sequence[str], seed: int, most: int, span: Window, zone: ZoneInfo = UTC_ZONE
) -> pd.DataFrame:
    """The `most` rows of the units with the smallest hash: the same ones in whatever order the rows come.

    Parameters
    ----------
    span : the local days of the current window. The rows of a user in earlier days are one unit for each span of this length.
    """
    import pandas as pd

    named = [rows[name].astype("string").radd(f"{name}:") for name in UNITS if name in rows]
    unit = named[0]
    for other in named[1:]:
        unit = unit.fillna(other)
    if c.EVENT_AT in rows:
        local = _moments(rows).dt.tz_convert(zone).dt.tz_localize(None)
        seconds = (pd.Timestamp(span.end) - local).dt.total_seconds().to_numpy(np.float64)
        place = np.nan_to_num(np.ceil(seconds / (span.days * 86_400))).astype(np.int64)
        unit = unit + "@" + pd.Series(place, index=rows.index).astype("string")
    ids = rows[c.ROW_ID].astype(str).to_numpy(dtype=object)
    units = unit.to_numpy(dtype=object)
    hashes = pd.util.hash_array(units, hash_key=f"{seed:016d}"[-16:], categorize=False)
    order = pd.DataFrame({"hash": hashes, "id": ids}).sort_values(["hash", "id"], kind="stable").index[:most]
    kept = list(dict.fromkeys([c.ROW_ID, *columns]))
    return rows[kept].iloc[order].reset_index(drop=True).assign(**{UNIT: units[order]})


def count_bins(
    reference: pd.DataFrame, current: pd.DataFrame, _sample: pd.DataFrame, columns: Sequence[str]
) -> dict[str, Counts]:
    """The rows of each side in each bin of each column."""
    if not len(reference) or not len(current):
        return {column: Counts(("(all)",), (len(reference),), (len(current),)) for column in columns}
    counted = {}
    for column in columns:
        before, now = (side.value_counts() for side in cut_into_bins(reference[column], current[column]))
        names = sorted({*before.index, *now.index})
        counted[column] = Counts(tuple(names), *(tuple(int(side.get(name, 0)) for name in names) for side in (before, now)))
    return counted


def count_days(rows: pd.DataFrame, zone: ZoneInfo) -> dict[date, int]:
    """Rows by local day of event."""
    return {day: int(count) for day, count in _moments(rows).dt.tz_convert(zone).dt.date.value_counts().items()}


def _moments(rows: pd.DataFrame) -> pd.Series:
    """When events happened, in UTC. Times that Spark wrote come without a zone."""
    import pandas as pd

    return pd.to_datetime(rows[c.EVENT_AT], utc=True)


def share_doubled(rows: pd.DataFrame) -> float:
    """The share of rows that equal an earlier one in all that was delivered."""
    if not len(rows):
        return 0.0
    (numbers,) = number_equal_rows([rows], [name for name in rows.columns if name not in NEVER_EQUAL])
    return 1 - len(np.unique(numbers)) / len(rows)


def share_repeated(previous: pd.DataFrame, current: pd.DataFrame) -> tuple[int, float]:
    """How many rows occur once in the window before, their days aside, and the share of those that are here again."""
    shared = [name for name in previous.columns if name in current.columns and name not in {*NEVER_EQUAL, *OF_ITS_DAY}]
    before, now = number_equal_rows([previous, current], shared)
    numbers, times = np.unique(before, return_counts=True)
    once = numbers[times == 1]
    return len(once), float(np.isin(once, now).mean()) if len(once) else 0.0


def measure_predictions(predictions: pd.DataFrame, rows: pd.DataFrame) -> dict[str, float]:
    """As in in_spark.py."""
    if not len(predictions):
        return {}
    subjects = predictions["subject"].nunique()
    figures = {
        "answers": float(len(predictions)),
        "subjects": float(subjects),
        "cold_share": predictions.loc[predictions["path"].isin(COLD_PATHS), "subject"].nunique() / subjects,
        "invalid_share": float((~np.isfinite(predictions[c.PREDICTION].to_numpy(np.float64))).mean()),
        "doubled_answer_share": 1 - predictions[c.ROW_ID].nunique() / len(predictions),
    }
    if c.ITEM_ID in rows and len(rows):
        items = set(rows[c.ITEM_ID])
        figures["item_coverage"] = len(items & set(predictions[c.ITEM_ID])) / len(items)
    return figures

"""Counting by pandas, of few rows: a Spark job takes longer to start than this to end. in_spark.py counts the same of many."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from tasks import columns as c
from tasks.contracts.predictions import COLD_PATHS
from tasks.io.equality import number_equal_rows
from tasks.stages.monitoring.bins import cut_into_bins
from tasks.stages.monitoring.checks.base import NEVER_EQUAL, OF_ITS_DAY, Counts

if TYPE_CHECKING:
    import pandas as pd


def take_sample(rows: pd.DataFrame, columns: Sequence[str], seed: int, most: int) -> pd.DataFrame:
    """The `most` rows with the smallest hash of their id: the same ones in whatever order the rows come."""
    import pandas as pd

    ids = rows[c.ROW_ID].astype(str)
    hashes = pd.util.hash_array(ids.to_numpy(dtype=object), hash_key=f"{seed:016d}"[-16:], categorize=False)
    order = pd.DataFrame({"hash": hashes, "id": ids.to_numpy()}).sort_values(["hash", "id"], kind="stable").index
    return rows[list(dict.fromkeys([c.ROW_ID, *columns]))].iloc[order[:most]].reset_index(drop=True)


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


def count_days(rows: pd.DataFrame) -> dict[date, int]:
    """Rows by day of event."""
    return {day: int(count) for day, count in rows[c.EVENT_AT].dt.date.value_counts().items()}


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

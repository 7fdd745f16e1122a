"""What chance alone does to windows of baskets."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.monitoring import CheckResult
from tasks.stages.monitoring import in_memory, in_spark
from tasks.stages.monitoring.checks.base import UNIT
from tasks.stages.monitoring.checks.distributions import ColumnDrift
from tasks.stages.monitoring.checks.faults import MissingValues
from tasks.stages.monitoring.evidence import ComparedRows, gather
from tasks.stages.monitoring.judging import judge
from tests.tasks.stages.monitoring.samples import to_spark

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

WEEK = Window(start=date(2024, 2, 26), end=date(2024, 3, 4))
COUNTRIES = ["here", "north", "south", "abroad"]


def make_baskets(seed: int, baskets: int, *, named: str = c.EVENT_ID, abroad: float = 0.1, lines: int = 8) -> pd.DataFrame:
    """Lines whose country and missing price are those of their basket."""
    random = np.random.default_rng(seed)
    basket = np.repeat(np.arange(baskets), random.integers(1, 2 * lines, baskets))
    country = random.choice(COUNTRIES, baskets, p=[0.9 - abroad, 0.06, 0.04, abroad])
    missing = random.random(baskets) < 0.25
    return pd.DataFrame(
        {
            c.ROW_ID: [f"{seed}:{line}" for line in range(len(basket))],
            c.EVENT_AT: pd.Series(pd.Timestamp("2024-02-27", tz="UTC"), index=range(len(basket))),
            named: [f"b{one}" for one in basket],
            c.SEGMENT: country[basket].astype(object),
            c.UNIT_PRICE: np.where(missing[basket], np.nan, 2.5),
        }
    )


def judge_baskets(check: ColumnDrift | MissingValues, reference: pd.DataFrame, current: pd.DataFrame) -> CheckResult:
    rows = ComparedRows(WEEK, {"rows": reference}, {"rows": current})
    (result,) = judge([check], gather([check], rows))
    return result


@pytest.mark.parametrize("named", [c.EVENT_ID, c.USER_ID])
def test_chance_violates_at_about_the_stated_rate(named: str) -> None:
    """60 windows of 60 baskets without drift: their distance passes the threshold alone in most, the draws in one of ten."""
    check = ColumnDrift(columns=(c.SEGMENT,), method="jensenshannon", threshold=0.02, error=0.1)
    results = []
    for seed in range(60):
        reference = make_baskets(1_000 + seed // 10, 240, named=named, lines=4)
        results.append(judge_baskets(check, reference, make_baskets(seed, 60, named=named, lines=4)))
    assert np.mean([one.value >= 0.02 for one in results]) > 0.6
    assert 0.03 <= np.mean([one.violated for one in results]) <= 0.2


def test_lines_that_are_taken_for_independent_are_violated_by_chance() -> None:
    """The broken twin: without the baskets' names each line is a unit, and chance looks much smaller than it is."""
    check = ColumnDrift(columns=(c.SEGMENT,), method="jensenshannon", threshold=0.02, error=0.1)
    reference = make_baskets(1_000, 480)
    alone = [
        judge_baskets(check, reference.drop(columns=c.EVENT_ID), make_baskets(seed, 60).drop(columns=c.EVENT_ID))
        for seed in range(12)
    ]
    assert np.mean([one.violated for one in alone]) > 0.3


def test_true_drift_exceeds_chance() -> None:
    check = ColumnDrift(columns=(c.SEGMENT,), method="jensenshannon", threshold=0.1)
    reference = make_baskets(1_000, 480)
    results = [judge_baskets(check, reference, make_baskets(seed, 120, abroad=0.5)) for seed in range(10)]
    assert all(one.violated and one.threshold < 0.25 for one in results)
    assert not judge_baskets(check, reference, make_baskets(1, 40, abroad=0.5)).violated, "too few baskets"


def test_the_threshold_is_of_the_drift_alone() -> None:
    """Chance adds to a distance, and its mean to the threshold: by squares for Jensen-Shannon, by itself for PSI."""
    reference = make_baskets(1_000, 480)
    current = make_baskets(3, 240, abroad=0.6)
    squares = judge_baskets(
        ColumnDrift(columns=(c.SEGMENT,), method="jensenshannon", threshold=0.2, error=0.1), reference, current
    )
    plain = judge_baskets(ColumnDrift(columns=(c.SEGMENT,), method="psi", threshold=0.4, error=0.1), reference, current)
    assert squares.violated and 0.2 < squares.threshold < 0.23
    assert plain.violated and 0.4 < plain.threshold < 0.5
    calm = judge_baskets(ColumnDrift(columns=(c.SEGMENT,), method="psi", threshold=9.0), reference, current)
    assert (calm.violated, calm.threshold) == (False, 9.0), "nothing is drawn below the threshold"


def test_missing_values_of_few_baskets_are_chance() -> None:
    """A quarter of the baskets has no price. In ten baskets half of the lines lack it at times; all of them are a fault."""
    check = MissingValues(columns=(c.UNIT_PRICE,), threshold=0.2, error=0.01)
    reference = make_baskets(1_000, 480)
    results = [judge_baskets(check, reference, make_baskets(seed, 10)) for seed in range(60)]
    assert np.mean([one.value >= 0.2 for one in results]) > 0.08
    assert np.mean([one.violated for one in results]) <= 0.05
    lost = make_baskets(1, 10).assign(**{c.UNIT_PRICE: np.nan})
    assert judge_baskets(check, reference, lost).violated


def test_users_of_one_span_are_units_in_pandas_and_spark(spark: SparkSession) -> None:
    """A user's rows of one week are one unit, of two weeks two; without a user the event counts, and without both the row."""
    rows = pd.DataFrame(
        {
            c.ROW_ID: list("abcdefg"),
            c.EVENT_AT: pd.Series(
                ["2024-02-26", "2024-03-03T23:59", "2024-02-25T23:59", "2024-02-26", "2024-02-27", "2024-02-26", None]
            ).astype("datetime64[us, UTC]"),
            c.USER_ID: ["u", "u", "u", None, None, None, "u"],
            c.EVENT_ID: ["1", "2", "3", "4", "4", None, "5"],
            c.QUANTITY: 1.0,
        }
    )
    expected = {
        "a": "user_id:u@1",
        "b": "user_id:u@1",
        "c": "user_id:u@2",
        "d": "event_id:4@1",
        "e": "event_id:4@1",
        "f": "row_id:f@1",
        "g": "user_id:u@0",
    }
    naive = rows.assign(**{c.EVENT_AT: rows[c.EVENT_AT].dt.tz_localize(None)})  # as Spark wrote it
    for by, frame in ((in_memory, rows), (in_memory, naive), (in_spark, to_spark(spark, rows))):
        sample = by.take_sample(frame, [c.QUANTITY], seed=7, most=100, span=WEEK)
        assert dict(zip(sample[c.ROW_ID], sample[UNIT], strict=True)) == expected


def test_samples_hold_whole_units() -> None:
    rows = make_baskets(1, 300)
    sample = in_memory.take_sample(rows, [c.SEGMENT], seed=7, most=500, span=WEEK)
    sizes, whole = sample[UNIT].value_counts(), rows[c.EVENT_ID].value_counts()
    cut = [unit for unit, size in sizes.items() if size < whole[str(unit).removeprefix("event_id:").removesuffix("@1")]]
    assert len(sample) == 500 and len(cut) <= 1

"""Good rows break no rule. That each rule refuses its broken twin, and nothing else does, is proved in tests/proof."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession
from pyspark.sql.classic.dataframe import DataFrame

from tasks import columns as c
from tests.tasks.stages.validation.suite_runner import NAMES, judge, judge_twins, load
from tests.tasks.stages.validation.twins import BROKEN_BATCHES, BROKEN_ROWS, GOOD


@pytest.mark.parametrize("name", NAMES)
def test_good_rows_break_nothing(name: str, spark: SparkSession) -> None:
    good = GOOD[name]()
    results, rules_of_row = judge(spark, load(name), good, good[0])
    assert [result.rule for result in results.values() if not result.passed] == []
    assert rules_of_row == {}
    assert not {row[c.ROW_ID] for row in good} & set(judge_twins(spark, name)[1])


@pytest.mark.parametrize("name", NAMES)
def test_every_twin_has_a_rule(name: str) -> None:
    rules = {rule.rule for rule in load(name).rules}
    assert set(BROKEN_ROWS[name]) | set(BROKEN_BATCHES[name]) == rules


@pytest.mark.parametrize("is_skipped", [True, False])
def test_no_query_is_made_for_values_that_are_not_wanted(
    is_skipped: bool, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Great Expectations queries no row of each rule's broken values. Without our change it still does."""
    limits, limit = [], DataFrame.limit

    def record(self: DataFrame, count: int) -> DataFrame:
        limits.append(count)
        return limit(self, count)

    monkeypatch.setattr(DataFrame, "limit", record)
    if not is_skipped:
        monkeypatch.setattr("tasks.stages.validation.checks._skip_unwanted_values", lambda engine: None)
    good = GOOD["ratings"]()
    results, _ = judge(spark, load("ratings"), good, good[0])
    assert all(result.passed for result in results.values())
    assert (0 in limits) is not is_skipped

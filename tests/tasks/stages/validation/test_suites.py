"""Good rows break no rule. That each rule refuses its broken twin, and nothing else does, is proved in tests/proof."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

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

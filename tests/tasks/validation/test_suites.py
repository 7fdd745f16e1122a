"""Every rule of every suite is seen to refuse something. A rule without a broken twin fails here by itself."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as t

from tasks import columns as c
from tasks.contracts import RuleResult, Severity
from tasks.settings import ROOT
from tasks.validation.checks import add_rule_columns, check_rules
from tasks.validation.suite import Rule, Suite, load_suite
from tests.tasks.validation.twins import BROKEN_BATCHES, BROKEN_ROWS, GOOD, Row

SUITES = ROOT / "expectations"
NAMES = sorted(path.stem for path in SUITES.glob("*.yaml"))
load = lru_cache(lambda name: load_suite(name, Path(SUITES)))
RULES = [(name, rule) for name in NAMES for rule in load(name).rules]
each_rule = pytest.mark.parametrize(("name", "rule"), RULES, ids=[f"{name}-{rule.rule}" for name, rule in RULES])
_judged: dict[str, tuple[dict[str, RuleResult], dict[str, list[str]]]] = {}


def to_frame(spark: SparkSession, rows: list[Row], like: Row) -> DataFrame:
    kinds = {c.EVENT_AT: t.TimestampType(), c.INGESTED_AT: t.TimestampType(), c.TARGET: t.LongType()}
    texts = {*c.INTERACTION_COLUMNS} - {c.QUANTITY, c.UNIT_PRICE, c.VALUE}
    schema = [t.StructField(n, kinds.get(n, t.StringType() if n in texts else t.DoubleType())) for n in like]
    return spark.createDataFrame([tuple(row.values()) for row in rows], t.StructType(schema))


def judge(spark: SparkSession, suite: Suite, rows: list[Row], like: Row) -> tuple[dict[str, RuleResult], dict[str, list[str]]]:
    frame = add_rule_columns(to_frame(spark, rows, like)).persist()
    results, rules_of_row = check_rules(frame, suite, len(rows))
    frame.unpersist()
    return {result.rule: result for result in results}, rules_of_row


def twin_id(row: Row, place: int) -> str:
    return f"{row[c.SOURCE_FILE]}:{1000 + place}"


def judge_twins(spark: SparkSession, name: str) -> tuple[dict[str, RuleResult], dict[str, list[str]]]:
    """All broken rows of a suite behind its good ones, judged at once."""
    if name not in _judged:
        good = GOOD[name]()
        twins = [
            {**good[0], c.ROW_ID: twin_id(good[0], place), c.AS_IT_CAME: f'{{"twin":"{place}"}}', **change}
            for place, change in enumerate(BROKEN_ROWS[name].values())
        ]
        _judged[name] = judge(spark, load(name), good + twins, good[0])
    return _judged[name]


@each_rule
def test_a_broken_twin_breaks_exactly_its_rule(name: str, rule: Rule, spark: SparkSession) -> None:
    if rule.severity is Severity.BATCH:
        assert rule.rule in BROKEN_BATCHES[name], "give the rule a broken batch in twins.py"
        good = GOOD[name]()
        results, rules_of_row = judge(spark, load(name), BROKEN_BATCHES[name][rule.rule](good), good[0])
        assert [result.rule for result in results.values() if not result.passed] == [rule.rule]
        assert rules_of_row == {}
        return
    assert rule.rule in BROKEN_ROWS[name], "give the rule a broken row in twins.py"
    results, rules_of_row = judge_twins(spark, name)
    twin = twin_id(GOOD[name]()[0], list(BROKEN_ROWS[name]).index(rule.rule))
    assert rules_of_row.get(twin, []) == ([rule.rule] if rule.severity is Severity.ROW else [])
    assert (results[rule.rule].passed, results[rule.rule].broken_rows) == (False, 1)


@pytest.mark.parametrize("name", NAMES)
def test_good_rows_break_nothing(name: str, spark: SparkSession) -> None:
    good = GOOD[name]()
    results, rules_of_row = judge(spark, load(name), good, good[0])
    assert [result.rule for result in results.values() if not result.passed] == []
    assert rules_of_row == {}
    assert not {row[c.ROW_ID] for row in good} & set(judge_twins(spark, name)[1])


@pytest.mark.parametrize("name", NAMES)
def test_no_twin_without_its_rule(name: str) -> None:
    rules = {rule.rule for rule in load(name).rules}
    assert set(BROKEN_ROWS[name]) | set(BROKEN_BATCHES[name]) == rules

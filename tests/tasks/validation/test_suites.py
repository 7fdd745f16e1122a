"""Every rule of every suite is seen to refuse something. A rule without a broken twin fails here by itself."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as t

from tasks import columns as c
from tasks.contracts import RuleResult, Severity, Window
from tasks.settings import ROOT
from tasks.storage import frame_writer
from tasks.validation.checks import check_rules
from tasks.validation.computed import add_rule_columns
from tasks.validation.past import Past
from tasks.validation.suite import Rule, load_suite
from tests.tasks.validation.twins import BROKEN_BATCHES, BROKEN_ROWS, DELIVERED, GOOD, UNUSUAL, USUAL, Row

WINDOW = Window(start=date(2011, 3, 7), end=date(2011, 3, 8))
SUITES = ROOT / "expectations"
NAMES = sorted(path.stem for path in SUITES.glob("*.yaml"))
load = lru_cache(lambda name: load_suite(name, Path(SUITES)))
RULES = [(name, rule) for name in NAMES for rule in load(name).rules]
each_rule = pytest.mark.parametrize(("name", "rule"), RULES, ids=[f"{name}-{rule.rule}" for name, rule in RULES])
_judged: dict[str, tuple[dict[str, RuleResult], dict[str, list[str]]]] = {}


def to_frame(spark: SparkSession, rows: list[Row], like: Row) -> DataFrame:
    kinds = {c.EVENT_AT: t.TimestampType(), c.INGESTED_AT: t.TimestampType(), c.TARGET: t.LongType()}
    texts = {*c.INTERACTION_COLUMNS} - {c.QUANTITY, c.UNIT_PRICE, c.VALUE}
    kinds |= {name: t.StringType() for name in kinds if isinstance(like.get(name), str)}
    schema = [t.StructField(n, kinds.get(n, t.StringType() if n in texts else t.DoubleType())) for n in like]
    return spark.createDataFrame([tuple(row.values()) for row in rows], t.StructType(schema))


def past(spark: SparkSession) -> Past:
    """One row that was delivered before."""
    folder = Path(mkdtemp())
    row = {c.AS_IT_CAME: DELIVERED, c.EVENT_TYPE: c.PURCHASE, c.ITEM_ID: "1"}
    frame_writer(pd.DataFrame([row]))(folder / "rows")
    return Past(WINDOW, (folder / "rows",))


def judge(
    spark: SparkSession, name: str, rows: list[Row], like: Row, **unusual: Any
) -> tuple[dict[str, RuleResult], dict[str, list[str]]]:
    suite, frame = load(name), to_frame(spark, rows, like)
    frame = add_rule_columns(frame, WINDOW, past(spark), suite.columns).persist()
    judgement = check_rules(frame, suite, len(rows), {**USUAL[name], **unusual})
    broken = (
        {} if judgement.broken is None else {r[c.ROW_ID]: r[c.BROKEN_RULES].split(", ") for r in judgement.broken.collect()}
    )
    assert judgement.quarantined == len(broken)
    frame.unpersist()
    return {result.rule: result for result in judgement.results}, broken


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
        _judged[name] = judge(spark, name, good + twins, good[0])
    return _judged[name]


@each_rule
def test_a_broken_twin_breaks_exactly_its_rule(name: str, rule: Rule, spark: SparkSession) -> None:
    if rule.rule in BROKEN_BATCHES[name]:
        good = GOOD[name]()
        rows = BROKEN_BATCHES[name][rule.rule](good)
        results, rules_of_row = judge(spark, name, rows, rows[0] if rows else good[0], **UNUSUAL.get(rule.rule, {}))
        also = {"volume_like_the_past"} if rule.rule == "some_lines_came" else set()
        broken = {result.rule for result in results.values() if not result.passed}
        assert rule.rule in broken and broken - also == {rule.rule}
        assert rules_of_row == {}
        return
    assert rule.severity is not Severity.BATCH, "give the rule a broken batch in twins.py"
    assert rule.rule in BROKEN_ROWS[name], "give the rule a broken row in twins.py"
    results, rules_of_row = judge_twins(spark, name)
    twin = twin_id(GOOD[name]()[0], list(BROKEN_ROWS[name]).index(rule.rule))
    assert rules_of_row.get(twin, []) == ([rule.rule] if rule.severity is Severity.ROW else [])
    assert (results[rule.rule].passed, results[rule.rule].broken_rows) == (False, 1)


@pytest.mark.parametrize("name", NAMES)
def test_good_rows_break_nothing(name: str, spark: SparkSession) -> None:
    good = GOOD[name]()
    results, rules_of_row = judge(spark, name, good, good[0])
    assert [result.rule for result in results.values() if not result.passed] == []
    assert rules_of_row == {}
    assert not {row[c.ROW_ID] for row in good} & set(judge_twins(spark, name)[1])


@pytest.mark.parametrize("name", NAMES)
def test_no_twin_without_its_rule(name: str) -> None:
    rules = {rule.rule for rule in load(name).rules}
    assert set(BROKEN_ROWS[name]) | set(BROKEN_BATCHES[name]) == rules
    assert set(UNUSUAL) <= {rule.rule for _, rule in RULES if rule.parameter_names}


def test_a_rule_about_the_past_is_not_judged_where_nothing_came_before(spark: SparkSession) -> None:
    good = GOOD["invoice_lines"]()
    suite, frame = load("invoice_lines"), to_frame(spark, good, good[0])
    frame = add_rule_columns(frame, WINDOW, Past(WINDOW), suite.columns)
    told = {result.rule: result for result in check_rules(frame, suite, len(good), {}).results}
    for rule in ("volume_like_the_past", "prices_like_the_past"):
        assert told[rule].passed and told[rule].observed == "not judged: nothing came before"
    assert not told["lines_are_fresh"].observed.startswith("not judged")

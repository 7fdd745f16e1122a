"""Suites, asked about rows in memory: all broken rows of a suite are judged at once, behind its good ones."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as t

from tasks import columns as c
from tasks.contracts import RuleResult
from tasks.settings import ROOT
from tasks.validation.checks import add_rule_columns, check_rules
from tasks.validation.suite import Suite, load_suite
from tests.tasks.validation.twins import BROKEN_ROWS, GOOD, Row

SUITES = ROOT / "expectations"
NAMES = sorted(path.stem for path in SUITES.glob("*.yaml"))
load = lru_cache(lambda name: load_suite(name, Path(SUITES)))
Judged = tuple[dict[str, RuleResult], dict[str, list[str]]]
_judged: dict[str, Judged] = {}


def to_frame(spark: SparkSession, rows: list[Row], like: Row) -> DataFrame:
    kinds = {c.EVENT_AT: t.TimestampType(), c.INGESTED_AT: t.TimestampType(), c.TARGET: t.LongType()}
    texts = {*c.INTERACTION_COLUMNS} - {c.QUANTITY, c.UNIT_PRICE, c.VALUE}
    schema = [t.StructField(n, kinds.get(n, t.StringType() if n in texts else t.DoubleType())) for n in like]
    return spark.createDataFrame([tuple(row.values()) for row in rows], t.StructType(schema))


def judge(spark: SparkSession, suite: Suite, rows: list[Row], like: Row) -> Judged:
    frame = add_rule_columns(to_frame(spark, rows, like)).persist()
    results, rules_of_row = check_rules(frame, suite, len(rows))
    frame.unpersist()
    return {result.rule: result for result in results}, rules_of_row


def twin_id(row: Row, place: int) -> str:
    return f"{row[c.SOURCE_FILE]}:{1000 + place}"


def judge_twins(spark: SparkSession, name: str) -> Judged:
    """All broken rows of a suite behind its good ones, judged at once."""
    if name not in _judged:
        good = GOOD[name]()
        twins = [
            {**good[0], c.ROW_ID: twin_id(good[0], place), c.AS_IT_CAME: f'{{"twin":"{place}"}}', **change}
            for place, change in enumerate(BROKEN_ROWS[name].values())
        ]
        _judged[name] = judge(spark, load(name), good + twins, good[0])
    return _judged[name]

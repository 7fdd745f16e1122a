"""Suites checked on rows in memory: all broken rows of a suite are judged at once, behind its good ones."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as t

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.data import RuleResult
from tasks.io.storage import frame_writer
from tasks.settings import ROOT
from tasks.stages.validation.checks import check_rules
from tasks.stages.validation.computed import add_rule_columns
from tasks.stages.validation.past import Past
from tasks.stages.validation.suite import Suite, load_suite
from tests.tasks.stages.validation.twins import BROKEN_ROWS, DELIVERED, GOOD, USUAL, Row

WINDOW = Window(start=date(2011, 3, 7), end=date(2011, 3, 8))
SUITES = ROOT / "expectations"
NAMES = sorted(path.stem for path in SUITES.glob("*.yaml"))
load = lru_cache(lambda name: load_suite(name, Path(SUITES)))
Judged = tuple[dict[str, RuleResult], dict[str, list[str]]]
_judged: dict[str, Judged] = {}


def to_frame(spark: SparkSession, rows: list[Row], like: Row) -> DataFrame:
    kinds = {c.EVENT_AT: t.TimestampType(), c.INGESTED_AT: t.TimestampType(), c.TARGET: t.LongType()}
    kinds |= {name: t.StringType() for name in kinds if isinstance(like.get(name), str)}
    texts = {*c.INTERACTION_COLUMNS} - {c.QUANTITY, c.UNIT_PRICE, c.VALUE}
    schema = [t.StructField(n, kinds.get(n, t.StringType() if n in texts else t.DoubleType())) for n in like]
    return spark.createDataFrame([tuple(row.values()) for row in rows], t.StructType(schema))


@lru_cache
def past() -> Past:
    """One row that was delivered before."""
    folder = Path(mkdtemp()) / "rows"
    frame_writer(pd.DataFrame([{c.AS_IT_CAME: DELIVERED, c.EVENT_TYPE: c.PURCHASE, c.ITEM_ID: "1"}]))(folder)
    return Past(WINDOW, (folder,))


def judge(spark: SparkSession, suite: Suite, rows: list[Row], like: Row, **unusual: Any) -> Judged:
    """Each rule's result, and the rules that each broken row broke; `unusual` is what the past gives for once."""
    frame = add_rule_columns(to_frame(spark, rows, like), WINDOW, past(), suite.columns).persist()
    with check_rules(frame, suite, len(rows), {**USUAL[suite.dataset], **unusual}) as judgement:
        collected = [] if judgement.broken is None else judgement.broken.collect()
        broken = {row[c.ROW_ID]: row[c.BROKEN_RULES].split(", ") for row in collected}
        assert judgement.quarantined == len(broken)
    frame.unpersist()
    return {result.rule: result for result in judgement.results}, broken


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

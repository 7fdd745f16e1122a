"""The core of the room: which rows of a frame break which rules of a suite, judged by Great Expectations on Spark."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tasks import columns as c
from tasks.contracts import RuleResult, Severity
from tasks.errors import ConfigurationError
from tasks.validation.suite import Rule, Suite, build_expectation, load_great_expectations

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

DUPLICATE_NUMBER = "duplicate_number"  # long, 1 for the first of equal rows of a file
SIGN_AGREES = "sign_agrees"  # boolean or null: more than 0 pieces in a purchase, fewer in a return
MISSING_FEATURES = "missing_features"  # long, how many features of a tabular row are null or not finite
LEAST_FEATURE = "least_feature"  # double, the smallest feature of a tabular row


def add_rule_columns(frame: DataFrame) -> DataFrame:
    """Add the columns that rules may name besides the canonical ones."""
    from pyspark.sql import Window as Over
    from pyspark.sql import functions as F

    place = F.substring_index(c.ROW_ID, ":", -1).cast("long")
    same = Over.partitionBy(c.SOURCE_FILE, c.AS_IT_CAME).orderBy(place)
    frame = frame.withColumn(DUPLICATE_NUMBER, F.row_number().over(same).cast("long"))
    if c.TARGET in frame.columns:
        known = {*c.TABULAR_COLUMNS, DUPLICATE_NUMBER}
        features = [F.col(f"`{name}`").cast("double") for name in frame.columns if name not in known]
        infinite = F.lit(float("inf"))
        missing = [
            F.when(feature.isNull() | F.isnan(feature) | (F.abs(feature) == infinite), 1).otherwise(0) for feature in features
        ]
        return frame.withColumn(MISSING_FEATURES, sum(missing, F.lit(0)).cast("long")).withColumn(
            LEAST_FEATURE, F.array_min(F.array(*features))
        )
    positive = F.when(F.col(c.QUANTITY) != 0, F.col(c.QUANTITY) > 0)
    agrees = F.when(F.col(c.EVENT_TYPE) == c.PURCHASE, positive).when(F.col(c.EVENT_TYPE) == c.RETURN, ~positive)
    return frame.withColumn(SIGN_AGREES, agrees)


def check_rules(frame: DataFrame, suite: Suite, rows: int) -> tuple[list[RuleResult], dict[str, list[str]]]:
    """Every rule's result, and for each row that broke row rules their names, sorted.

    The cheap question (does it hold at all?) goes to all row rules at once, and only those that do not hold are asked
    which rows broke them: most rules hold on most days.
    """
    where = f"{suite.dataset}.yaml"
    _check_columns(frame, suite, where)
    by_severity: dict[bool, list[Rule]] = defaultdict(list)
    for rule in suite.rules:
        by_severity[rule.severity is Severity.ROW].append(rule)
    holds = _ask(frame, by_severity[True], where, {"result_format": "BOOLEAN_ONLY"})
    broken = [rule for rule in by_severity[True] if not holds[rule.rule].success]
    who = {"result_format": "COMPLETE", "unexpected_index_column_names": [c.ROW_ID], "return_unexpected_index_query": False}
    found = {
        **holds,
        **_ask(frame, broken, where, who),
        **_ask(frame, by_severity[False], where, {"result_format": "SUMMARY"}),
    }
    rules_of_row: dict[str, list[str]] = defaultdict(list)
    for rule in sorted(broken, key=lambda rule: rule.rule):
        for row in found[rule.rule].result["unexpected_index_list"]:
            rules_of_row[row[c.ROW_ID]].append(rule.rule)
    return [_summarize(rule, found[rule.rule], rows) for rule in suite.rules], dict(rules_of_row)


def split_rows(rows: DataFrame, rules_of_row: dict[str, list[str]]) -> tuple[DataFrame, DataFrame]:
    """The rows that broke nothing, all columns; and for quarantine those that did, as they came, with their rules."""
    import pandas as pd

    ids = sorted(rules_of_row)
    table = pd.DataFrame({c.ROW_ID: ids, c.BROKEN_RULES: [", ".join(rules_of_row[row]) for row in ids]}, dtype="object")
    broken = rows.sparkSession.createDataFrame(table, f"{c.ROW_ID} string, {c.BROKEN_RULES} string")
    good = rows.join(broken, c.ROW_ID, "left_anti").select(*[f"`{name}`" for name in rows.columns]) if ids else rows
    bad = rows.join(broken, c.ROW_ID).select(c.ROW_ID, c.SOURCE_FILE, c.INGESTED_AT, c.AS_IT_CAME, c.BROKEN_RULES)
    return good, bad


def _check_columns(frame: DataFrame, suite: Suite, where: str) -> None:
    for rule in suite.rules:
        for column in rule.columns:
            if column not in frame.columns:
                close = difflib.get_close_matches(column, frame.columns, n=3) or sorted(frame.columns)
                raise ConfigurationError(f"{where}: rules: {rule.rule}: no column {column!r}; there are: {', '.join(close)}")


def _ask(frame: DataFrame, rules: Sequence[Rule], where: str, result_format: dict[str, Any]) -> dict[str, Any]:
    """Rule name -> Great Expectations' result."""
    if not rules:
        return {}
    gx = load_great_expectations()
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_spark("frame", persist=False).add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    expectations = [build_expectation(rule, where) for rule in rules]
    outcome = batch.validate(gx.ExpectationSuite("rules", expectations=expectations), result_format=result_format)
    results = {result.expectation_config.meta["rule"]: result for result in outcome.results}
    for name, result in results.items():
        _refuse_exception(name, result.exception_info, where)
    return results


def _refuse_exception(rule: str, told: dict[str, Any], where: str) -> None:
    """An expectation that could not be computed is no answer, neither yes nor no."""
    faults = [told] if "raised_exception" in told else list(told.values())
    for fault in faults:
        if fault["raised_exception"]:
            raise ConfigurationError(f"{where}: rules: {rule}: could not be computed: {fault['exception_message']}")


def _summarize(rule: Rule, result: Any, rows: int) -> RuleResult:
    """One line of the report. What is observed must not depend on the order of rows: it is part of a snapshot's version."""
    told = result.result
    ids = sorted((row[c.ROW_ID] for row in told.get("unexpected_index_list") or ()), key=_by_place)
    observed = told.get("observed_value")
    return RuleResult(
        rule=rule.rule,
        expectation=rule.expect,
        severity=rule.severity,
        passed=bool(result.success),
        broken_rows=int(told.get("unexpected_count") or 0),
        rows=rows,
        observed=", ".join(ids[:3]) if ids else _as_text(observed),
        reason=rule.reason,
    )


def _by_place(row_id: str) -> tuple[str, int]:
    file, _, place = row_id.rpartition(":")
    return file, int(place)


def _as_text(observed: Any) -> str:
    if observed is None:
        return ""
    if isinstance(observed, float):
        return f"{observed:.6g}"  # the last digits of a sum depend on who added first
    return str(sorted(observed, key=str) if isinstance(observed, list | set | tuple) else observed)

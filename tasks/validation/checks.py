"""The core of the room: which rows of a frame break which rules of a suite, judged by Great Expectations on Spark."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

from tasks import columns as c
from tasks.contracts import RuleResult, Severity
from tasks.errors import ConfigurationError, SnapshotError
from tasks.validation.suite import Rule, Suite, build_expectation, load_great_expectations

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

EXAMPLES = 3  # ids of broken rows that the report names for each rule
NOT_JUDGED = {True: "not judged: nothing came before", False: "not judged: no rows came"}
BRIEF = {"result_format": "BASIC", "partial_unexpected_count": 20}


@dataclass(frozen=True)
class Judgement:
    """What a suite found. `broken`: `row_id`, `broken_rules` (names, sorted, joined by ", "); `document`: for Data Docs."""

    results: tuple[RuleResult, ...]
    broken: DataFrame | None
    quarantined: int
    document: Any


def check_rules(frame: DataFrame, suite: Suite, rows: int, parameters: Mapping[str, Any]) -> Judgement:
    """Every rule's result, and the rows that broke row rules. No row is collected, however many are bad.

    The cheap question (does it hold at all?) goes to all row rules at once, and only those that do not hold are asked
    which rows broke them: most rules hold on most days. A rule that asks for a parameter which the past does not give
    (nothing came before) is not judged, nor is one about columns where there are no rows, and their results say so.

    Parameters
    ----------
    frame : the rows with the columns that rules may name; read several times, so cached by the caller.
    parameters : what stands for `{$PARAMETER: name}` in rules.
    """
    where = f"{suite.dataset}.yaml"
    _check_columns(frame, suite, where)
    judged = [rule for rule in suite.rules if rule.parameter_names <= parameters.keys() and (rows or not rule.columns)]
    row_rules = [rule for rule in judged if rule.severity is Severity.ROW]
    asked = _Asked(frame, where, parameters)
    holds = asked.ask(row_rules, {"result_format": "BOOLEAN_ONLY"})
    broken = sorted((rule for rule in row_rules if not holds[rule.rule].success), key=lambda rule: rule.rule)
    others = [rule for rule in judged if rule.severity is not Severity.ROW]
    found = {**holds, **asked.ask([*broken, *others], BRIEF)}

    counts: dict[str, int] = {}
    examples: dict[str, list[str]] = {}
    quarantined, broken_rows = 0, None
    if broken:
        pairs = asked.broken_by_rule(broken).cache()
        try:
            counts, examples = _count(pairs)
        finally:
            pairs.unpersist()
        _check_counts(counts, found, broken, where)
        broken_rows = _by_row(asked.broken_by_rule(broken))
        quarantined = broken_rows.count()
    results = [_summarize(rule, found.get(rule.rule), rows, counts, examples) for rule in suite.rules]
    return Judgement(tuple(results), broken_rows, quarantined, asked.document(suite, found))


def split_rows(rows: DataFrame, judgement: Judgement) -> tuple[DataFrame, DataFrame]:
    """The rows that broke nothing, all columns; and for quarantine those that did, as they came, with their rules."""
    broken = judgement.broken
    if broken is None:
        broken = rows.sparkSession.createDataFrame([], f"{c.ROW_ID} string, {c.BROKEN_RULES} string")
        good = rows
    else:
        good = rows.join(broken, c.ROW_ID, "left_anti").select(*[f"`{name}`" for name in rows.columns])
    bad = rows.join(broken, c.ROW_ID).select(c.ROW_ID, c.SOURCE_FILE, c.INGESTED_AT, c.AS_IT_CAME, c.BROKEN_RULES)
    return good, bad


class _Asked:
    """One batch of Great Expectations, asked several times."""

    def __init__(self, frame: DataFrame, where: str, parameters: Mapping[str, Any]) -> None:
        self._gx = load_great_expectations()
        from great_expectations.data_context.types.base import ProgressBarsConfig

        context = self._gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        asset = context.data_sources.add_spark("frame", persist=False).add_dataframe_asset("rows")
        self._batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
        self._where, self._parameters = where, dict(parameters)
        self._told: dict[str, Any] = {}

    def ask(self, rules: Sequence[Rule], result_format: dict[str, Any]) -> dict[str, Any]:
        """Rule name -> Great Expectations' result."""
        if not rules:
            return {}
        expectations = [build_expectation(rule, self._where) for rule in rules]
        outcome = self._batch.validate(
            self._gx.ExpectationSuite("rules", expectations=expectations),
            expectation_parameters=self._parameters, result_format=result_format,
        )  # fmt: skip
        self._told = outcome.meta
        results = {result.expectation_config.meta["rule"]: result for result in outcome.results}
        for name, result in results.items():
            _refuse_exception(name, result.exception_info, self._where)
        return results

    def broken_by_rule(self, rules: Sequence[Rule]) -> DataFrame:
        """`row_id`, `rule` of every breach: the very condition and domain by which Great Expectations counted them."""
        from great_expectations.expectations.registry import get_metric_kwargs
        from great_expectations.validator.metric_configuration import MetricConfiguration
        from great_expectations.validator.metrics_calculator import MetricsCalculator
        from pyspark.sql import functions as F

        engine = self._batch.data.execution_engine
        calculator = MetricsCalculator(engine, show_progress_bars=False)
        parts = []
        for rule in rules:
            expectation = build_expectation(rule, self._where)
            configuration = expectation.configuration
            name = f"{expectation.map_metric}.condition"
            told = get_metric_kwargs(name, configuration, {})
            metric = MetricConfiguration(name, told["metric_domain_kwargs"], told["metric_value_kwargs"])
            condition, domain, _ = calculator.compute_metrics([metric])[0][metric.id]
            records = engine.get_domain_records(domain_kwargs=domain)
            parts.append(records.where(condition).select(c.ROW_ID, F.lit(rule.rule).alias("rule")))
        return reduce(lambda one, other: one.unionByName(other), parts)

    def document(self, suite: Suite, found: Mapping[str, Any]) -> Any:
        """All results as one, in the order of the suite."""
        results = [found[rule.rule] for rule in suite.rules if rule.rule in found]
        held = sum(bool(result.success) for result in results)
        return self._gx.core.ExpectationSuiteValidationResult(
            success=held == len(results), results=results, suite_name=suite.dataset, meta={**self._told},
            statistics={
                "evaluated_expectations": len(results), "successful_expectations": held,
                "unsuccessful_expectations": len(results) - held, "success_percent": 100.0 * held / max(len(results), 1),
            },
        )  # fmt: skip


def _by_row(pairs: DataFrame) -> DataFrame:
    from pyspark.sql import functions as F

    rules = F.concat_ws(", ", F.array_sort(F.collect_set("rule")))
    return pairs.groupBy(c.ROW_ID).agg(rules.alias(c.BROKEN_RULES))


def _count(pairs: DataFrame) -> tuple[dict[str, int], dict[str, list[str]]]:
    """Breaches of each rule, and the first few rows that broke it, by file and place."""
    from pyspark.sql import Window as Over
    from pyspark.sql import functions as F

    file, place = F.regexp_replace(c.ROW_ID, ":[^:]*$", ""), F.substring_index(c.ROW_ID, ":", -1).cast("long")
    over = Over.partitionBy("rule")
    ranked = pairs.select(
        "rule", c.ROW_ID, F.count(F.lit(1)).over(over).alias("rows"),
        F.row_number().over(over.orderBy(file, place, c.ROW_ID)).alias("rank"),
    )  # fmt: skip
    counts: dict[str, int] = {}
    examples: dict[str, list[str]] = defaultdict(list)
    for row in ranked.where(F.col("rank") <= EXAMPLES).orderBy("rule", "rank").collect():
        counts[row["rule"]] = row["rows"]
        examples[row["rule"]].append(row[c.ROW_ID])
    return counts, examples


def _check_counts(counts: Mapping[str, int], found: Mapping[str, Any], broken: Sequence[Rule], where: str) -> None:
    """A rule that was counted in one way and names its rows in another would lose rows: refuse."""
    for rule in broken:
        counted, named = int(found[rule.rule].result.get("unexpected_count") or 0), counts.get(rule.rule, 0)
        if counted != named:
            raise SnapshotError(f"{where}: rules: {rule.rule}: {counted} rows were counted as broken and {named} were found")


def _check_columns(frame: DataFrame, suite: Suite, where: str) -> None:
    for rule in suite.rules:
        for column in rule.columns:
            if column not in frame.columns:
                close = difflib.get_close_matches(column, frame.columns, n=3) or sorted(frame.columns)
                raise ConfigurationError(f"{where}: rules: {rule.rule}: no column {column!r}; there are: {', '.join(close)}")


def _refuse_exception(rule: str, told: dict[str, Any], where: str) -> None:
    """An expectation that could not be computed is no answer, neither yes nor no."""
    faults = [told] if "raised_exception" in told else list(told.values())
    for fault in faults:
        if fault["raised_exception"]:
            raise ConfigurationError(f"{where}: rules: {rule}: could not be computed: {fault['exception_message']}")


def _summarize(rule: Rule, result: Any, rows: int, counts: Mapping[str, int], examples: Mapping[str, list[str]]) -> RuleResult:
    """One line of the report. What is observed must not depend on the order of rows: it is part of a snapshot's version."""
    told = {} if result is None else result.result
    observed = _as_text(told.get("observed_value")) if result is not None else NOT_JUDGED[rows > 0]
    return RuleResult(
        rule=rule.rule,
        expectation=rule.expect,
        severity=rule.severity,
        passed=result is None or bool(result.success),
        broken_rows=counts.get(rule.rule, int(told.get("unexpected_count") or 0)),
        rows=rows,
        observed=", ".join(examples.get(rule.rule, ())) or observed,
        reason=rule.reason,
    )


def _as_text(observed: Any) -> str:
    if observed is None:
        return ""
    if isinstance(observed, float):
        return f"{observed:.6g}"  # the last digits of a sum depend on who added first
    return str(sorted(observed, key=str) if isinstance(observed, list | set | tuple) else observed)

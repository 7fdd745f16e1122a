"""The core of the room: which rows of a frame break which rules of a suite, judged by Great Expectations on Spark."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, reduce
from typing import TYPE_CHECKING, Any

from tasks import columns as c
from tasks.contracts.data import RuleResult, Severity
from tasks.errors import ConfigurationError, SnapshotError
from tasks.stages.validation.computed import COMPUTED
from tasks.stages.validation.suite import Rule, Suite, build_expectation, load_great_expectations

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

AS_IT_STOOD = (c.ROW_ID, c.SOURCE_FILE, c.INGESTED_AT, c.AS_IT_CAME)  # what quarantine keeps of a row
ALL_ROWS = ""  # beside the names of rules
EXAMPLES = 3  # ids of broken rows that the report names for each rule
NOT_JUDGED = {True: "not judged: nothing came before", False: "not judged: no rows came"}
COUNTS = {"result_format": "BASIC", "partial_unexpected_count": 0}
SAMPLES = {"result_format": "BASIC", "partial_unexpected_count": 20}


@dataclass(frozen=True)
class Judgement:
    """What a suite found. `broken`: rows as they stood, `broken_rules` (names, joined by ", "); `document()`: for Data Docs."""

    results: tuple[RuleResult, ...]
    broken: DataFrame | None
    quarantined: int
    document: Callable[[], Any]


@contextmanager
def check_rules(frame: DataFrame, suite: Suite, rows: int, parameters: Mapping[str, Any]) -> Iterator[Judgement]:
    """Every rule's result, and the rows that broke row rules, kept in Spark until the end of the block.

    No row is collected, however many are bad. What is computed and read several times is cached: the columns that rules
    name, and the names of the rows that broke one.

    All rules are counted at once, and only those that do not hold are asked which rows broke them: most rules hold on most
    days. A rule that asks for a parameter which the past does not give (nothing came before) is not judged, nor is one
    about columns where there are no rows, and their results say so.

    Parameters
    ----------
    frame : the rows with the columns that rules may name.
    parameters : what stands for `{$PARAMETER: name}` in rules.
    """
    from pyspark.sql import functions as F

    where = f"{suite.dataset}.yaml"
    _check_columns(frame, suite, where)
    judged = [rule for rule in suite.rules if rule.parameter_names <= parameters.keys() and (rows or not rule.columns)]
    row_rules = [rule for rule in judged if rule.severity is Severity.ROW]
    read = dict.fromkeys([name for name in AS_IT_STOOD if name in frame.columns] + suite.columns_read(frame.columns))
    looked_at = frame.select(*[f"`{name}`" for name in read])
    cached = [looked_at.persist()] if suite.columns & COMPUTED else []  # to read files again costs less than to keep them
    try:
        asked = _Asked(looked_at, where, parameters)
        found = asked.ask(judged, COUNTS)
        broken = sorted((rule for rule in row_rules if not found[rule.rule].success), key=lambda rule: rule.rule)
        counts: dict[str, int] = {}
        examples: dict[str, list[str]] = {}
        quarantined, by_row = 0, None
        if broken:
            rules_of_rows = asked.rules_of_rows(broken).persist()
            cached.append(rules_of_rows)
            counts, examples = _count(rules_of_rows)
            quarantined = counts.pop(ALL_ROWS)
            _check_counts(counts, found, broken, where)
            by_row = rules_of_rows.withColumn(c.BROKEN_RULES, F.concat_ws(", ", "rules")).drop("rules")
        results = [_summarize(rule, found.get(rule.rule), rows, counts, examples) for rule in suite.rules]
        yield Judgement(tuple(results), by_row, quarantined, partial(asked.document, suite, found))
    finally:
        for one in reversed(cached):
            one.unpersist()


def split_rows(rows: DataFrame, judgement: Judgement) -> tuple[DataFrame, DataFrame]:
    """The rows that broke nothing, all columns; and for quarantine those that did, as they came, with their rules."""
    if judgement.broken is None:
        from pyspark.sql import functions as F

        return rows, rows.limit(0).select(*AS_IT_STOOD, F.lit("").alias(c.BROKEN_RULES))
    good = rows.join(judgement.broken, c.ROW_ID, "left_anti").select(*[f"`{name}`" for name in rows.columns])
    return good, judgement.broken.select(*AS_IT_STOOD, c.BROKEN_RULES)


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
            expectation_parameters=self._parameters,
            result_format=result_format,
        )
        self._told = outcome.meta
        results = {result.expectation_config.meta["rule"]: result for result in outcome.results}
        for name, result in results.items():
            _refuse_exception(name, result.exception_info, self._where)
        return results

    def rules_of_rows(self, rules: Sequence[Rule]) -> DataFrame:
        """Each row that broke a rule, as it stood, with its `rules`, sorted: by the conditions by which it was counted.

        Rules that look at the same rows are asked in one scan of them.
        """
        from great_expectations.expectations.registry import get_metric_kwargs
        from great_expectations.validator.metric_configuration import MetricConfiguration
        from great_expectations.validator.metrics_calculator import MetricsCalculator
        from pyspark.sql import functions as F

        engine = self._batch.data.execution_engine
        metrics = {}
        for rule in rules:
            expectation = build_expectation(rule, self._where)
            name = f"{expectation.map_metric}.condition"
            told = get_metric_kwargs(name, expectation.configuration, {})
            metrics[rule.rule] = MetricConfiguration(name, told["metric_domain_kwargs"], told["metric_value_kwargs"])
        computed, _ = MetricsCalculator(engine, show_progress_bars=False).compute_metrics(list(metrics.values()))
        looked_at: dict[int, tuple[DataFrame, list[Any]]] = {}
        for rule_name, metric in metrics.items():
            condition, domain, _ = computed[metric.id]
            records = engine.get_domain_records(domain_kwargs=domain)
            looked_at.setdefault(id(records), (records, []))[1].append(F.when(condition, F.lit(rule_name)))
        parts = [
            records.select(
                *(name for name in AS_IT_STOOD if name in records.columns), F.array_compact(F.array(*marks)).alias("rules")
            ).where(F.size("rules") > 0)
            for records, marks in looked_at.values()
        ]
        if len(parts) == 1:
            return parts[0]
        every = reduce(lambda one, other: one.unionByName(other), parts)
        stood = [F.first(name).alias(name) for name in every.columns if name not in (c.ROW_ID, "rules")]
        return every.groupBy(c.ROW_ID).agg(*stood, F.array_sort(F.flatten(F.collect_list("rules"))).alias("rules"))

    def document(self, suite: Suite, found: Mapping[str, Any]) -> Any:
        """All results as one, in the order of the suite; rules that do not hold are asked again for values that broke them."""
        found = {
            **found,
            **self.ask([rule for rule in suite.rules if rule.rule in found and not found[rule.rule].success], SAMPLES),
        }
        results = [found[rule.rule] for rule in suite.rules if rule.rule in found]
        held = sum(bool(result.success) for result in results)
        return self._gx.core.ExpectationSuiteValidationResult(
            success=held == len(results),
            results=results,
            suite_name=suite.dataset,
            meta={**self._told},
            statistics={
                "evaluated_expectations": len(results),
                "successful_expectations": held,
                "unsuccessful_expectations": len(results) - held,
                "success_percent": 100.0 * held / max(len(results), 1),
            },
        )


def _count(rules_of_rows: DataFrame) -> tuple[dict[str, int], dict[str, list[str]]]:
    """Breaches of each rule, and under `ALL_ROWS` how many rows there are; the first few rows of each, by file and place."""
    from pyspark.sql import Window as Over
    from pyspark.sql import functions as F

    file, place = F.regexp_replace(c.ROW_ID, ":[^:]*$", ""), F.substring_index(c.ROW_ID, ":", -1).cast("long")
    over = Over.partitionBy("rule")
    named = F.explode(F.array_prepend("rules", F.lit(ALL_ROWS))).alias("rule")
    ranked = rules_of_rows.select(c.ROW_ID, named).select(
        "rule",
        c.ROW_ID,
        F.count(F.lit(1)).over(over).alias("rows"),
        F.row_number().over(over.orderBy(file, place, c.ROW_ID)).alias("rank"),
    )
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

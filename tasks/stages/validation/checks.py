"""The core of the stage: which rows of a frame break which rules of a suite, judged by Great Expectations on Spark."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, reduce
from typing import TYPE_CHECKING, Any

from tasks import columns as c
from tasks.contracts.data import RuleResult, Severity
from tasks.errors import ConfigurationError, SnapshotError
from tasks.reasons import explain_text
from tasks.stages.validation.computed import COMPUTED
from tasks.stages.validation.suite import Rule, Suite, build_expectation, load_great_expectations

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

QUARANTINED = (c.ROW_ID, c.SOURCE_FILE, c.INGESTED_AT, c.AS_IT_CAME)  # the columns of a row in quarantine
ALL_ROWS = ""  # the key of the count over all rules
EXAMPLES = 3  # ids of broken rows in the report, for each rule
NOT_JUDGED = {True: "not judged: there is no earlier window", False: "not judged: there are no rows"}
COUNTS = {"result_format": "BASIC", "partial_unexpected_count": 0}
SAMPLES = {"result_format": "BASIC", "partial_unexpected_count": 20}


@dataclass(frozen=True)
class Judgement:
    """The results of a suite.

    Parameters
    ----------
    broken : the rows that broke a row rule, with `broken_rules` (names, joined by ", "). None where no row did.
    quarantined : the number of those rows.
    document : makes the result that Data Docs render.
    """

    results: tuple[RuleResult, ...]
    broken: DataFrame | None
    quarantined: int
    document: Callable[[], Any]


@contextmanager
def check_rules(frame: DataFrame, suite: Suite, rows: int, parameters: Mapping[str, Any]) -> Iterator[Judgement]:
    """The result of every rule, and the rows that broke row rules, cached in Spark until the end of the block.

    No row is collected, however many are bad. The columns that rules name are cached, and so are the ids of broken rows,
    because both are read several times.

    All rules are counted in one pass. A second pass finds the broken rows of the rules that do not hold, which are few on most
    days. A rule with a parameter that the past does not provide is not judged. Neither is a rule about columns where there are
    no rows. Their results say so.

    Parameters
    ----------
    frame : the rows with the columns that rules may name.
    parameters : name -> value of `{$PARAMETER: name}` in rules.
    """
    from pyspark.sql import functions as F

    where = f"{suite.dataset}.yaml"
    _check_columns(frame, suite, where)
    judged = [rule for rule in suite.rules if rule.parameter_names <= parameters.keys() and (rows or not rule.columns)]
    row_rules = [rule for rule in judged if rule.severity is Severity.ROW]
    read = dict.fromkeys([name for name in QUARANTINED if name in frame.columns] + suite.columns_read(frame.columns))
    used = frame.select(*[f"`{name}`" for name in read])
    cached = [used.persist()] if suite.columns & COMPUTED else []  # reading files again is cheaper than caching them
    try:
        batch = _Batch(used, where, parameters)
        found = batch.evaluate(judged, COUNTS)
        broken = sorted((rule for rule in row_rules if not found[rule.rule].success), key=lambda rule: rule.rule)
        counts: dict[str, int] = {}
        examples: dict[str, list[str]] = {}
        quarantined, by_row = 0, None
        if broken:
            broken_rows = batch.find_broken_rows(broken).persist()
            cached.append(broken_rows)
            counts, examples = _count(broken_rows)
            quarantined = counts.pop(ALL_ROWS)
            _check_counts(counts, found, broken, where)
            by_row = broken_rows.withColumn(c.BROKEN_RULES, F.concat_ws(", ", "rules")).drop("rules")
        results = [_summarize(rule, found.get(rule.rule), rows, counts, examples) for rule in suite.rules]
        yield Judgement(tuple(results), by_row, quarantined, partial(batch.document, suite, found))
    finally:
        for one in reversed(cached):
            one.unpersist()


def split_rows(rows: DataFrame, judgement: Judgement) -> tuple[DataFrame, DataFrame]:
    """The rows that broke no rule, with all columns, and the rows for quarantine, with their original cells and rules."""
    if judgement.broken is None:
        from pyspark.sql import functions as F

        return rows, rows.limit(0).select(*QUARANTINED, F.lit("").alias(c.BROKEN_RULES))
    good = rows.join(judgement.broken, c.ROW_ID, "left_anti").select(*[f"`{name}`" for name in rows.columns])
    return good, judgement.broken.select(*QUARANTINED, c.BROKEN_RULES)


class _Batch:
    """One batch of Great Expectations, evaluated several times."""

    def __init__(self, frame: DataFrame, where: str, parameters: Mapping[str, Any]) -> None:
        self._gx = load_great_expectations()
        from great_expectations.data_context.types.base import ProgressBarsConfig

        context = self._gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        asset = context.data_sources.add_spark("frame", persist=False).add_dataframe_asset("rows")
        self._batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
        _skip_unwanted_values(self._batch.data.execution_engine)
        self._where, self._parameters = where, dict(parameters)
        self._meta: dict[str, Any] = {}

    def evaluate(self, rules: Sequence[Rule], result_format: dict[str, Any]) -> dict[str, Any]:
        """Rule name -> Great Expectations' result."""
        if not rules:
            return {}
        expectations = [build_expectation(rule, self._where) for rule in rules]
        outcome = self._batch.validate(
            self._gx.ExpectationSuite("rules", expectations=expectations),
            expectation_parameters=self._parameters,
            result_format=result_format,
        )
        self._meta = outcome.meta
        results = {result.expectation_config.meta["rule"]: result for result in outcome.results}
        for name, result in results.items():
            _refuse_exception(name, result.exception_info, self._where)
        return results

    def find_broken_rows(self, rules: Sequence[Rule]) -> DataFrame:
        """Each row that broke a rule, with its `rules`, sorted. The conditions are those of the counts.

        Rules about the same rows are evaluated in one scan of them.
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
            kwargs = get_metric_kwargs(name, expectation.configuration, {})
            metrics[rule.rule] = MetricConfiguration(name, kwargs["metric_domain_kwargs"], kwargs["metric_value_kwargs"])
        computed, _ = MetricsCalculator(engine, show_progress_bars=False).compute_metrics(list(metrics.values()))
        by_records: dict[int, tuple[DataFrame, list[Any]]] = {}
        for rule_name, metric in metrics.items():
            condition, domain, _ = computed[metric.id]
            records = engine.get_domain_records(domain_kwargs=domain)
            by_records.setdefault(id(records), (records, []))[1].append(F.when(condition, F.lit(rule_name)))
        parts = [
            records.select(
                *(name for name in QUARANTINED if name in records.columns), F.array_compact(F.array(*marks)).alias("rules")
            ).where(F.size("rules") > 0)
            for records, marks in by_records.values()
        ]
        if len(parts) == 1:
            return parts[0]
        every = reduce(lambda one, other: one.unionByName(other), parts)
        kept = [F.first(name).alias(name) for name in every.columns if name not in (c.ROW_ID, "rules")]
        return every.groupBy(c.ROW_ID).agg(*kept, F.array_sort(F.flatten(F.collect_list("rules"))).alias("rules"))

    def document(self, suite: Suite, found: Mapping[str, Any]) -> Any:
        """All results as one, in the order of the suite. Broken rules are evaluated again, for values that broke them."""
        found = {
            **found,
            **self.evaluate([rule for rule in suite.rules if rule.rule in found and not found[rule.rule].success], SAMPLES),
        }
        results = [found[rule.rule] for rule in suite.rules if rule.rule in found]
        held = sum(bool(result.success) for result in results)
        return self._gx.core.ExpectationSuiteValidationResult(
            success=held == len(results),
            results=results,
            suite_name=suite.dataset,
            meta={**self._meta},
            statistics={
                "evaluated_expectations": len(results),
                "successful_expectations": held,
                "unsuccessful_expectations": len(results) - held,
                "success_percent": 100.0 * held / max(len(results), 1),
            },
        )


def _skip_unwanted_values(engine: Any) -> None:
    """Answer for the broken values of a rule without a job of Spark where none are wanted.

    Great Expectations otherwise runs a query for each rule that takes no row of its result.
    """
    resolve = engine.resolve_metrics

    def resolve_wanted(
        metrics_to_resolve: Iterable[Any], metrics: Any = None, runtime_configuration: Any = None
    ) -> dict[Any, Any]:
        wanted: list[Any] = []
        unwanted: list[Any] = []
        for metric in metrics_to_resolve:
            terms = metric.metric_value_kwargs.get("result_format") or {}
            is_unwanted = metric.metric_name.endswith(".unexpected_values") and terms.get("partial_unexpected_count") == 0
            (unwanted if is_unwanted else wanted).append(metric)
        found = resolve(wanted, metrics, runtime_configuration) if wanted else {}
        return {**found, **{metric.id: [] for metric in unwanted}}

    engine.resolve_metrics = resolve_wanted


def _count(broken_rows: DataFrame) -> tuple[dict[str, int], dict[str, list[str]]]:
    """Broken rows of each rule and, under `ALL_ROWS`, of all rules, with the first few ids of each in the order of files."""
    from pyspark.sql import Window as Over
    from pyspark.sql import functions as F

    file, place = F.regexp_replace(c.ROW_ID, ":[^:]*$", ""), F.substring_index(c.ROW_ID, ":", -1).cast("long")
    over = Over.partitionBy("rule")
    named = F.explode(F.array_prepend("rules", F.lit(ALL_ROWS))).alias("rule")
    ranked = broken_rows.select(c.ROW_ID, named).select(
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
    """Refuse a rule whose counted and found rows differ, because rows would be lost."""
    for rule in broken:
        counted, named = int(found[rule.rule].result.get("unexpected_count") or 0), counts.get(rule.rule, 0)
        if counted != named:
            raise SnapshotError(f"{where}: rules: {rule.rule}: {counted} rows were counted as broken, but {named} were found")


def _check_columns(frame: DataFrame, suite: Suite, where: str) -> None:
    for rule in suite.rules:
        for column in rule.columns:
            if column not in frame.columns:
                close = difflib.get_close_matches(column, frame.columns, n=3) or sorted(frame.columns)
                raise ConfigurationError(f"{where}: rules: {rule.rule}: no column {column!r}; allowed: {', '.join(close)}")


def _refuse_exception(rule: str, info: dict[str, Any], where: str) -> None:
    """Refuse an expectation that could not be computed, because it neither holds nor is broken."""
    exceptions = [info] if "raised_exception" in info else list(info.values())
    for exception in exceptions:
        if exception["raised_exception"]:
            reason = explain_text(exception["exception_message"])
            raise ConfigurationError(f"{where}: rules: {rule}: could not be computed: {reason}")


def _summarize(rule: Rule, result: Any, rows: int, counts: Mapping[str, int], examples: Mapping[str, list[str]]) -> RuleResult:
    """One line of the report. It does not depend on the order of rows, because it is part of a snapshot's version."""
    values = {} if result is None else result.result
    observed = _as_text(values.get("observed_value")) if result is not None else NOT_JUDGED[rows > 0]
    return RuleResult(
        rule=rule.rule,
        expectation=rule.expect,
        severity=rule.severity,
        passed=result is None or bool(result.success),
        broken_rows=counts.get(rule.rule, int(values.get("unexpected_count") or 0)),
        rows=rows,
        observed=", ".join(examples.get(rule.rule, ())) or observed,
        reason=rule.reason,
    )


def _as_text(observed: Any) -> str:
    if observed is None:
        return ""
    if isinstance(observed, float):
        return f"{observed:.6g}"  # the last digits of a sum depend on the order of its terms
    return str(sorted(observed, key=str) if isinstance(observed, list | set | tuple) else observed)

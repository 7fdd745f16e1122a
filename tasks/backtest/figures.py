"""The figures of a backtest: what each policy came to, and how much better one is than another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.backtest import quality
from tasks.backtest.expectations import describe_fault, find_failures, find_violations, is_requested
from tasks.backtest.journal import Journal, WindowRecord, read_journal
from tasks.backtest.plan import Plan, PolicyPlan, Retraining, policy_folder
from tasks.contracts.base import Contract
from tasks.contracts.judging import Verdict
from tasks.metrics import Metric
from tasks.stages.ingestion.worlds import make_world
from tasks.use_case import load_use_case

if TYPE_CHECKING:
    import pandas as pd

MEANING = {
    Retraining.AS_WRITTEN: "retrains, judges and promotes as the use case says",
    Retraining.NEVER: "keeps its first champion",
    Retraining.EVERY_WEEK: "trains every week and promotes what comes, without gates",
}


class Span(Contract):
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


class Line(Contract):
    """One window of a policy, in words."""

    window: str
    decision: str
    reason: str
    training: str
    champion: int | None
    promoted: tuple[int, ...]
    fault: str
    failures: dict[str, str]
    quality: Span | None
    seconds: float


class PolicyResult(Contract):
    """What a policy came to.

    quality : of all days that every policy has in common; None where there is none.
    gain : its quality minus that of the first policy, positive where it is better.
    regret : the share of the quality in hindsight that it misses: of the best policy of each day.
    missed : the share of the best possible quality that it misses; None where the truth is unknown.
    """

    name: str
    meaning: str
    quality: Span | None
    gain: Span | None
    regret: float | None
    missed: float | None
    requests: int
    trainings: int
    refused: int
    promotions: int
    faults: int
    failed_windows: int
    minutes: float
    by_day: dict[str, Span]
    windows: tuple[Line, ...]
    violations: tuple[str, ...] | None


class Report(Contract):
    """A backtest as a document."""

    plan: Plan
    metric: str
    greater_is_better: bool
    days: int
    conclusion: str
    hindsight: Span | None
    best: Span | None
    best_by_day: dict[str, float]
    policies: tuple[PolicyResult, ...]


def make_report(folder: Path, plan: Plan) -> Report:
    """The figures of all policies."""
    case = load_use_case(plan.use_case)
    metric = quality.primary_of(case)
    journals = [read_journal(policy_folder(folder, policy.name)) for policy in plan.policies]
    measured = [{one.as_of for one in journal.quality} for journal in journals]
    days = sorted(set.intersection(*measured)) if measured else []
    units = [quality.read_units(policy_folder(folder, policy.name), days) for policy in plan.policies]
    best_units = _read_best(folder, plan, days)
    best = _span(quality.resample(metric, best_units, seed=case.seed)) if best_units else None
    hindsight = _span(quality.resample(metric, _choose_best(metric, units), seed=case.seed)) if days else None
    policies = []
    compared = partial(quality.compare, metric, theirs=units[0], seed=case.seed, comparisons=max(len(plan.policies) - 1, 1))
    for policy, journal, own in zip(plan.policies, journals, units, strict=True):
        value = _span(quality.resample(metric, own, seed=case.seed)) if own else None
        gain = _span(compared(own)) if own and own is not units[0] else None
        bounds = (hindsight, best)
        policies.append(_summarize(plan, policy, journal, value=value, gain=gain, bounds=bounds))
    return Report(
        plan=plan,
        metric=metric.name,
        greater_is_better=metric.greater_is_better,
        days=len(days),
        conclusion=conclude(metric.name, policies),
        hindsight=hindsight,
        best=best,
        best_by_day={day: quality.value_of(metric, one) for day, one in zip(days, best_units, strict=False)},
        policies=tuple(policies),
    )


def _read_best(folder: Path, plan: Plan, days: Sequence[str]) -> list[pd.DataFrame]:
    """The units of the best possible answers; empty where the truth is unknown."""
    own = policy_folder(folder, plan.policies[0].name)
    names = [quality.name_best(day) for day in days]
    is_known = all((own / quality.FOLDER / f"{name}.parquet").is_file() for name in names)
    return quality.read_units(own, names) if plan.world and is_known else []


def _summarize(
    plan: Plan,
    policy: PolicyPlan,
    journal: Journal,
    *,
    value: Span | None,
    gain: Span | None,
    bounds: tuple[Span | None, Span | None],
) -> PolicyResult:
    decided = [record for record in journal.windows if not record.is_history]
    by_day = {one.as_of: Span(value=one.value, low=one.low, high=one.high) for one in journal.quality}
    violations = None
    if plan.world and policy.retraining is Retraining.AS_WRITTEN:
        expected = make_world(plan.world, plan.start, plan.seed).expected
        violations = tuple(find_violations(expected, plan.start, journal))
    versions = [record.steps["register"].result for record in decided if _has_result(record, "register")]
    return PolicyResult(
        name=policy.name,
        meaning=MEANING[policy.retraining],
        quality=value,
        gain=gain,
        regret=_missed(value, bounds[0]),
        missed=_missed(value, bounds[1]),
        requests=sum(is_requested(record) for record in decided),
        trainings=sum("split" in record.steps for record in decided),
        refused=sum(not version["passed"] for version in versions),
        promotions=sum(len(record.promotions) for record in decided),
        faults=sum(bool(describe_fault(record)) for record in decided),
        failed_windows=sum(bool(find_failures(record)) for record in decided),
        minutes=sum(record.seconds for record in journal.windows) / 60,
        by_day=by_day,
        windows=tuple(_describe_window(record, by_day) for record in decided),
        violations=violations,
    )


def _missed(value: Span | None, bound: Span | None) -> float | None:
    """The share of a bound that a value misses."""
    if value is None or bound is None or not bound.value:
        return None
    return abs(bound.value - value.value) / abs(bound.value)


def _choose_best(metric: Metric, units: Sequence[Sequence[pd.DataFrame]]) -> list[pd.DataFrame]:
    """Of each day, the units of the policy that was best on it."""
    sign = 1.0 if metric.greater_is_better else -1.0
    return [max(of_day, key=lambda one: sign * quality.value_of(metric, one)) for of_day in zip(*units, strict=True)]


def _has_result(record: WindowRecord, step: str) -> bool:
    return step in record.steps and record.steps[step].result is not None


def _describe_window(record: WindowRecord, by_day: dict[str, Span]) -> Line:
    decision, training = record.decision, ""
    if _has_result(record, "register"):
        version = record.steps["register"].result
        reasons = Verdict.from_json(record.steps["judge"].result).reasons if _has_result(record, "judge") else []
        training = f"version {version['version']} " + ("passed" if version["passed"] else f"refused: {'; '.join(reasons)}")
    elif "split" in record.steps:
        training = "failed"
    return Line(
        window=record.window.label,
        decision="no decision" if decision is None else decision["cause"],
        reason="" if decision is None else decision["reason"],
        training=training,
        champion=record.champion,
        promoted=tuple(one.version for one in record.promotions),
        fault=describe_fault(record),
        failures=find_failures(record),
        quality=by_day.get(record.window.end.isoformat()),
        seconds=record.seconds,
    )


def _span(found: quality.Interval) -> Span:
    return Span(value=found.value, low=found.low, high=found.high)


def conclude(metric: str, policies: Sequence[PolicyResult]) -> str:
    """Which policy would have been better, and by how much, in one sentence."""
    first, *others = policies
    if first.quality is None:
        return "Nothing can be compared: no answer of every policy has outcomes yet."
    better = [one for one in others if one.gain is not None and one.gain.low > 0]
    if better:
        most = max(better, key=lambda one: one.gain.value if one.gain else -math.inf)
        return f"{most.name} would have been better than {first.name}: {describe_span(most.gain)} {metric}."
    worse = [one.name for one in others if one.gain is not None and one.gain.high < 0]
    said = f"No policy is shown to be better than {first.name}"
    return f"{said}. {first.name} is better than {', '.join(worse)}." if worse else f"{said}, and none to be worse."


def describe_span(span: Span | None, *, is_signed: bool = True) -> str:
    """A value with its interval, as text."""
    if span is None:
        return "unknown"
    sign = "+" if is_signed else ""
    return f"{span.value:{sign}.4f} ({span.low:{sign}.4f} to {span.high:{sign}.4f})"

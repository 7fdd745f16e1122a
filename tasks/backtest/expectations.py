"""Compare what a policy decided in a generated world with what is right there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from tasks.backtest.journal import Journal, WindowRecord
from tasks.contracts.monitoring import Cause, Signal
from tasks.stages.ingestion.worlds import Expected

QUIET_CAUSES = {Cause.NONE.value, Cause.FAULT.value, Cause.NO_CHAMPION.value}


def is_requested(record: WindowRecord) -> bool:
    """Whether the window requested a retraining that is not the first champion's."""
    return record.decision is not None and record.decision["retrain"] and record.decision["cause"] not in QUIET_CAUSES


def describe_fault(record: WindowRecord) -> str:
    """Why the data of a window are broken, as the validation or monitoring says; empty where they are not."""
    for step in ("read_late", "ingest", "validate", "build_features"):
        found = record.steps.get(step)
        if found and found.failed:
            return f"{step}: {found.failed}"
    decision = record.decision
    if decision is not None and Signal.FAULT.value in decision["signals"]:
        return str(decision["reason"])
    return ""


def find_failures(record: WindowRecord) -> dict[str, str]:
    """The jobs that failed after the data were checked: job -> error."""
    data = ("read_late", "ingest", "validate", "build_features")
    return {name: step.failed for name, step in record.steps.items() if step.failed and name not in data}


def find_violations(expected: Expected, start: date, journal: Journal) -> list[str]:
    """Each decision that is not right, in words; empty where all are.

    Parameters
    ----------
    start : the first decided day, from which weeks count.
    """
    decided = [record for record in journal.windows if not record.is_history]
    return [
        *_check_retrains(expected, start, decided),
        *_check_faults(expected, start, decided),
        *_check_promotions(expected, start, decided),
        *(
            f"{record.window.label}: {name} failed: {error[:200]}"
            for record in decided
            for name, error in find_failures(record).items()
        ),
    ]


def _week(record: WindowRecord, start: date) -> int:
    """The week in which a window begins."""
    return (record.window.start - start).days // 7


def _check_retrains(expected: Expected, start: date, decided: Sequence[WindowRecord]) -> list[str]:
    requested = [record for record in decided if is_requested(record)]
    said, allowed = [], expected.other_retrains
    if expected.retrain_after is not None:
        changed = [record for record in decided if _week(record, start) >= expected.retrain_after]
        in_time = [record for record in changed[: expected.retrain_within] if is_requested(record)]
        if not in_time:
            said.append(
                f"no retraining was requested within {expected.retrain_within} windows from week {expected.retrain_after}, "
                "in which the world changed"
            )
        requested = [record for record in requested if record not in in_time]
    if len(requested) > allowed:
        labels = ", ".join(f"{one.window.label} ({(one.decision or {})['cause']})" for one in requested)
        said.append(f"{len(requested)} other retrainings were requested, {allowed} are right: {labels}")
    return said


def _check_faults(expected: Expected, start: date, decided: Sequence[WindowRecord]) -> list[str]:
    said, false_alarms = [], []
    for record in decided:
        fault, week = describe_fault(record), _week(record, start)
        if week in expected.faulty_weeks and not fault:
            said.append(f"{record.window.label}: the data are broken, and nothing reported it")
        elif fault and week not in expected.faulty_weeks:
            false_alarms.append(f"{record.window.label} ({fault[:160]})")
    if len(false_alarms) > expected.other_faults:
        said.append(
            f"{len(false_alarms)} sound windows were reported as broken, {expected.other_faults} are allowed: "
            + "; ".join(false_alarms)
        )
    return said


def _check_promotions(expected: Expected, start: date, decided: Sequence[WindowRecord]) -> list[str]:
    made = [(record, one) for record in decided for one in record.promotions]
    later = made[1:]
    said = []
    if len(later) > expected.promotions:
        versions = ", ".join(str(one.version) for _, one in later)
        said.append(f"{len(later)} versions replaced the first champion, at most {expected.promotions} are right: {versions}")
    if expected.promotes_after is not None:
        changed = [record for record in decided if _week(record, start) >= expected.promotes_after]
        if not any(record in changed[: expected.promotes_within] for record, _ in later):
            said.append(
                f"no other champion was promoted within {expected.promotes_within} windows from week {expected.promotes_after}"
            )
    if not made:
        said.append("no champion was ever promoted")
    return said

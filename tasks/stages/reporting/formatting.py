"""How the model card and the report write numbers, outcomes and gate results."""

from __future__ import annotations

import math

from tasks.contracts.judging import GateMode, GateResult, Outcome, Verdict
from tasks.contracts.training import Population


def format_number(value: float | None) -> str | None:
    """Four decimals; None stays None."""
    return None if value is None else f"{value:.4f}" if math.isfinite(value) else "not a number"


def format_seconds(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def format_bytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def describe_outcome(outcome: Outcome) -> str:
    return outcome.value.replace("_", " ")


def describe_gate(gate: GateResult) -> str:
    """What the gate did: `pass`, `refuse`, `would refuse` (dry run), `not judged`, or `not evaluated` (disabled)."""
    if gate.mode is GateMode.DISABLED:
        return "not evaluated"
    if not gate.is_judged:
        return "not judged"
    if gate.passed:
        return "pass"
    return "refuse" if gate.mode is GateMode.ENABLED else "would refuse"


def tone_of_interval(low: float, high: float) -> str:
    """The colour of a difference: `good` or `bad` where its whole interval is on one side of zero, else `open`."""
    return "good" if low > 0 else "bad" if high < 0 else "open"


def populations_of(verdict: Verdict) -> tuple[Population, ...]:
    """Whom the metrics on the holdout describe; empty for older verdicts. They are the same for every model."""
    return verdict.evaluations[0].populations if verdict.evaluations else ()

"""The bake period: what the endpoint counts of a new champion, judged for a while after its promotion."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tasks.contracts.base import Contract
from tasks.errors import ServiceUnavailable
from tasks.io.endpoint import ServedFigures, served_figures
from tasks.io.ledger import Ledger
from tasks.metrics.distances import merge_rare_bins, psi


class BakePolicy(BaseModel):
    """When a new champion is rolled back automatically. `minutes: 0` switches it off.

    The limits are for obvious failures, because no person reviews the rollback. Drift is for monitoring.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    minutes: int = Field(30, ge=0, le=7 * 24 * 60, description="how long after its promotion a champion is watched")
    max_error_share: float = Field(0.02, ge=0.0, le=1.0, description="share of requests at which the version itself fails")
    max_latency_p99_ms: float = Field(1000.0, gt=0.0, le=2500.0, description="the endpoint's histogram ends at 2.5 s")
    max_score_shift: float = Field(1.0, gt=0.0, description="PSI of the best scores; 0.25 is a shift, above 1 another scale")
    min_answers: int = Field(200, ge=1, description="fewer requests, or scores, are not judged")


class BakeJudgement(Contract):
    """The state of a bake period. `violated` rolls the champion back."""

    state: Literal["watching", "held", "violated", "ended"]
    reason: str


def judge_bake(
    policy: BakePolicy, seen: ServedFigures, expected: Sequence[int], former: Sequence[int] = ()
) -> tuple[tuple[str, ...], str]:
    """The limits that a version breaks (none where it keeps to them), and a line with its figures.

    Scores are compared with two references and only a shift from both counts: with the predictions of the version in its
    rehearsal (the same model, other subjects), and with those of the former champion online (the same subjects, another
    model).

    Parameters
    ----------
    seen : what the endpoint counted of the version.
    expected, former : counts in the bins of `tasks.models.smoke_test.SCORE_EDGES`; too few, or none, are no reference.
    """
    requests = seen.answered + seen.failed
    if requests < policy.min_answers:
        return (), f"{requests} requests, too few to judge (min_answers: {policy.min_answers})"
    errors = seen.failed / requests
    faults, figures = [], [f"{requests} requests", f"{errors:.2%} failed"]
    if errors > policy.max_error_share:
        faults.append(f"{errors:.2%} of {requests} requests failed, at most {policy.max_error_share:.2%} may")
    if seen.latency and seen.latency[-1][1]:
        slow = 1000.0 * quantile(seen.latency, 0.99)
        figures.append(f"p99 {slow:.0f} ms")
        if slow > policy.max_latency_p99_ms:
            faults.append(f"p99 is {slow:.0f} ms, at most {policy.max_latency_p99_ms:.0f} ms may be")
    references = [counts for counts in (expected, former) if sum(counts) >= min(policy.min_answers, 50)]
    if references and sum(seen.scores) >= policy.min_answers:
        shift = min(psi(*merge_rare_bins(reference, seen.scores)) for reference in references)
        figures.append(f"score shift {shift:.2f}")
        if shift > policy.max_score_shift:
            faults.append(f"the scores shifted by a PSI of {shift:.2f}, at most {policy.max_score_shift:.2f} may be")
    return tuple(faults), ", ".join(figures)


def quantile(cumulative: Sequence[tuple[float, int]], share: float) -> float:
    """The value that a share of all does not exceed, linear within its bin, as Prometheus' histogram_quantile has it.

    Infinite where it lies above the last finite edge.
    """
    rank = share * cumulative[-1][1]
    low, below = 0.0, 0
    for edge, count in cumulative:
        if count >= rank:
            return edge if np.isinf(edge) or count == below else low + (edge - low) * (rank - below) / (count - below)
        low, below = edge, count
    return float("inf")


def watch_bake(
    use_case: str, sequence: int, policy: BakePolicy, expected: Sequence[int], ledger: Ledger, now: datetime
) -> BakeJudgement:
    """Measure the champion of entry `sequence` once. An endpoint that does not answer violates no limit."""
    head = ledger.head(use_case)
    if head is None or head.sequence != sequence:
        champion = f"version {head.version} by {head.actor}" if head else "none"
        return BakeJudgement(state="ended", reason=f"the champion changed meanwhile: it is {champion}")
    try:
        seen = served_figures(use_case, head.version)
        former = served_figures(use_case, head.previous_version).scores if head.previous_version else ()
    except ServiceUnavailable as error:
        faults, figures = tuple[str, ...](), str(error)
    else:
        faults, figures = judge_bake(policy, seen, expected, former)
    if faults:
        return BakeJudgement(state="violated", reason=f"version {head.version}: {'; '.join(faults)} ({figures})")
    over = now >= head.at + timedelta(minutes=policy.minutes)
    span = f"{policy.minutes} minutes after its promotion" if over else f"until {policy.minutes} minutes after its promotion"
    return BakeJudgement(state="held" if over else "watching", reason=f"version {head.version} {span}: {figures}")

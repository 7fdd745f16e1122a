"""When drift becomes a retraining: k violated windows of the last n, not too soon after the last time, and by age."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tasks.contracts import DriftReport, LedgerEntry, RetrainDecision, Window


class RetrainPolicy(BaseModel):
    """When violations become a retraining."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    violations: int = Field(2, ge=1)
    of_last: int = Field(3, ge=1)
    cooldown_days: int = Field(3, ge=0)
    max_age_days: int | None = Field(None, ge=1, description="retrain on schedule when the champion is older than this")

    @model_validator(mode="after")
    def _reachable(self) -> RetrainPolicy:
        if self.violations > self.of_last:
            raise ValueError(f"violations ({self.violations}) cannot exceed of_last ({self.of_last})")
        return self


def decide_retrain(
    use_case: str,
    policy: RetrainPolicy,
    window: Window,
    report: DriftReport | None,
    past: Sequence[RetrainDecision],
    champion: LedgerEntry | None,
    champion_as_of: date | None,
) -> RetrainDecision:
    """Retrain or not, with the figures that say why. The same arguments give the same decision.

    Parameters
    ----------
    report : what monitoring saw in the window; None where it could not look.
    past : recorded decisions, oldest window first. Those of later windows, and this window's own one, are passed over, so
        that a replay decides as it did the first time.
    champion, champion_as_of : who is in service, and the day up to which it has learned. A window that ends no later was
        learned from: its violation is answered already.

    Notes
    -----
    Without a champion the answer is always yes. Otherwise this window must be violated, and `violations` of the `of_last`
    windows that end with it; or the champion is older than `max_age_days`. Neither counts within `cooldown_days` (days of
    data, from window end to window end) of the last yes. One decision has one key: its window and the champion of then.
    """
    violated = report is not None and report.violated
    key = f"{window.label}@{champion.version if champion else 'none'}"
    earlier = [d for d in past if d.window.end <= window.end and d.idempotency_key != key]
    seen = {d.window.label: d for d in earlier if d.window.end < window.end}  # of two champions' decisions the later one
    recent = sorted(seen.values(), key=lambda d: d.window.end)[-(policy.of_last - 1) :] if policy.of_last > 1 else []
    counted = [d.window for d in recent if d.violated] + ([window] if violated else [])
    unanswered = [w for w in counted if champion_as_of is None or w.end > champion_as_of]

    drifted = window in unanswered and len(unanswered) >= policy.violations
    figures = f"{len(unanswered)} of the last {len(recent) + 1} windows violated, {policy.violations} needed"
    if len(counted) > len(unanswered):
        figures += f" ({len(counted) - len(unanswered)} more ended by {champion_as_of}, and the champion has learned from it)"
    if report is None:
        figures += "; this window was not checked"
    elif not violated and len(unanswered) >= policy.violations:
        figures += ", but this window is not"

    age = (window.end - champion_as_of).days if champion_as_of is not None else None
    is_old = policy.max_age_days is not None and age is not None and age > policy.max_age_days
    if policy.max_age_days is not None and age is not None:
        figures += f"; the champion's data is {age} days old, {policy.max_age_days} allowed"

    last_yes = max((d.window.end for d in earlier if d.retrain), default=None)
    is_too_soon = last_yes is not None and (window.end - last_yes).days < policy.cooldown_days

    if champion is None:
        cause, reason = "no_champion", f"there is no champion yet; {figures}"
    elif not drifted and not is_old:
        cause, reason = "none", figures
    elif is_too_soon:
        cause, reason = (
            "none",
            f"{figures}; but asked for by the window that ended {last_yes}, cooldown {policy.cooldown_days} days",
        )
    else:
        cause, reason = ("drift" if drifted else "schedule"), figures
    return RetrainDecision(
        use_case=use_case,
        window=window,
        retrain=cause != "none",
        cause=cause,
        reason=reason,
        violated=violated,
        violations=len(unanswered),
        considered_windows=len(recent) + 1,
        idempotency_key=key,
    )

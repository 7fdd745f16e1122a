"""The retrain controller: a state machine without memory. Its clock is the end of the window.

In this order: broken data stop everything, then it finds a cause, then it finds what holds a retraining back. The same
arguments give the same decision, so that any history can be replayed and any other can be simulated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tasks.contracts.base import Window
from tasks.contracts.monitoring import Ask, Cause, DriftReport, RetrainDecision, RetrainRequest, Signal
from tasks.contracts.promotion import LedgerEntry

_CAUSES = {Signal.LABEL_SHIFT: Cause.LABEL_SHIFT, Signal.QUALITY: Cause.QUALITY, Signal.DRIFT: Cause.DRIFT}  # strongest first


class RetrainPolicy(BaseModel):
    """When to retrain. A person can request it at any time. Every other cause respects cooldown, budget and minimum."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    signals: tuple[Signal, ...] = Field(tuple(_CAUSES), description="which violations request a retraining")
    violations: int = Field(2, ge=1)
    of_last: int = Field(3, ge=1)
    cooldown_days: int = Field(3, ge=0)
    at_most_per_week: int | None = Field(None, ge=1, description="retrainings in any seven days of data")
    max_age_days: int | None = Field(None, ge=1, description="retrain on schedule when the champion's data are older than this")
    new_labels: int | None = Field(None, ge=1, description="retrain when so many labels came since the champion's data")
    min_new_labels: int = Field(0, ge=0, description="with fewer new labels there is nothing to learn: do not retrain")
    fault_lapses_after: int | None = Field(
        3, ge=1, description="sound windows after which broken data no longer hold back a retraining; null: a person decides"
    )
    answer_within_days: int = Field(7, ge=1, description="how long to wait for a request, or for a challenger under review")

    @field_validator("signals")
    @classmethod
    def _faults_never_retrain(cls, signals: tuple[Signal, ...]) -> tuple[Signal, ...]:
        if Signal.FAULT in signals:
            raise ValueError(f"a fault never requests a retraining; allowed: {', '.join(_CAUSES)}")
        return signals

    @model_validator(mode="after")
    def _reachable(self) -> RetrainPolicy:
        if self.violations > self.of_last:
            raise ValueError(f"violations ({self.violations}) cannot exceed of_last ({self.of_last})")
        return self


@dataclass(frozen=True)
class RetrainHistory:
    """What is known when a window is decided about.

    decisions : recorded ones, oldest window first. Those that came after this window are passed over, so that a replay
        decides as it did the first time.
    champion, champion_as_of : the version in service, and the day up to which it has learned. A window that ends no later
        was learned from: its violation is answered already.
    requests : the state of each decision to retrain. One that no training took, that is being answered, or whose challenger
        waits for its review holds back the next one for `answer_within_days`.
    lost_champion : why the champion cannot answer any more; empty where it can. A lost one is no champion.
    """

    decisions: Sequence[RetrainDecision] = ()
    champion: LedgerEntry | None = None
    champion_as_of: date | None = None
    requests: Sequence[RetrainRequest] = ()
    lost_champion: str = ""


def decide_retrain(
    use_case: str,
    policy: RetrainPolicy,
    window: Window,
    report: DriftReport | None,
    history: RetrainHistory,
    *,
    ask: Ask | None = None,
    accepted_by: str = "",
) -> RetrainDecision:
    """Retrain or not, with the figures that say why.

    Parameters
    ----------
    report : what monitoring measured in the window; None where it could not.
    ask : the request of a person or an alert. It is a cause by itself; a person's request also passes cooldown, budget and
        minimum.
    accepted_by : who inspected a faulty window and confirmed that its data are right.

    Notes
    -----
    One decision has one key: its window, the champion at that time, and a digest of the data; or the key of the request.
    """
    champion, past = history.champion, history.decisions
    key = _name(window, report, champion, ask, accepted_by)
    keys = [one.idempotency_key for one in past]
    before = [one for one in past[: keys.index(key) if key in keys else None] if one.window.end <= window.end]
    latest = {
        one.window.label: one for one in before if not _is_request(one)
    }  # of two decisions about one window the later one counts
    signals = tuple(one for one in report.signals if not (accepted_by and one is Signal.FAULT)) if report else ()

    state = _State(policy, window, report, signals, history.champion_as_of, list(latest.values()))
    cause, reason = state.find_cause(champion, ask, history.lost_champion)
    hold = state.find_hold(cause, before, history.requests, champion) if cause is not Cause.NONE else ""
    if accepted_by:
        reason += f"; {accepted_by} accepts the data as they are"
    if lapsed := state.find_faults().lapsed:
        reason += f"; the faults of {', '.join(lapsed)} lapsed, {policy.fault_lapses_after} or more sound windows came since"
    if report and Signal.FAULT in signals:
        broken = ", ".join(
            f"{one.column} {one.value:.3g}" for one in report.checks if one.violated and one.signal is Signal.FAULT
        )
        cause, reason = Cause.FAULT, f"the data are broken ({broken}): nothing is trained on them; {reason}"
    elif hold:
        cause, reason = Cause.NONE, f"{reason}; but {hold}"
    return RetrainDecision(
        use_case=use_case,
        window=window,
        retrain=cause not in {Cause.NONE, Cause.FAULT},
        cause=cause,
        reason=reason,
        violated=bool(signals),
        signals=signals,
        alert=cause in {Cause.FAULT, Cause.LABEL_SHIFT},
        checked=report is not None,
        violations=len(state.unanswered),
        considered_windows=len(state.recent) + 1,
        idempotency_key=key,
        report_uri=report.report_uri if report else "",
    )


def find_undecided(labels: Sequence[str], past: Sequence[RetrainDecision], most: int = 5) -> list[Window]:
    """Of the newest published windows, those without a decision: their event was lost. Oldest first."""
    decided = {one.window.label for one in past if not _is_request(one)}
    return [Window.from_label(label) for label in labels[-most:] if label not in decided]


def find_lost(
    past: Sequence[RetrainDecision], requests: Sequence[RetrainRequest], policy: RetrainPolicy, today: date
) -> RetrainDecision | None:
    """The newest decision to retrain of the last `answer_within_days` that no training took: its event was lost."""
    taken = {one.idempotency_key for one in requests if one.taken_by}
    newest = next((one for one in reversed(past) if one.retrain), None)
    if newest is None or newest.idempotency_key in taken:
        return None
    return newest if newest.window.end >= today - timedelta(days=policy.answer_within_days) else None


class _Faults(NamedTuple):
    """Labels of windows with broken data: those that hold back a retraining, and those that no longer do."""

    holding: list[str]
    lapsed: list[str]


@dataclass(frozen=True)
class _State:
    """What the controller knows of one window and those before it."""

    policy: RetrainPolicy
    window: Window
    report: DriftReport | None
    signals: tuple[Signal, ...]
    champion_as_of: date | None
    latest: list[RetrainDecision]  # the last decision about each earlier window

    @property
    def recent(self) -> list[RetrainDecision]:
        others = sorted((one for one in self.latest if one.window.end < self.window.end), key=lambda one: one.window.end)
        return others[-(self.policy.of_last - 1) :] if self.policy.of_last > 1 else []

    @property
    def counted(self) -> list[tuple[Window, tuple[Signal, ...]]]:
        """The windows of the last n whose violations request a retraining."""
        last = [(one.window, one.signals) for one in self.recent] + [(self.window, self.signals)]
        return [(w, s) for w, s in last if Signal.FAULT not in s and set(s) & set(self.policy.signals)]

    @property
    def unanswered(self) -> list[tuple[Window, tuple[Signal, ...]]]:
        return [(w, s) for w, s in self.counted if self.champion_as_of is None or w.end > self.champion_as_of]

    def find_cause(self, champion: LedgerEntry | None, ask: Ask | None, lost_champion: str) -> tuple[Cause, str]:
        """The first cause that there is, and all figures."""
        policy, unanswered, counted = self.policy, self.unanswered, self.counted
        figures = f"{len(unanswered)} of the last {len(self.recent) + 1} windows violated, {policy.violations} needed"
        if len(counted) > len(unanswered):
            learned = len(counted) - len(unanswered)
            figures += f" ({learned} more ended by {self.champion_as_of}, and the champion has learned from it)"
        is_violated = any(w == self.window for w, _ in unanswered)
        if self.report is None:
            figures += "; this window was not checked"
        elif not is_violated and len(unanswered) >= policy.violations:
            figures += ", but this window is not"
        drifted = is_violated and len(unanswered) >= policy.violations
        found = {signal for _, signals in unanswered for signal in signals}

        age = (self.window.end - self.champion_as_of).days if self.champion_as_of is not None else None
        is_old = policy.max_age_days is not None and age is not None and age > policy.max_age_days
        if policy.max_age_days is not None and age is not None:
            figures += f"; the champion's data is {age} days old, {policy.max_age_days} allowed"
        labels = self.report.new_labels if self.report else None
        if policy.new_labels is not None and labels is not None:
            figures += f"; {labels} new labels, {policy.new_labels} request a retraining"

        if ask is not None:
            return ask.cause, f"{ask.by} requests it: {ask.reason or 'no reason was given'}; {figures}"
        if champion is None or lost_champion:
            lost = (
                f"champion version {champion.version} cannot answer: {lost_champion}"
                if champion
                else "there is no champion yet"
            )
            return Cause.NO_CHAMPION, f"{lost}; {figures}"
        if drifted:
            return next(cause for signal, cause in _CAUSES.items() if signal in found), figures
        if is_old:
            return Cause.SCHEDULE, figures
        if policy.new_labels is not None and labels is not None and labels >= policy.new_labels:
            return Cause.NEW_LABELS, figures
        return Cause.NONE, figures

    def find_faults(self) -> _Faults:
        """The earlier windows that the next training would learn from although their data are broken."""
        patience = self.policy.fault_lapses_after
        earlier = [one for one in self.latest if one.window != self.window or self.report is None]
        checked = [(one.window, one.signals) for one in earlier if one.checked]
        if self.report is not None:
            checked.append((self.window, self.signals))
        holding: list[str] = []
        lapsed: list[str] = []
        for one in earlier:
            if Signal.FAULT not in one.signals or (self.champion_as_of and one.window.end <= self.champion_as_of):
                continue
            sound = sum(window.end > one.window.end and Signal.FAULT not in signals for window, signals in checked)
            (holding if patience is None or sound < patience else lapsed).append(one.window.label)
        return _Faults(holding, lapsed)

    def find_hold(
        self,
        cause: Cause,
        before: Sequence[RetrainDecision],
        requests: Sequence[RetrainRequest],
        champion: LedgerEntry | None,
    ) -> str:
        """What holds back a retraining now; empty where nothing does."""
        policy, end = self.policy, self.window.end
        if broken := self.find_faults().holding:
            patience = policy.fault_lapses_after
            until = f"; a fault lapses after {patience} sound windows" if patience is not None else ""
            return f"the data of {', '.join(broken)} are broken and would be trained on: repair or accept them first{until}"
        waiting = self._find_waiting(before, requests, champion)
        if waiting or cause is Cause.BY_HAND:
            return waiting
        requested = [one.window.end for one in before if one.retrain]
        if requested and (end - max(requested)).days < max(policy.cooldown_days, 1):
            return f"requested by the window that ended {max(requested)}, cooldown {policy.cooldown_days} days"
        spent = sum(day > end - timedelta(days=7) for day in requested)
        if policy.at_most_per_week is not None and spent >= policy.at_most_per_week:
            return f"{spent} requested in the last seven days, {policy.at_most_per_week} allowed"
        labels = self.report.new_labels if self.report else None
        if champion is not None and policy.min_new_labels and (labels or 0) < policy.min_new_labels:
            return f"{labels or 0} new labels, {policy.min_new_labels} needed to learn anything new"
        return ""

    def _find_waiting(
        self, before: Sequence[RetrainDecision], requests: Sequence[RetrainRequest], champion: LedgerEntry | None
    ) -> str:
        known = {one.idempotency_key: one for one in requests}
        requested = {
            one.idempotency_key: known.get(
                one.idempotency_key, RetrainRequest(idempotency_key=one.idempotency_key, as_of=one.window.end)
            )
            for one in before
            if one.retrain
        }
        patience = timedelta(days=self.policy.answer_within_days)
        for one in {**requested, **known}.values():
            if not self.window.end - patience < one.as_of <= self.window.end:
                continue
            held = champion is not None and (one.version or 0) <= max(champion.version, champion.previous_version or 0)
            if one.passed and not held:
                return f"version {one.version}, requested on {one.as_of}, waits for its review"
            if not one.taken_by:
                return f"no training took the request of {one.as_of} yet"
            if one.passed is None:
                return f"training {one.taken_by}, requested on {one.as_of}, has not ended"
        return ""


def _name(window: Window, report: DriftReport | None, champion: LedgerEntry | None, ask: Ask | None, accepted_by: str) -> str:
    if ask is not None:
        return f"{ask.cause}:{ask.key}"
    evidence = f"#{report.evidence[:12]}" if report and report.evidence else ""
    return f"{window.label}@{champion.version if champion else 'none'}{evidence}{'+accepted' if accepted_by else ''}"


def _is_request(decision: RetrainDecision) -> bool:
    return decision.idempotency_key.startswith((f"{Cause.BY_HAND}:", f"{Cause.ALERT}:"))

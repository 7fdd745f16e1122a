"""Monitoring: check results, drift reports, retrain decisions and requests."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Literal

from pydantic import Field

from tasks.contracts.base import Contract, Name, Window


class Signal(StrEnum):
    """What a violated check says about the window, and therefore what is to be done."""

    FAULT = "fault"  # the data are broken: stop, notify a person, never train on them
    DRIFT = "drift"  # inputs or predictions moved: retrain
    LABEL_SHIFT = "label_shift"  # the label moved: retrain, and notify a person
    QUALITY = "quality"  # matured labels say that the champion got worse: retrain


class CheckResult(Contract):
    """One check on one column or figure."""

    check: Name
    column: str
    method: str
    value: float
    threshold: float
    violated: bool
    signal: Signal = Signal.DRIFT
    note: str = Field("", description="why it was not judged (too few rows); empty when it was")


class DriftReport(Contract):
    """The results of monitoring in one window. `violated` if any check was."""

    use_case: Name
    window: Window
    reference: str
    current_rows: int
    reference_rows: int
    checks: tuple[CheckResult, ...]
    violated: bool
    report_uri: str = Field(description="address of the HTML report, empty if none was made")
    run_id: str
    evidence: str = Field("", description="digest of all inputs; another one means that the data were repaired")
    new_labels: int | None = Field(None, description="labels that came after what the champion has learned; None: not counted")
    figures: dict[str, float] = Field({}, description="what was measured and is not judged by a threshold")
    notes: dict[str, str] = Field({}, description="figure -> why it was not measured")

    @property
    def signals(self) -> tuple[Signal, ...]:
        """The signals of the violated checks, each once."""
        said = {check.signal for check in self.checks if check.violated}
        return tuple(signal for signal in Signal if signal in said)


class Cause(StrEnum):
    """Why a retraining was requested."""

    NO_CHAMPION = "no_champion"
    DRIFT = "drift"
    LABEL_SHIFT = "label_shift"
    QUALITY = "quality"
    SCHEDULE = "schedule"
    NEW_LABELS = "new_labels"
    BY_HAND = "by_hand"  # the request of a person
    ALERT = "alert"  # an alert that is labelled to retrain
    FAULT = "fault"  # nothing was requested: the window's data are broken
    NONE = "none"


class Ask(Contract):
    """A request from outside: a person or an alert requests a retraining. The same `key` is the same request."""

    cause: Literal[Cause.BY_HAND, Cause.ALERT]
    by: str = Field(min_length=1, max_length=200)
    reason: str = Field(max_length=1000)
    key: str = Field(min_length=1, max_length=100)


class RetrainDecision(Contract):
    """Retrain or not, and because of what. Recorded also when the answer is no."""

    use_case: Name
    window: Window
    retrain: bool
    cause: Cause
    reason: str
    violated: bool = Field(False, description="whether this window itself was violated")
    signals: tuple[Signal, ...] = Field((), description="what this window's violated checks say; later decisions count them")
    alert: bool = Field(False, description="whether to notify a person")
    checked: bool = Field(True, description="whether monitoring measured this window; decisions of older versions do not say")
    violations: int
    considered_windows: int
    idempotency_key: str
    report_uri: str = ""


class RetrainRequest(Contract):
    """The state of a decision to retrain: which training took it, and its result."""

    idempotency_key: str
    as_of: date = Field(description="the end of the window that requested it")
    taken_by: str = Field("", description="the training run that answers it; empty: none yet")
    version: int | None = Field(None, description="the version that was registered; None: none yet")
    passed: bool | None = Field(None, description="whether the version passed its gates")

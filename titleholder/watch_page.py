"""The monitoring page: champion, retraining decisions and measurements of each use case, without Grafana."""

from __future__ import annotations

from dataclasses import dataclass

from tasks import pages
from tasks.contracts.monitoring import Cause, RetrainDecision
from tasks.io.decisions import DecisionLog
from tasks.io.ledger import Ledger
from tasks.use_case import list_use_cases

MAX_DECISIONS = 15


@dataclass(frozen=True)
class _Decision:
    """One retraining decision as the template shows it."""

    window: str
    retrain: bool
    cause: str
    tone: str
    reason: str
    report: str


@dataclass(frozen=True)
class _UseCase:
    """One section of the page."""

    name: str
    champion: str
    decisions: tuple[_Decision, ...]
    has_reports: bool


def render_page(ledger: Ledger, log: DecisionLog) -> str:
    """The page, one section a use case."""
    return pages.render_page("watch.html.j2", use_cases=[_describe(ledger, log, name) for name in list_use_cases()])


def _describe(ledger: Ledger, log: DecisionLog, name: str) -> _UseCase:
    head = ledger.head(name)
    champion = "none yet"
    if head:
        champion = f"version {head.version}, promoted {head.at:%Y-%m-%d %H:%M} UTC by {head.actor}"
    newest = reversed(log.decisions(name)[-MAX_DECISIONS:])
    return _UseCase(name, champion, tuple(_describe_decision(one) for one in newest), bool(log.reports(name)))


def _describe_decision(decision: RetrainDecision) -> _Decision:
    return _Decision(
        window=decision.window.label,
        retrain=decision.retrain,
        cause=decision.cause.value,
        tone="bad" if decision.alert or decision.cause is Cause.FAULT else "",
        reason=decision.reason,
        report=decision.report_uri if decision.report_uri.startswith(("http://", "https://")) else "",
    )

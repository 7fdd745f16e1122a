"""The page of the same figures that needs no Grafana. No scripts, nothing fetched from elsewhere."""

from __future__ import annotations

from html import escape

from tasks.contracts.monitoring import Cause, RetrainDecision
from tasks.io.decisions import DecisionLog
from tasks.io.ledger import Ledger
from tasks.use_case import list_use_cases

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #ccc;padding:.3rem .8rem;text-align:left;"
    "vertical-align:top}.number{font-variant-numeric:tabular-nums;white-space:nowrap}.wrong{color:#a00;font-weight:600}"
    "img{width:100%}h2{margin-top:3rem}"
)
_NEWEST = 15


def render_page(ledger: Ledger, log: DecisionLog) -> str:
    """One section a use case: the champion, what was decided last and why, and every figure over time."""
    sections = "".join(_section(ledger, log, name) for name in list_use_cases())
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Titleholder: monitoring</title><style>{_STYLE}</style>'
        f"<h1>Monitoring</h1>{sections}"
        '<p><a href="/metrics">metrics</a></p></html>'
    )


def _section(ledger: Ledger, log: DecisionLog, name: str) -> str:
    head, reports, past = ledger.head(name), log.reports(name), log.decisions(name)
    told = (
        f"version {head.version}, crowned {head.at:%Y-%m-%d %H:%M} UTC by {escape(head.actor)}" if head else "no champion yet"
    )
    body = f'<h2 id="{escape(name)}">{escape(name)}</h2><p>Champion: {told}.</p>'
    if past:
        rows = "".join(_row(decision) for decision in reversed(past[-_NEWEST:]))
        body += f"<table><tr><th>window</th><th>retrain</th><th>cause</th><th>why</th></tr>{rows}</table>"
    else:
        body += "<p>Nothing was decided yet.</p>"
    if reports:
        body += f'<p><img src="/history/{escape(name)}.svg" alt="Every figure of {escape(name)} over time"></p>'
    return body


def _row(decision: RetrainDecision) -> str:
    style = ' class="wrong"' if decision.alert or decision.cause is Cause.FAULT else ""
    report = f' <a href="{escape(decision.report_uri)}">report</a>' if decision.report_uri.startswith("http") else ""
    return (
        f'<tr><td class="number">{escape(decision.window.label)}</td><td>{"yes" if decision.retrain else "no"}</td>'
        f"<td{style}>{escape(decision.cause.value)}</td><td>{escape(decision.reason)}{report}</td></tr>"
    )

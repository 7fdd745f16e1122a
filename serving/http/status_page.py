"""The page at `/`: what is in service, for people. No scripts, nothing fetched from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from serving.deployment.store import Deployment

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #ccc;padding:.4rem .8rem;text-align:left}"
    ".wrong{color:#a00}"
)
_HEADINGS = ("Use case", "Task", "Version", "Kind", "Features", "Since", "By", "State")


def render_page(seats: Sequence[Deployment]) -> str:
    """One row a use case."""
    rows = "".join(_row(seat) for seat in seats) or f'<tr><td colspan="{len(_HEADINGS)}">Nothing was promoted yet.</td></tr>'
    headings = "".join(f"<th>{heading}</th>" for heading in _HEADINGS)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Titleholder</title><style>{_STYLE}</style>'
        f"<h1>In service</h1><table><tr>{headings}</tr>{rows}</table>"
        '<p><a href="/docs">API</a> · <a href="/readyz">readiness</a> · <a href="/metrics">metrics</a></p></html>'
    )


def _row(seat: Deployment) -> str:
    served = seat.served
    name = f'<a href="/v1/{escape(seat.use_case)}/model">{escape(seat.use_case)}</a>'
    state = (
        f'<span class="wrong">{escape(seat.last_error)}</span>' if seat.last_error else "in service" if served else "loading"
    )
    if served is None:
        cells = ["", "", "", "", "", ""]
    else:
        entry = served.entry
        cells = [
            served.terms.task.value,
            f"{entry.version}",
            served.model.kind,
            served.features_version,
            f"{entry.at:%Y-%m-%d %H:%M} UTC",
            entry.actor,
        ]
    return f"<tr><td>{name}</td>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + f"<td>{state}</td></tr>"

"""The HTML page at `/`: what is in service. No scripts, and nothing is loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from serving.deployment.bundle import Deployment

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #ccc;padding:.4rem .8rem;text-align:left}"
    ".wrong{color:#a00}"
)
_HEADINGS = ("Use case", "Task", "Version", "Kind", "Features", "Since", "By", "State")


def render_page(deployments: Sequence[Deployment]) -> str:
    """A table with one row for each use case."""
    empty = f'<tr><td colspan="{len(_HEADINGS)}">No model was promoted yet.</td></tr>'
    rows = "".join(_render_row(deployment) for deployment in deployments) or empty
    headings = "".join(f"<th>{heading}</th>" for heading in _HEADINGS)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Titleholder</title><style>{_STYLE}</style>'
        f"<h1>In service</h1><table><tr>{headings}</tr>{rows}</table>"
        '<p><a href="/docs">API</a> · <a href="/readyz">Readiness</a> · <a href="/metrics">Metrics</a></p></html>'
    )


def _render_row(deployment: Deployment) -> str:
    bundle, error = deployment.bundle, deployment.last_error
    name = f'<a href="/v1/{escape(deployment.use_case)}/model">{escape(deployment.use_case)}</a>'
    state = f'<span class="wrong">{escape(error)}</span>' if error else "in service" if bundle else "loading"
    if bundle is None:
        cells = ["", "", "", "", "", ""]
    else:
        entry = bundle.entry
        cells = [
            bundle.terms.task.value,
            f"{bundle.version}",
            bundle.model.kind,
            bundle.features_version,
            f"{entry.at:%Y-%m-%d %H:%M} UTC" if entry else "",
            entry.actor if entry else "",
        ]
    return f"<tr><td>{name}</td>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + f"<td>{state}</td></tr>"

"""The HTML page at `/`: the model in service of each use case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from serving.deployment.bundle import Deployment
from tasks import pages


@dataclass(frozen=True)
class _Row:
    """One use case as the template shows it."""

    use_case: str
    state: str
    tone: str
    error: str
    task: str = ""
    version: str = ""
    kind: str = ""
    features: str = ""
    since: str = ""
    promoted_by: str = ""


def render_page(deployments: Sequence[Deployment]) -> str:
    """A table with one row for each use case."""
    return pages.render_page("status.html.j2", rows=[_describe(one) for one in deployments])


def _describe(deployment: Deployment) -> _Row:
    bundle = deployment.bundle
    error = deployment.last_error
    tone = "bad" if error else "good" if bundle else "open"
    if bundle is None:
        return _Row(deployment.use_case, "not in service" if error else "loading", tone, error)
    entry = bundle.entry
    return _Row(
        deployment.use_case,
        "in service",
        tone,
        error,
        task=bundle.terms.task.value,
        version=str(bundle.version),
        kind=bundle.model.kind,
        features=bundle.features_version,
        since=f"{entry.at:%Y-%m-%d %H:%M} UTC" if entry else "",
        promoted_by=entry.actor if entry else "",
    )

"""Seam: the serving endpoint as its clients see it: which model answers, and what it has counted of each version."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tasks.errors import ServiceUnavailable
from tasks.settings import get_settings


@dataclass(frozen=True)
class ServedFigures:
    """What the endpoint has counted of one version since its process started.

    `latency` : (seconds, how many answers took no longer), ascending, the last one infinite. `scores` : how many best scores
    fell into each bin of `tasks.models.smoke.SCORE_EDGES`; both empty before the first answer.
    """

    answered: int = 0
    failed: int = 0
    latency: tuple[tuple[float, int], ...] = ()
    scores: tuple[int, ...] = ()


def served_figures(use_case: str, version: int, timeout: float = 5.0) -> ServedFigures:
    """The endpoint's Prometheus metrics of one version.

    Raises
    ------
    ServiceUnavailable : the endpoint does not answer.
    """
    import httpx
    from prometheus_client.parser import text_string_to_metric_families

    url = f"{get_settings().endpoint_url}/metrics"
    try:
        text = httpx.get(url, timeout=timeout).raise_for_status().text
    except httpx.HTTPError as error:
        raise ServiceUnavailable(f"{use_case}: the endpoint tells no figures at {url}: {error}") from error
    wanted = {"use_case": use_case, "version": str(version)}
    samples = [
        sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if wanted.items() <= sample.labels.items()
    ]

    def total(outcome: str) -> int:
        return sum(
            int(one.value) for one in samples if one.name == "titleholder_answers_total" and one.labels["outcome"] == outcome
        )

    def cumulative(name: str) -> list[tuple[float, int]]:
        return sorted((float(one.labels["le"]), int(one.value)) for one in samples if one.name == f"{name}_bucket")

    scores = [count for _, count in cumulative("titleholder_score")]
    return ServedFigures(
        answered=total("answered"),
        failed=total("failed"),
        latency=tuple(cumulative("titleholder_answer_seconds")),
        scores=tuple(later - before for before, later in pairwise([0, *scores])),
    )


def served_model(use_case: str, timeout: float = 5.0) -> dict[str, Any] | None:
    """What `GET /v1/<use_case>/model` says; None where nothing is served yet or nobody answers."""
    import httpx

    try:
        response = httpx.get(f"{get_settings().endpoint_url}/v1/{use_case}/model", timeout=timeout)
    except httpx.HTTPError:
        return None
    if response.status_code != httpx.codes.OK:
        return None
    document: dict[str, Any] = response.json()
    return document


def await_version(use_case: str, version: int, timeout: float = 60.0) -> dict[str, Any]:
    """Wait until the endpoint answers with `version`; its description comes back.

    Raises
    ------
    ServiceUnavailable : it did not within `timeout` seconds; says what it serves instead and where to look.
    """
    deadline = time.monotonic() + timeout
    found: dict[str, Any] | None = None
    while time.monotonic() < deadline:
        found = served_model(use_case)
        if found is not None and found["version"] == version:
            return found
        time.sleep(0.25)
    url = get_settings().endpoint_url
    instead = f"it serves version {found['version']}" if found else "it does not answer or serves nothing"
    raise ServiceUnavailable(
        f"{use_case}: the endpoint at {url} did not take version {version} within {timeout:.0f} s; {instead}. "
        f"See {url}/readyz for the reason; the ledger stands, and the endpoint takes the version as soon as it can."
    )

"""Adapter: the serving endpoint. Which model it serves, what it has counted, and an endpoint of its own for a gate."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

from tasks.contracts.data import DatasetRef
from tasks.errors import ModelError, ServiceUnavailable
from tasks.io import isolated_process
from tasks.io.polling import NotYet, wait_until
from tasks.settings import get_settings


@dataclass(frozen=True)
class ServedFigures:
    """The counters of one version since the endpoint's process started.

    latency : pairs of seconds and the number of answers that took no longer, ascending; the last pair is infinite.
    scores : how many best scores fell into each bin of `tasks.models.smoke_test.SCORE_EDGES`.
    Both are empty before the first answer.
    """

    answered: int = 0
    failed: int = 0
    latency: tuple[tuple[float, int], ...] = ()
    scores: tuple[int, ...] = ()


def served_figures(use_case: str, version: int, *, timeout: float = 5.0) -> ServedFigures:
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
        raise ServiceUnavailable(f"{use_case}: the endpoint's metrics at {url} cannot be read: {error}") from error
    labels = {"use_case": use_case, "version": str(version)}
    samples = [
        sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if labels.items() <= sample.labels.items()
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


def served_model(use_case: str, *, timeout: float = 5.0) -> dict[str, Any] | None:
    """The state of a use case in `GET /readyz`, which needs no key; None if nothing is served or the endpoint is down."""
    import httpx

    try:
        document: dict[str, Any] = httpx.get(f"{get_settings().endpoint_url}/readyz", timeout=timeout).json()
    except (httpx.HTTPError, ValueError):
        return None
    state: dict[str, Any] | None = document.get("use_cases", {}).get(use_case)
    return state if state and state["version"] is not None else None


def await_version(use_case: str, version: int, *, seconds: float = 60.0) -> dict[str, Any]:
    """Wait until the endpoint serves `version`, and return its description.

    Raises
    ------
    ServiceUnavailable : it does not within `seconds`; names what it serves instead and where to look.
    """
    url = get_settings().endpoint_url

    def probe() -> dict[str, Any]:
        found = served_model(use_case)
        if found is None:
            raise NotYet("it does not answer or serves nothing")
        if found["version"] != version:
            raise NotYet(f"it serves version {found['version']}")
        return found

    return wait_until(
        probe,
        seconds=seconds,
        pause=0.25,
        what=f"the endpoint at {url} to serve {use_case} version {version}",
        remedy=f"See {url}/readyz for the reason. The ledger keeps the entry, and the endpoint loads the version when it can.",
    )


@dataclass(frozen=True)
class StandaloneExport:
    """An exported model that an endpoint of its own serves.

    native : folder of the export. kinds : the classes that may be loaded, by kind.
    features : the snapshot with the users' features, as of the day `as_of`; a tabular model reads none.
    """

    use_case: str
    native: Path
    manifest_digest: str
    kinds: Mapping[str, type]
    features: DatasetRef
    as_of: date
    data_root: Path

    def to_json(self) -> dict[str, Any]:
        """The job that `serving.standalone` reads."""
        return {
            "use_case": self.use_case,
            "native": str(self.native.resolve()),
            "manifest_digest": self.manifest_digest,
            "kinds": {kind: (served.__module__, served.__qualname__) for kind, served in self.kinds.items()},
            "features": self.features.to_json(),
            "as_of": self.as_of.isoformat(),
            "data_root": str(self.data_root.resolve()),
        }


@contextmanager
def serve_standalone(export: StandaloneExport, *, command: Sequence[str], home: Path, seconds: float = 60.0) -> Iterator[str]:
    """Serve one export with a real endpoint in a process of its own. Yields its address; it ends with the context.

    Parameters
    ----------
    command : starts `serving.standalone`, which adapters do not import.
    home : an empty folder for its prediction log.

    Raises
    ------
    ModelError : it could not be loaded, gave an invalid first answer, or did not answer within `seconds`.
    """
    process = subprocess.Popen(
        list(command),
        env=isolated_process.environment(),
        cwd=home,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    limit = threading.Timer(seconds, process.kill)
    limit.start()
    try:
        if process.stdin is None or process.stdout is None or process.stderr is None:  # for the type checker: PIPE is set
            raise ModelError(f"{export.use_case}: the process of the endpoint has no pipes")
        process.stdin.write(json.dumps(export.to_json()) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        limit.cancel()
        reply = json.loads(line) if line else {}
        if "address" not in reply:
            why = reply.get("fault") or (process.stderr.read().strip().splitlines() or [f"nothing within {seconds:g} s"])[-1]
            raise ModelError(f"{export.use_case}: it cannot be served: {why[:500]}")
        _await_health(reply["address"], seconds)
        yield reply["address"]
    finally:
        limit.cancel()
        process.kill()
        process.communicate()


def _await_health(address: str, seconds: float) -> None:
    import httpx

    def probe() -> None:
        try:
            httpx.get(f"{address}/healthz", timeout=2.0)
        except httpx.HTTPError as error:
            raise NotYet(f"{type(error).__name__}: {error}") from error

    try:
        wait_until(probe, seconds=seconds, pause=0.05, what=f"the endpoint at {address} to answer")
    except ServiceUnavailable as error:
        raise ModelError(str(error)) from error

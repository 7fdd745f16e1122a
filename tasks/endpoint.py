"""Seam: the serving endpoint as its clients see it. Asks which model answers, and waits until a promotion has arrived."""

from __future__ import annotations

import time
from typing import Any

from tasks.errors import ServiceUnavailable
from tasks.settings import get_settings


def served_model(use_case: str, timeout: float = 5.0) -> dict[str, Any] | None:
    """What `GET /readyz` says of a use case, which needs no key; None where nothing is served yet or nobody answers."""
    import httpx

    try:
        document: dict[str, Any] = httpx.get(f"{get_settings().endpoint_url}/readyz", timeout=timeout).json()
    except (httpx.HTTPError, ValueError):
        return None
    seat: dict[str, Any] | None = document.get("use_cases", {}).get(use_case)
    return seat if seat and seat["version"] is not None else None


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

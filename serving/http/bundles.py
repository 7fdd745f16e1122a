"""Finds the bundle that answers a request."""

from __future__ import annotations

from http import HTTPStatus

from serving.deployment.bundle import Bundle, DeploymentSource
from serving.http.problems import Refusal, shorten


def find_bundle(source: DeploymentSource, use_case: str) -> Bundle:
    """The bundle in service. Call it once per request, so that the whole answer comes from one bundle.

    Raises
    ------
    Refusal : 404 for an unknown use case, 503 for one whose first bundle is not loaded yet.
    """
    deployment = source.deployments.get(use_case)
    if deployment is not None and deployment.bundle is not None:
        return deployment.bundle
    retry = {"Retry-After": "2"}
    if deployment is not None:
        loading = f"version {deployment.head.version} is being loaded" if deployment.head is not None else "being loaded"
        reason = f"{use_case}: {deployment.last_error or loading}"
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, reason, headers=retry)
    if source.ledger_error:
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "the ledger cannot be read yet", headers=retry)
    served = ", ".join(sorted(source.deployments)) or "none, because nothing was promoted yet"
    raise Refusal(HTTPStatus.NOT_FOUND, f"use case {shorten(use_case)!a} has no champion; use cases with one: {served}")

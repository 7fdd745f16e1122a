"""The data products that DAGs hand to each other. An event says only that there is something new, and names it."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset


def features(use_case: str) -> Asset:
    """New features were published. Extra: `window`, `as_of`, `validated`, `features`."""
    return Asset(f"{use_case}.features")


def retrain_request(use_case: str) -> Asset:
    """The retrain controller said yes. Extra: `as_of`, `cause`, `reason`, `idempotency_key`."""
    return Asset(f"{use_case}.retrain_request")


def challenger(use_case: str) -> Asset:
    """A candidate passed every enabled gate. Extra: `version`."""
    return Asset(f"{use_case}.challenger")


def champion(use_case: str) -> Asset:
    """The champion changed, by promotion or rollback. Extra: `version`, `sequence`."""
    return Asset(f"{use_case}.champion")


def events_of(context: Any, asset: Asset) -> list[dict[str, Any]]:
    """The extras of the events of one asset that started this run, oldest first; empty for a run started otherwise."""
    triggering = context.get("triggering_asset_events") or {}
    return [dict(event.extra) for event in triggering.get(asset, [])]

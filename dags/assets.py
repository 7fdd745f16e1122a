"""The data products that DAGs hand to each other. An event reports that something is new, and names it."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, get_current_context


def features(use_case: str) -> Asset:
    """New features were published. Extra: `window`, `as_of`, `validated`, `features`, `behind`, `late`, `windows`."""
    return Asset(f"{use_case}.features")


def retrain_request(use_case: str) -> Asset:
    """The retrain controller decided to retrain. Extra: `as_of`, `cause`, `reason`, `idempotency_key`."""
    return Asset(f"{use_case}.retrain_request")


def challenger(use_case: str) -> Asset:
    """A candidate passed every enabled gate. Extra: `version`."""
    return Asset(f"{use_case}.challenger")


def champion(use_case: str) -> Asset:
    """The champion changed, by promotion or rollback. Extra: `version`, `sequence`."""
    return Asset(f"{use_case}.champion")


def describe_event(asset: Asset, extra: dict[str, Any]) -> None:
    """Set the extra of the event that the current task sends when it succeeds."""
    get_current_context()["outlet_events"][asset].extra = extra


def events_of(context: Any, asset: Asset) -> list[dict[str, Any]]:
    """The extras of the events of one asset that started this run, oldest first; empty for a run started otherwise."""
    triggering = context.get("triggering_asset_events") or {}
    return [dict(event.extra) for event in triggering.get(asset, [])]

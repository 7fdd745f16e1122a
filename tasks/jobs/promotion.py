"""The job of `<use_case>.promotion` after its review: ledger, then alias, then the endpoint."""

from __future__ import annotations

from collections.abc import Callable

from tasks.contracts.promotion import Approval, LedgerEntry
from tasks.io.endpoint import await_version
from tasks.jobs.run import Run
from tasks.stages import registry


def promote(
    run: Run, approval: Approval, *, await_endpoint: Callable[[str, int], object] | None = await_version
) -> LedgerEntry:
    """Make the approved version the champion, and wait until the endpoint answers with it.

    Parameters
    ----------
    await_endpoint : waits until the endpoint serves a version of a use case; None where there is no endpoint.

    Raises
    ------
    PromotionRefused, ModelError : from `registry.promote`.
    ServiceUnavailable : the endpoint did not take the version in time. Trying again waits again and changes nothing else.
    """
    entry = registry.promote(approval, run.run_id, run.ledger)
    if await_endpoint is not None:
        await_endpoint(run.name, entry.version)
    return entry


def champion_event(entry: LedgerEntry) -> dict[str, int]:
    """The extra of the asset `champion`."""
    return {"version": entry.version, "sequence": entry.sequence}

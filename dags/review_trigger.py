"""The waiting half of a review: runs in the triggerer, for days, and costs no worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from airflow.providers.standard.triggers.hitl import HITLTrigger
from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.triggers.base import TriggerEvent  # triggers run in the core: the SDK has no door for them


class ReviewTrigger(HITLTrigger):  # type: ignore[misc]  # Airflow carries no types
    """Looks every few seconds at both doors: Airflow's own page, and the tags of the version in MLflow.

    Ends with Airflow's event where somebody answered there, else with one of `approval`, `rejection`, `over` and `unasked`.
    While MLflow or the ledger does not answer, it goes on waiting.
    """

    def __init__(self, *, review: dict[str, Any], **request: Any) -> None:
        super().__init__(**request)
        self.review = review

    def serialize(self) -> tuple[str, dict[str, Any]]:
        _, request = super().serialize()
        return f"{__name__}.{type(self).__name__}", {**request, "review": self.review}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        while True:
            # Airflow resumes the task itself when somebody answers on its page, but not one who answers before it waits.
            event = await self._answer() or await self._look()
            if event is not None:
                yield event
                return
            await asyncio.sleep(self.poke_interval)

    async def _answer(self) -> TriggerEvent | None:
        """What was said on Airflow's page; `unasked` where a new try has no request there."""
        try:
            return await self._handle_response()
        except AirflowRuntimeError as error:
            if (error.error.detail or {}).get("status_code") != HTTPStatus.NOT_FOUND:
                raise
            return TriggerEvent({"unasked": True})

    async def _look(self) -> TriggerEvent | None:
        from tasks.stages.review import OpenReview

        review, now = OpenReview.from_json(self.review), datetime.now(UTC)
        try:
            said = await asyncio.to_thread(look_once, review, now)
        except Exception as error:  # whatever is broken, a person may still answer, and time runs out all the same
            self.log.warning("could not look at %s version %s: %s", review.version.use_case, review.version.version, error)
            said = {"over": f"silence is a no; and lately nobody could look: {error}"} if now >= review.expires_at else None
        return None if said is None else TriggerEvent(said)


def look_once(review: Any, now: datetime) -> dict[str, Any] | None:
    """One look at the tags; blocks while MLflow and the ledger are asked."""
    from tasks.contracts.promotion import Approval
    from tasks.io.ledger import Ledger
    from tasks.settings import get_settings
    from tasks.stages.review import Over, is_loopback, look
    from tasks.use_case import load_use_case

    settings = get_settings()
    reviewers = load_use_case(review.version.use_case).review.reviewers
    found = look(review, reviewers, is_loopback(settings.mlflow_tracking_uri), Ledger(settings.ledger_url), now)
    if found is None:
        return None
    if isinstance(found, Over):
        return {"over": found.why}
    return {"approval" if isinstance(found, Approval) else "rejection": found.to_json()}

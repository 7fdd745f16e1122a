"""The waiting half of a review: runs in the triggerer, for days, and occupies no worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

from airflow.providers.standard.triggers.hitl import HITLTrigger
from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.triggers.base import TriggerEvent  # triggers run in the core: the SDK does not offer this class

from tasks import clock
from tasks.contracts.promotion import OpenReview
from tasks.jobs import review as jobs

NO_REQUEST = "no_request"  # key of the event that asks the task to write its request to Airflow again


class ReviewTrigger(HITLTrigger):  # type: ignore[misc]  # Airflow carries no types
    """Polls Airflow's own page, and the tags of the version in MLflow.

    Ends with Airflow's event for an answer on its page, else with one of `approval`, `rejection`, `closed` and `no_request`.
    While MLflow or the ledger does not answer, it continues to wait.
    """

    def __init__(self, *, review: dict[str, Any], **request: Any) -> None:
        super().__init__(**request)
        self.review = review

    def serialize(self) -> tuple[str, dict[str, Any]]:
        _, request = super().serialize()
        return f"{__name__}.{type(self).__name__}", {**request, "review": self.review}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        while True:
            # Airflow resumes the task itself for an answer on its page, but not for one that came before the task waits.
            event = await self._poll_page() or await self._poll_mlflow()
            if event is not None:
                yield event
                return
            await asyncio.sleep(self.poke_interval)

    async def _poll_page(self) -> TriggerEvent | None:
        """An answer on Airflow's page; `no_request` where a new try has no request there."""
        try:
            return await self._handle_response()
        except AirflowRuntimeError as error:
            if (error.error.detail or {}).get("status_code") != HTTPStatus.NOT_FOUND:
                raise
            return TriggerEvent({NO_REQUEST: True})

    async def _poll_mlflow(self) -> TriggerEvent | None:
        event = await asyncio.to_thread(jobs.poll, OpenReview.from_json(self.review), clock.now())
        return None if event is None else TriggerEvent(event)

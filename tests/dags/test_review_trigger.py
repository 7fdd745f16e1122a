"""The trigger as the triggerer runs it: restored from its serialized form, in an event loop, with a real MLflow store."""

from __future__ import annotations

import asyncio
import importlib
import shutil
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.contracts.judging import Role
from tasks.contracts.promotion import ModelVersion
from tasks.io import tracking
from tasks.io.ledger import Ledger
from tasks.settings import ROOT, get_settings
from tasks.stages.review import ANSWER, OPENED, open_review, prepare_review

CASE = "breast_cancer"


class Page:
    """A fake of Airflow's API server: the state of the request in its database."""

    def __init__(self) -> None:
        self.answer: dict[str, Any] = {}
        self.fault = 0

    def send(self, msg: Any) -> Any:
        if self.fault:
            from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
            from airflow.sdk.execution_time.comms import ErrorResponse

            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": self.fault}))
        blank: dict[str, Any] = {"chosen_options": None, "params_input": {}, "responded_at": None, "responded_by_user": None}
        return SimpleNamespace(response_received=bool(self.answer), **(blank | self.answer))


@pytest.fixture
def version(store: Path) -> ModelVersion:
    fields = {
        "use_case": CASE,
        "run_id": "r",
        "model_uri": "models:/m-1",
        "kind": "logistic_regression",
        "manifest_digest": "f" * 64,
        "data_digest": "d" * 64,
        "report_digest": "e" * 64,
        "code_version": "abc",
        "as_of": "2026-03-01",
    }
    client = tracking.get_client()
    client.create_registered_model(CASE)
    client.create_model_version(CASE, source=str(store), tags=fields | {"passed": "true"})
    tracking.set_alias(CASE, Role.CHALLENGER, 1)
    return ModelVersion.model_validate({**fields, "version": 1, "passed": True})


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Page:
    from airflow.sdk.execution_time import task_runner

    page = Page()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", page, raising=False)
    return page


def wait(version: ModelVersion, *meanwhile: Callable[[], object], open_for: timedelta = timedelta(days=7)) -> Any:
    """Run the trigger to its end, as after a restart of the triggerer. An act of `meanwhile` that is False is repeated."""
    from dags.review_trigger import ReviewTrigger

    ledger = Ledger(get_settings().ledger_url)
    review = prepare_review(version, ledger, "run", open_for, datetime.now(UTC))
    open_review(review, ledger)
    first = ReviewTrigger(
        review=review.to_json(),
        ti_id=uuid.uuid4(),
        options=["Approve", "Reject"],
        params={},
        timeout_datetime=None,
        poke_interval=0.05,
    )
    path, settings = first.serialize()
    module, _, name = path.rpartition(".")
    restored = getattr(importlib.import_module(module), name)(**settings)
    assert restored.serialize() == first.serialize()

    async def drive() -> Any:
        running = asyncio.ensure_future(anext(restored.run()))
        for act in meanwhile:
            await asyncio.sleep(0.5)
            assert not running.done(), "it ended before a decision that counts"
            deadline = time.monotonic() + 30
            while act() is False:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
        return (await asyncio.wait_for(running, 30)).payload

    return asyncio.run(drive())


def tag(**tags: str) -> Callable[[], object]:
    return lambda: tracking.tag_version(CASE, 1, tags)


def answered(word: str) -> Callable[[], bool]:
    return lambda: tracking.version_tags(CASE, 1).get(ANSWER, "").split(",")[0] == word


def test_the_trigger_waits_for_a_decision_that_counts(version: ModelVersion, page: Page) -> None:
    event = wait(
        version,
        tag(review="eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm5hIn0."),
        answered("forged"),
        tag(review="approved"),
        answered("nameless"),
        tag(reviewer="ada"),
    )
    assert (event["approval"]["actor"], event["approval"]["trust"]) == ("ada", "on_trust")
    kept = [record.said for record in Ledger(get_settings().ledger_url).reviews(CASE)]
    assert kept == [OPENED, "a code", "approved"]


def test_an_answer_in_airflow_ends_the_wait(version: ModelVersion, page: Page) -> None:
    user = SimpleNamespace(id="7", name="grace")
    response = {"chosen_options": ["Reject"], "responded_at": datetime.now(UTC), "responded_by_user": user}
    event = wait(version, lambda: page.answer.update(response))
    assert (event["chosen_options"], event["responded_by_user"]["name"]) == (["Reject"], "grace")


def test_a_missing_request_is_reported(version: ModelVersion, page: Page) -> None:
    page.fault = 404
    assert wait(version) == {"no_request": True}


def test_a_newer_challenger_ends_the_wait(version: ModelVersion, page: Page) -> None:
    assert "superseded" in wait(version, lambda: tracking.set_alias(CASE, Role.CHALLENGER, None))["closed"]


@pytest.fixture
def use_case_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cases"
    folder.mkdir()
    shutil.copy(ROOT / "conf" / "use_cases" / f"{CASE}.yaml", folder)
    monkeypatch.setenv("TITLEHOLDER_USE_CASES", str(folder))
    get_settings.cache_clear()
    return folder / f"{CASE}.yaml"


def test_a_temporary_fault_does_not_end_the_wait(version: ModelVersion, page: Page, use_case_file: Path) -> None:
    away = use_case_file.with_suffix(".away")
    event = wait(
        version, lambda: use_case_file.rename(away), tag(review="approved", reviewer="ada"), lambda: away.rename(use_case_file)
    )
    assert event["approval"]["actor"] == "ada"


def test_a_lasting_fault_ends_the_wait_at_the_deadline(version: ModelVersion, page: Page, use_case_file: Path) -> None:
    use_case_file.unlink()
    over = wait(version, open_for=timedelta(seconds=1))["closed"]
    assert over.startswith("no answer until the deadline counts as a rejection; the last poll failed")
    assert "no file" in over

"""The review task as a worker runs it, with a real MLflow store and ledger: the request it opens, the decision it returns."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred

from tasks.io import tracking
from tasks.io.ledger import Ledger
from tasks.io.storage import Storage
from tasks.settings import get_settings
from tests.tasks import synthetic_classification

CASE, AUTO = "breast_cancer", "purchase_propensity"
BLANK = {"version": None, "reason": "", "override": False, "reviewer": None, "code": None}


class Airflow:
    """A fake of what Airflow gives a worker: the context of its task, and a channel to the API server."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.skipped: list[str] = []

    def send(self, msg: Any) -> None:
        self.requests.append(msg)

    def context(self, case: str, user: str = "root", event: int | None = None, **form: Any) -> dict[str, Any]:
        from dags import assets

        events = {assets.challenger(case): [SimpleNamespace(extra={"version": event})]} if event else {}
        task = SimpleNamespace(get_direct_relatives=lambda upstream: ["promote"])
        return {
            "params": BLANK | form,
            "run_id": "run",
            "triggering_asset_events": events,
            "task": task,
            "ti": None,
            "task_instance": SimpleNamespace(id=uuid.uuid4()),
            "dag_run": SimpleNamespace(dag_id=f"{case}.promotion", run_id="run", triggering_user_name=user),
        }

    def review(self, case: str = CASE) -> Any:
        """The operator, as the promotion DAG creates it."""
        from dags.review import FORM, ReviewOperator

        made = ReviewOperator(task_id="review", use_case=case, params=FORM)
        made.skip = lambda ti, tasks: self.skipped.extend(tasks)
        return made


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Airflow:
    from airflow.sdk.execution_time import task_runner

    airflow = Airflow()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", airflow, raising=False)
    return airflow


@pytest.fixture
def signed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """An Airflow with user accounts and a host name, as docker-compose.yml configures it."""
    monkeypatch.setenv("TITLEHOLDER_AIRFLOW_USER", "admin")
    monkeypatch.setenv("TITLEHOLDER_AIRFLOW_URL", "http://airflow-api-server:8080")
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "false")
    get_settings.cache_clear()


@pytest.fixture
def one(storage: Storage, store: Path) -> None:
    synthetic_classification.register_versions(storage, store, CASE, True)


def pressed(option: str, **filled: str) -> dict[str, Any]:
    """The event with which Airflow resumes the task after a user pressed a button."""
    user = {"id": "7", "name": "grace"}
    return {
        "chosen_options": [option],
        "params_input": {"why": "", "who": None, **filled},
        "responded_at": datetime.now(UTC),
        "responded_by_user": user,
    }


def said_of(option: str) -> str:
    return {"Approve": "approved", "Reject": "rejected"}[option]


def open_review(airflow: Airflow) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as deferred:
        airflow.review().execute(airflow.context(CASE, event=1))
    return deferred.value


def test_the_request_shows_the_verdict_and_defers_the_task(airflow: Airflow, one: None) -> None:
    deferred = open_review(airflow)
    (request,) = airflow.requests
    assert request.subject == "Is this tumour malignant: promote version 1?"
    assert list(request.params) == ["why", "who"]
    assert "| beats_champion | enabled | pass | as the test sets it |" in request.body
    assert "model-card.html" in request.body
    assert "/#/models/breast_cancer/versions/1" in request.body
    assert deferred.trigger.serialize()[0] == "dags.review_trigger.ReviewTrigger"
    assert deferred.trigger.poke_interval <= 10
    assert deferred.method_name == "execute_complete"
    assert "open until" in tracking.version_tags(CASE, 1)["review_answer"]


def test_a_retry_keeps_the_request_and_reads_tags(airflow: Airflow, one: None) -> None:
    first = open_review(airflow)
    tracking.tag_version(CASE, 1, {"review": "approved", "reviewer": "ada"})
    again = open_review(airflow)
    assert len(airflow.requests) == 1, "writing the request again would empty Airflow's answer"
    assert again.kwargs["review"]["early"] == "" and again.kwargs["review"] == first.kwargs["review"]
    with pytest.raises(TaskDeferred):
        airflow.review().execute_complete(airflow.context(CASE), {"no_request": True}, again.kwargs["review"])
    assert len(airflow.requests) == 2


@pytest.mark.parametrize(
    ("option", "answer"),
    [("Approve", "approved by grace (airflow): looked at it"), ("Reject", "rejected by grace (airflow): looked at it")],
)
def test_a_signed_in_user_is_the_reviewer(airflow: Airflow, one: None, signed_in: None, option: str, answer: str) -> None:
    review = open_review(airflow).kwargs["review"]
    event = pressed(option, why="looked at it", who="another person")
    decision = airflow.review().execute_complete(airflow.context(CASE), event, review)
    assert (decision["actor"], decision["trust"]) == ("grace", "airflow")
    assert decision["report_digest"] == review["version"]["report_digest"]
    assert airflow.skipped == ([] if option == "Approve" else ["promote"])
    assert tracking.version_tags(CASE, 1)["review_answer"] == answer
    # A retry after the decision was recorded, for example because MLflow was down, returns the recorded decision.
    again = airflow.review().execute(airflow.context(CASE, event=1))
    assert {name: again[name] for name in again if name != "expires_at"} == {
        name: decision[name] for name in decision if name != "expires_at"
    }
    assert [record.said for record in Ledger(get_settings().ledger_url).reviews(CASE)] == ["opened", said_of(option)]


def test_without_sign_in_a_decision_is_on_trust(airflow: Airflow, one: None) -> None:
    review = open_review(airflow).kwargs["review"]
    decision = airflow.review().execute_complete(airflow.context(CASE), pressed("Approve", who="ada"), review)
    assert (decision["actor"], decision["trust"], decision["reason"]) == ("ada", "on_trust", "approved in Airflow")


def test_a_reachable_airflow_without_sign_in_is_refused(airflow: Airflow, one: None, monkeypatch: pytest.MonkeyPatch) -> None:
    review = open_review(airflow).kwargs["review"]
    monkeypatch.setenv("TITLEHOLDER_AIRFLOW_URL", "http://airflow.example.org")
    get_settings.cache_clear()
    with pytest.raises(AirflowFailException, match="has no sign-in"):
        airflow.review().execute_complete(airflow.context(CASE), pressed("Approve"), review)


def test_a_closed_review_skips_the_promotion(airflow: Airflow, one: None) -> None:
    review = open_review(airflow).kwargs["review"]
    with pytest.raises(AirflowSkipException, match="no answer"):
        airflow.review().execute_complete(airflow.context(CASE), {"closed": "no answer"}, review)
    assert tracking.version_tags(CASE, 1)["review_answer"] == "closed: no answer"


def test_policy_auto_opens_no_request(airflow: Airflow, storage: Storage, store: Path) -> None:
    synthetic_classification.register_versions(storage, store, AUTO, True)
    decision = airflow.review(AUTO).execute(airflow.context(AUTO, event=1))
    assert (decision["actor"], decision["trust"], decision["version"]) == ("policy:auto", "policy", 1)
    assert airflow.requests == []


def test_the_form_uses_the_account_or_the_name(
    airflow: Airflow, storage: Storage, store: Path, request: pytest.FixtureRequest
) -> None:
    synthetic_classification.register_versions(storage, store, CASE, True, False)
    form: dict[str, Any] = {"version": 2, "reviewer": "ada", "reason": "the old one is broken", "override": True}
    decision = airflow.review().execute(airflow.context(CASE, user="grace", **form))
    assert (decision["actor"], decision["trust"], decision["is_override"]) == ("ada", "on_trust", True)
    request.getfixturevalue("signed_in")
    decision = airflow.review().execute(airflow.context(CASE, user="grace", **form))
    assert (decision["actor"], decision["trust"], decision["is_override"]) == ("grace", "airflow", True)
    refused: tuple[tuple[dict[str, Any], str], ...] = (
        ({"reason": " "}, "an override needs a reason"),
        ({"code": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm5hIn0."}, "forged, so it does not count"),
    )
    for changes, message in refused:
        with pytest.raises(AirflowFailException, match=message):
            airflow.review().execute(airflow.context(CASE, **(form | changes)))
    assert [one.counted for one in Ledger(get_settings().ledger_url).reviews(CASE)] == [True, True, False]


def test_without_version_and_challenger_the_task_skips(airflow: Airflow) -> None:
    with pytest.raises(AirflowSkipException, match="nothing to promote"):
        airflow.review().execute(airflow.context(CASE))

"""The review task as a worker runs it: what it opens, and whose word it hands on, at a real MLflow store and ledger."""

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
    """What a worker has of Airflow: the context of its task, and a line to the server that keeps the request."""

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
        """The operator, as the promotion DAG makes it."""
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
    """An Airflow with users, reached by a name, as docker-compose.yml has it."""
    monkeypatch.setenv("TITLEHOLDER_AIRFLOW_USER", "admin")
    monkeypatch.setenv("TITLEHOLDER_AIRFLOW_URL", "http://airflow-api-server:8080")
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "false")
    get_settings.cache_clear()


@pytest.fixture
def one(storage: Storage, store: Path) -> None:
    synthetic_classification.register_versions(storage, store, CASE, True)


def pressed(option: str, **filled: str) -> dict[str, Any]:
    """What Airflow resumes the task with after somebody pressed a button."""
    user = {"id": "7", "name": "grace"}
    return {
        "chosen_options": [option],
        "params_input": {"why": "", "who": None, **filled},
        "responded_at": datetime.now(UTC),
        "responded_by_user": user,
    }


def word_said(option: str) -> str:
    return {"Approve": "approved", "Reject": "rejected"}[option]


def open_review(airflow: Airflow) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as deferred:
        airflow.review().execute(airflow.context(CASE, event=1))
    return deferred.value


def test_a_person_is_shown_the_verdict_and_waited_for(airflow: Airflow, one: None) -> None:
    deferred = open_review(airflow)
    (request,) = airflow.requests
    assert request.subject == "Is this tumour malignant: promote version 1?"
    assert list(request.params) == ["why", "who"]
    assert "| beats_champion | enabled | pass | as the test wants it |" in request.body
    assert "model-card.html" in request.body
    assert "/#/models/breast_cancer/versions/1" in request.body
    assert deferred.trigger.serialize()[0] == "dags.review_trigger.ReviewTrigger"
    assert deferred.trigger.poke_interval <= 10
    assert deferred.method_name == "execute_complete"
    assert "open until" in tracking.version_tags(CASE, 1)["review_answer"]


def test_a_second_try_asks_nobody_again_and_hears_what_was_said_meanwhile(airflow: Airflow, one: None) -> None:
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
def test_who_signed_in_to_airflow_is_believed(airflow: Airflow, one: None, signed_in: None, option: str, answer: str) -> None:
    review = open_review(airflow).kwargs["review"]
    event = pressed(option, why="looked at it", who="somebody else")
    word = airflow.review().execute_complete(airflow.context(CASE), event, review)
    assert (word["actor"], word["trust"], word["report_digest"]) == ("grace", "airflow", review["version"]["report_digest"])
    assert airflow.skipped == ([] if option == "Approve" else ["promote"])
    assert tracking.version_tags(CASE, 1)["review_answer"] == answer
    # A try that comes after the word was kept, say because MLflow was down, needs nobody to repeat it.
    again = airflow.review().execute(airflow.context(CASE, event=1))
    assert {name: again[name] for name in again if name != "expires_at"} == {
        name: word[name] for name in word if name != "expires_at"
    }
    assert [record.said for record in Ledger(get_settings().ledger_url).reviews(CASE)] == ["opened", word_said(option)]


def test_where_airflow_lets_everybody_in_it_is_trust(airflow: Airflow, one: None) -> None:
    review = open_review(airflow).kwargs["review"]
    word = airflow.review().execute_complete(airflow.context(CASE), pressed("Approve", who="ada"), review)
    assert (word["actor"], word["trust"], word["reason"]) == ("ada", "on_trust", "approved in Airflow")


def test_an_airflow_of_everybody_that_others_reach_is_nobodys_word(
    airflow: Airflow, one: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    review = open_review(airflow).kwargs["review"]
    monkeypatch.setenv("TITLEHOLDER_AIRFLOW_URL", "http://airflow.example.org")
    get_settings.cache_clear()
    with pytest.raises(AirflowFailException, match="has no sign-in"):
        airflow.review().execute_complete(airflow.context(CASE), pressed("Approve"), review)


def test_a_review_that_is_over_skips_what_follows(airflow: Airflow, one: None) -> None:
    review = open_review(airflow).kwargs["review"]
    with pytest.raises(AirflowSkipException, match="no answer"):
        airflow.review().execute_complete(airflow.context(CASE), {"closed": "no answer"}, review)
    assert tracking.version_tags(CASE, 1)["review_answer"] == "closed: no answer"


def test_policy_auto_asks_nobody(airflow: Airflow, storage: Storage, store: Path) -> None:
    synthetic_classification.register_versions(storage, store, AUTO, True)
    word = airflow.review(AUTO).execute(airflow.context(AUTO, event=1))
    assert (word["actor"], word["trust"], word["version"]) == ("policy:auto", "policy", 1)
    assert airflow.requests == []


def test_the_form_takes_the_account_or_the_name(
    airflow: Airflow, storage: Storage, store: Path, request: pytest.FixtureRequest
) -> None:
    synthetic_classification.register_versions(storage, store, CASE, True, False)
    form: dict[str, Any] = {"version": 2, "reviewer": "ada", "reason": "the old one is broken", "override": True}
    word = airflow.review().execute(airflow.context(CASE, user="grace", **form))
    assert (word["actor"], word["trust"], word["is_override"]) == ("ada", "on_trust", True)
    request.getfixturevalue("signed_in")
    word = airflow.review().execute(airflow.context(CASE, user="grace", **form))
    assert (word["actor"], word["trust"], word["is_override"]) == ("grace", "airflow", True)
    refused: tuple[tuple[dict[str, Any], str], ...] = (
        ({"reason": " "}, "an override needs a reason"),
        ({"code": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm5hIn0."}, "forged, so it does not count"),
    )
    for changes, told in refused:
        with pytest.raises(AirflowFailException, match=told):
            airflow.review().execute(airflow.context(CASE, **(form | changes)))
    assert [one.counted for one in Ledger(get_settings().ledger_url).reviews(CASE)] == [True, True, False]


def test_without_a_version_and_without_a_challenger_there_is_nothing_to_do(airflow: Airflow) -> None:
    with pytest.raises(AirflowSkipException, match="nothing to promote"):
        airflow.review().execute(airflow.context(CASE))

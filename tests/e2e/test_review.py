"""Decisions through every review channel of a person: Airflow's page, MLflow's page in a real browser, and the form."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasks.io import tracking
from tests.e2e.browser import Browser, open_browser
from tests.e2e.conftest import System
from tests.e2e.test_use_cases import answer_in_airflow, await_review, first_version

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2400)]

CASE = "breast_cancer"
NOTICED_WITHIN = 30.0  # seconds between a tag and its effect, as the documents state


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with open_browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


def history(system: System) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(system.titleholder("history", CASE, "--json").stdout)
    return document


def states(system: System, run: str) -> dict[str, str]:
    return {task["task_id"]: task["state"] for task in system.airflow.tasks(f"{CASE}.promotion", run)}


def await_answer(version: int, beginning: str) -> str:
    """Wait until the version's page shows the answer, at most for the documented time."""
    deadline = time.monotonic() + NOTICED_WITHIN
    while not (answer := tracking.version_tags(CASE, version).get("review_answer", "")).startswith(beginning):
        assert time.monotonic() < deadline, f"no answer that begins with {beginning!r}: {answer}"
        time.sleep(0.5)
    return answer


def add_tag(browser: Browser, name: str, value: str) -> None:
    browser.fill("[aria-label='tag name']", name)
    browser.fill("[aria-label='tag value']", value)
    browser.click("[data-testid=add-tag-button]", "Add")
    browser.await_text(value)


def change_tag(browser: Browser, name: str, value: str) -> None:
    browser.click("[data-testid=editable-table-button-edit]", row=name)
    browser.fill("[data-testid=editable-table-edited-input]", value, row=name)
    browser.click("[data-testid=editable-table-button-save]", row=name)


def test_only_a_decision_that_counts_promotes(system: System, browser: Browser, tmp_path: Path) -> None:
    version = first_version(system, CASE, "2026-01-01", "2026-01-02")
    assert version["passed"]
    number, model = version["version"], f"{system.settings.endpoint_url}/v1/{CASE}/model"

    # A rejection on Airflow's page: the run succeeds, and no version is promoted.
    run = await_review(system, CASE)
    answer_in_airflow(system, CASE, run, "Reject", "let me look once more", "grace")
    assert system.airflow.await_run(f"{CASE}.promotion", run) == "success"
    assert states(system, run) == {"review": "success", "promote": "skipped"}
    assert tracking.aliases(CASE) == {}
    assert tracking.version_tags(CASE, number)["review_answer"] == "rejected by grace (on trust): let me look once more"

    # Registered again, the version is a challenger again. A forged or stale decision is answered, and the review stays open.
    training = system.airflow.runs(f"{CASE}.training")[-1]["dag_run_id"]
    again = {"dry_run": False, "only_failed": False, "task_ids": ["register", "announce_challenger"]}
    system.airflow.post(f"/dags/{CASE}.training/clearTaskInstances", again | {"dag_run_id": training})
    run = await_review(system, CASE)
    tracking.tag_version(CASE, number, {"review": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm5hIn0."})
    assert "algorithm 'none'; only EdDSA proves a reviewer" in await_answer(number, "forged")
    tracking.tag_version(CASE, number, {"review": "approved:bbbbbbbbbbbb", "reviewer": "mallory"})
    assert f"this version's is {version['report_digest'][:12]}" in await_answer(number, "stale")
    assert states(system, run)["review"] == "deferred"
    assert httpx.get(model, timeout=10).status_code == 404
    tracking.get_client().delete_model_version_tag(CASE, str(number), "reviewer")

    # An approval in a browser.
    browser.open(tracking.version_page(CASE, number))
    browser.await_text("review_answer")
    add_tag(browser, "reviewer", "ada")
    change_tag(browser, "review", "approved")
    clicked = time.monotonic()
    await_answer(number, "approved by ada (on trust)")
    assert system.airflow.await_run(f"{CASE}.promotion", run, timeout=120) == "success"
    took = time.monotonic() - clicked
    (entry,) = history(system)["ledger"]
    assert (entry["version"], entry["actor"], entry["trust"], entry["dag_run"]) == (number, "ada", "on_trust", run)
    assert httpx.get(model, timeout=10).json()["by"] == "ada"
    assert took < 2 * NOTICED_WITHIN, f"from the click to the serving endpoint it took {took:.0f} s"

    reviews = [one for one in history(system)["reviews"] if one["said"] != "opened"]
    assert [(one["said"], one["channel"], one["trust"]) for one in reviews] == [
        ("rejected", "airflow_page", "on_trust"),
        ("a code", "mlflow", None),
        ("approved:bbbbbbbbbbbb", "mlflow", None),
        ("approved", "mlflow", "on_trust"),
    ]
    assert [one["why_not"].split(",")[0] for one in reviews] == ["", "forged", "stale", ""]


def test_the_promoted_model_answers(system: System) -> None:
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    rows = [dict(zip(data.feature_names.tolist(), map(float, row), strict=True)) for row in data.data]
    url = f"{system.settings.endpoint_url}/v1/{CASE}"
    answer = httpx.post(f"{url}/predictions", json={"rows": rows}, timeout=30).json()
    predicted = [one["probability"] > 0.5 for one in answer["predictions"]]
    right = sum(answered == (target == 0) for answered, target in zip(predicted, data.target, strict=True)) / len(rows)
    assert right > 0.95
    refused = httpx.post(f"{url}/predictions", json={"rows": [{"mean radius": 1.0}]}, timeout=30)
    assert refused.status_code == 422
    assert "missing columns" in refused.text


def test_the_form_needs_a_name_and_a_reason(system: System) -> None:
    held = history(system)["ledger"][-1]["version"]
    for form, message in (
        ({"version": held, "reason": "again"}, "the form has no reviewer"),
        ({"version": held, "reviewer": "ada", "override": True}, "an override needs a reason"),
        ({"version": held, "code": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm5hIn0."}, "forged"),
    ):
        run = system.airflow.start(f"{CASE}.promotion", form)
        assert system.airflow.await_run(f"{CASE}.promotion", run) == "failed"
        assert message in system.airflow.log(f"{CASE}.promotion", run, "review")

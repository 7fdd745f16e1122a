"""`<use_case>.monitoring`: new data and predictions against what the champion was trained on -> retrain or not, and why."""

from __future__ import annotations

from typing import Any

from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowRuntimeError

from dags import assets
from dags.defaults import WINDOW_PARAMS, day_of_run, describe, for_each_use_case, open_run, stated_window
from dags.links import show_page, with_page
from tasks import clock
from tasks.contracts.monitoring import RetrainDecision
from tasks.jobs import monitoring as jobs
from tasks.settings import get_settings
from tasks.use_case import UseCase

TEXT = """
Runs after every new window of features. Compares it with the data that the champion was trained on (Evidently's report is an
artifact of the run in MLflow), and decides whether to retrain. Every decision is recorded with its figures, also a no.

* **`request_retraining` is skipped**: the decision was no. Its log and `titleholder history` give the reason.
* **No champion yet** is a reason to train: this is how the first model is made.
* **Broken data** stop every retraining until they are repaired, or until a person accepts them in the form.
* **Once a day** it also runs by the clock and makes up for lost events: windows without a decision, requests that no training
  took.
* **`reconcile`** compares MLflow's aliases with the ledger and closes runs that were interrupted. No task waits for it. Its
  findings are in its log and on the model in MLflow.
"""

REQUEST_PARAMS = {
    "asked_by": Param(
        "",
        type="string",
        maxLength=200,
        title="Requested by",
        description="Your name: requests a retraining now. Empty: no request.",
    ),
    "cause": Param(
        "by_hand",
        type="string",
        enum=["by_hand", "alert"],
        title="Cause",
        description="A request by hand ignores cooldown, budget and minimum. A request of an alert keeps to them.",
    ),
    "reason": Param("", type="string", maxLength=1000, title="Reason", description="Why; kept with the decision."),
    "key": Param(
        "",
        type="string",
        maxLength=100,
        title="Key",
        description="Requests with the same key count once. Empty: this run's own.",
    ),
    "accepted_by": Param(
        "",
        type="string",
        maxLength=200,
        title="Accepted by",
        description="Your name: the data of the stated window look broken, and you confirm that they are right.",
    ),
}


def is_over(dag_id: str, run_id: str) -> bool:
    """Whether a run of Airflow has ended."""
    try:
        return get_current_context()["ti"].get_dagrun_state(dag_id, run_id) in {"success", "failed"}
    except AirflowRuntimeError:  # Airflow does not know that run (any more), which proves nothing
        return False


def build(use_case: UseCase) -> object:
    name, data, request = use_case.name, assets.features(use_case.name), assets.retrain_request(use_case.name)
    schedule: Any = [data]
    if get_settings().schedules == "on":  # an event can be lost (airflow #56050): a daily run makes up for it
        schedule = AssetOrTimeSchedule(timetable=CronTriggerTimetable("@daily", timezone=use_case.time_zone), assets=[data])

    @dag(**describe(use_case, "monitoring", TEXT), schedule=schedule, params={**WINDOW_PARAMS, **REQUEST_PARAMS})
    def monitoring() -> None:
        @task
        def reconcile() -> list[str]:
            """Aliases back to what the ledger says (if the use case says so), and interrupted runs closed."""
            with open_run(name) as run:
                return jobs.reconcile(run, now=clock.now(), is_over=is_over)

        @task
        def monitor() -> list[dict[str, Any]]:
            """One drift report per window; none before the first champion, which has nothing to be compared with."""
            context = get_current_context()
            published = [window for event in assets.events_of(context, data) for window in event["windows"]]
            stated, is_requested = stated_window(use_case, context), bool(context["params"]["asked_by"])
            day = day_of_run(use_case, context)
            with open_run(name) as run:
                seen = jobs.monitor(run, stated=stated, published=published, day=day, is_requested=is_requested)
            show_page(jobs.newest_page(seen))
            return [one.to_json() for one in seen]

        @task
        def decide_retrain(observations: list[dict[str, Any]]) -> dict[str, Any]:
            """Record one decision per window, also a no; then see to a request that no training took."""
            seen = [jobs.Observation.from_json(one) for one in observations]
            with open_run(name) as run:
                return jobs.decide_retrain(run, seen, form=get_current_context()["params"]).to_json()

        @task(outlets=[request])
        def request_retraining(decision: dict[str, Any]) -> None:
            """Start a training, if that was decided."""
            with open_run(name):
                assets.describe_event(request, jobs.request_retraining(RetrainDecision.from_json(decision)))

        reconcile()  # independent: its failure must not stop the monitoring
        request_retraining(decide_retrain(with_page(monitor(), "Drift report")))

    return monitoring()


for_each_use_case(build)

"""`<use_case>.monitoring`: new data and predictions against what the champion was trained on -> retrain or not, and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowRuntimeError

from dags import assets
from dags.defaults import WINDOW_PARAMS, day_of_run, describe, fail_without_retry, for_each_use_case, skip, window_of_run
from dags.links import show_page, with_page
from tasks.settings import get_settings
from tasks.use_case import UseCase

TEXT = """
Runs after every new window of features. Compares it with the data that the champion was trained on (Evidently's report is an
artifact of the run in MLflow), and decides whether to retrain. Every decision is recorded with its figures, also a no.

* **`request_retraining` skipped**: the decision was no; its log and `titleholder history` say why.
* **No champion yet** is a reason to train: this is how the first model comes about.
* **Broken data** stop every retraining until they are repaired, or until somebody who looked at them says in the form that they
  are right as they are.
* **Once a day** it also runs by the clock, and does what a lost event left undone: windows that nobody decided about, requests
  that no training took.
* **`reconcile`** compares MLflow's aliases with the ledger and closes runs that were interrupted; nothing waits for it. What
  it found is in its log and on the model in MLflow.
"""

ASK_PARAMS = {
    "asked_by": Param(
        "",
        type="string",
        maxLength=200,
        title="Asked by",
        description="Your name: asks for a retraining now. Empty: nobody asks.",
    ),
    "cause": Param(
        "by_hand",
        type="string",
        enum=["by_hand", "alert"],
        title="Cause",
        description="A person passes cooldown, budget and minimum; an alert keeps to them.",
    ),
    "reason": Param("", type="string", maxLength=1000, title="Reason", description="Why; kept with the decision."),
    "key": Param(
        "",
        type="string",
        maxLength=100,
        title="Key",
        description="The same key is the same word, said again. Empty: this run's own.",
    ),
    "accepted_by": Param(
        "",
        type="string",
        maxLength=200,
        title="Accepted by",
        description="Your name: the data of the stated window look broken and are right as they are.",
    ),
}


def build(use_case: UseCase) -> object:
    name, data, request = use_case.name, assets.features(use_case.name), assets.retrain_request(use_case.name)
    schedule: Any = [data]
    if get_settings().schedules == "on":  # an event can be lost (airflow #56050): once a day what it left undone is done
        schedule = AssetOrTimeSchedule(timetable=CronTriggerTimetable("@daily", timezone="UTC"), assets=[data])

    @dag(**describe(use_case, "monitoring", TEXT), schedule=schedule, params={**WINDOW_PARAMS, **ASK_PARAMS})
    def monitoring() -> None:
        @task
        def reconcile() -> list[str]:
            """Aliases back to what the ledger says (if the use case says so), and interrupted runs closed."""
            from tasks.io.ledger import Ledger
            from tasks.settings import get_settings
            from tasks.stages.registry import close_interrupted_runs, reconcile_aliases
            from tasks.use_case import load_use_case

            context = get_current_context()
            now = datetime.now(UTC)

            def is_over(dag_id: str, run_id: str) -> bool:
                try:
                    return context["ti"].get_dagrun_state(dag_id, run_id) in {"success", "failed"}
                except AirflowRuntimeError:  # Airflow does not know that run (any more), which proves nothing
                    return False

            with fail_without_retry():
                policy, ledger = load_use_case(name).registry, Ledger(get_settings().ledger_url)
                found = reconcile_aliases(name, ledger, policy.restore_aliases, now)
                found += close_interrupted_runs(name, now, policy.close_runs_after_hours, is_over)
            print("\n".join(found) or "the aliases agree with the ledger, and no run was interrupted")  # noqa: T201
            return found

        @task
        def monitor() -> list[dict[str, Any]]:
            """One drift report per window; none before the first champion, which has nothing to be compared with."""
            from tasks.columns import VALIDATED
            from tasks.contracts.base import Window
            from tasks.io.decisions import DecisionLog
            from tasks.io.ledger import Ledger
            from tasks.io.prediction_log import PredictionLog
            from tasks.io.storage import Storage
            from tasks.settings import get_settings
            from tasks.stages.monitoring import find_undecided, look
            from tasks.stages.registry import champion_of
            from tasks.use_case import load_use_case

            context = get_current_context()
            labels = [event["window"] for event in assets.events_of(context, data)]
            is_stated = bool(context["params"]["window_start"])
            windows = [window_of_run(context)] if is_stated else [Window.from_label(one) for one in labels]
            settings = get_settings()
            storage, ledger = Storage(settings.data_root), Ledger(settings.ledger_url)
            decided = DecisionLog(settings.ledger_url)
            if not windows:
                published = [ref.partition for ref in storage.history(name, VALIDATED, day_of_run(context))]
                windows = find_undecided(published, decided.decisions(name))
                if context["params"]["asked_by"] and published:
                    windows = windows or [Window.from_label(published[-1])]
            observations = []
            with fail_without_retry():
                case, champion, log = load_use_case(name), champion_of(name, ledger), PredictionLog(settings.predictions_root)
                for window in windows:
                    report = None
                    if champion:
                        report = look(
                            name,
                            case.task,
                            case.drift.checks,
                            window,
                            champion,
                            case.drift.reference_days,
                            case.drift.current_days,
                            case.drift.labels,
                            storage,
                            log,
                            case.seed,
                            {"dag_id": context["dag"].dag_id, "run_id": context["run_id"]},
                            decided.reports(name),
                        )
                    if report:
                        decided.record_report(report)
                        print(f"{window.label}: {report.report_uri or 'nothing to compare'}")  # noqa: T201
                        show_page(context, report.report_uri)
                    observations.append({"window": window.to_json(), "report": report and report.to_json()})
            return observations

        @task
        def decide_retrain(observations: list[dict[str, Any]]) -> dict[str, Any]:
            """Record one decision per window, also a no; then see to a request that no training took."""
            from tasks.contracts.base import Window
            from tasks.contracts.monitoring import Ask, DriftReport
            from tasks.io.decisions import DecisionLog
            from tasks.io.ledger import Ledger
            from tasks.io.notifications import Tone, tell
            from tasks.settings import get_settings
            from tasks.stages.monitoring import decide_retrain, find_lost
            from tasks.stages.registry import champion_of
            from tasks.use_case import load_use_case

            context, decisions = get_current_context(), []
            params = context["params"]
            with fail_without_retry():
                policy, ledger = load_use_case(name).drift.retrain_when, Ledger(get_settings().ledger_url)
                champion, log = champion_of(name, ledger), DecisionLog(get_settings().ledger_url)
                for seen in observations:
                    is_last = seen is observations[-1]
                    report = DriftReport.from_json(seen["report"]) if seen["report"] else None
                    ask = (
                        Ask(
                            cause=params["cause"],
                            by=params["asked_by"],
                            reason=params["reason"],
                            key=params["key"] or context["run_id"][:100],
                        )
                        if params["asked_by"] and is_last
                        else None
                    )
                    decision = decide_retrain(
                        name,
                        policy,
                        Window.from_json(seen["window"]),
                        report,
                        log.decisions(name),
                        ledger.head(name),
                        champion.as_of if champion else None,
                        log.requests(name),
                        ask,
                        params["accepted_by"] if params["window_start"] else "",
                    )
                    if log.record_decision(decision) and (decision.alert or decision.cause == "alert"):
                        tell(f"{name}: {decision.cause}", f"{decision.window.label}: {decision.reason}", Tone.WARNING)
                    decisions.append(decision)
                    print(f"{decision.window.label}: {'RETRAIN' if decision.retrain else 'no'}: {decision.reason}")  # noqa: T201
                past = log.decisions(name)
                lost = find_lost(past, log.requests(name), policy, past[-1].window.end) if past else None
            if not decisions and lost is None:
                skip("every window is decided about, and every request was taken: nothing was left undone")
            yes = next((one for one in reversed(decisions) if one.retrain), lost)
            return (yes or decisions[-1]).to_json()

        @task(outlets=[request])
        def request_retraining(decision: dict[str, Any]) -> None:
            """Start a training, if and only if that was decided."""
            if not decision["retrain"]:
                skip(f"no retraining: {decision['reason']}")
            get_current_context()["outlet_events"][request].extra = {
                "as_of": decision["window"]["end"],
                "cause": decision["cause"],
                "reason": decision["reason"],
                "idempotency_key": decision["idempotency_key"],
            }

        reconcile()  # on its own: what it cannot do must not stop the monitoring
        request_retraining(decide_retrain(with_page(monitor(), "Drift report")))

    return monitoring()


for_each_use_case(build)

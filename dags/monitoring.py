"""`<use_case>.monitoring`: new data and predictions against what the champion was trained on -> retrain or not, and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import dag, get_current_context, task
from airflow.sdk.exceptions import AirflowRuntimeError

from dags import assets
from dags.defaults import WINDOW_PARAMS, describe, for_each_use_case, skip, told_plainly, window_of_run
from tasks.use_case import UseCase

TEXT = """
Runs after every new window of features. Compares it with the data that the champion was trained on (Evidently's report is an
artifact of the run in MLflow), and decides whether to retrain. Every decision is recorded with its figures, also a no.

* **`request_retraining` skipped**: the decision was no; its log and `titleholder history` say why.
* **No champion yet** is a reason to train: this is how the first model comes about.
* **`reconcile`** compares MLflow's aliases with the ledger and closes runs that were interrupted; nothing waits for it. What
  it found is in its log and on the model in MLflow.
"""


def build(use_case: UseCase) -> object:
    name, data, request = use_case.name, assets.features(use_case.name), assets.retrain_request(use_case.name)

    @dag(**describe(use_case, "monitoring", TEXT), schedule=[data], params=WINDOW_PARAMS)
    def monitoring() -> None:
        @task
        def reconcile() -> list[str]:
            """Aliases back to what the ledger says (if the use case says so), and interrupted runs closed."""
            from tasks.ledger import Ledger
            from tasks.registry import close_interrupted_runs, reconcile_aliases
            from tasks.settings import get_settings
            from tasks.use_case import load_use_case

            context = get_current_context()
            now = datetime.now(UTC)

            def is_over(dag_id: str, run_id: str) -> bool:
                try:
                    return context["ti"].get_dagrun_state(dag_id, run_id) in {"success", "failed"}
                except AirflowRuntimeError:  # Airflow does not know that run (any more), which proves nothing
                    return False

            with told_plainly():
                policy, ledger = load_use_case(name).registry, Ledger(get_settings().ledger_url)
                found = reconcile_aliases(name, ledger, policy.restore_aliases, now)
                found += close_interrupted_runs(name, now, policy.close_runs_after_hours, is_over)
            print("\n".join(found) or "the aliases agree with the ledger, and no run was interrupted")  # noqa: T201
            return found

        @task
        def monitor() -> list[dict[str, Any]]:
            """One drift report per new window; none before the first champion, which has nothing to be compared with."""
            from tasks.columns import VALIDATED
            from tasks.contracts import Window
            from tasks.ledger import Ledger
            from tasks.monitoring import monitor, recent
            from tasks.prediction_log import PredictionLog
            from tasks.registry import champion_of
            from tasks.settings import get_settings
            from tasks.storage import Storage
            from tasks.use_case import load_use_case

            context = get_current_context()
            labels = [event["window"] for event in assets.events_of(context, data)]
            windows = [Window.from_label(label) for label in labels] or [window_of_run(context)]
            settings = get_settings()
            storage = Storage(settings.data_root)
            observations = []
            with told_plainly():
                case, champion = load_use_case(name), champion_of(name, Ledger(settings.ledger_url))
                # Batch answers only: they are complete and the same on every try, while online ones are still arriving.
                logged = PredictionLog(settings.predictions_root).read(name) if champion else []
                answers = {
                    one.prediction_id: (one, one.features_as_of)
                    for one in logged
                    if champion and one.channel == "batch" and one.model_version == champion.version and one.features_as_of
                }
                for window in windows:
                    current = storage.current(name, VALIDATED, window.label)
                    report = None
                    if champion and current:
                        report = monitor(
                            name, case.drift.checks, window, current,
                            recent(storage.history(name, VALIDATED, champion.as_of), champion.as_of, case.drift.reference_days),
                            f"version {champion.version}, data before {champion.as_of}",
                            [one for one, day in answers.values() if window.start <= day < window.end],
                            [one for one, day in answers.values() if day <= champion.as_of],
                            storage, case.seed, {"dag_id": context["dag"].dag_id, "run_id": context["run_id"]},
                        )  # fmt: skip
                    observations.append({"window": window.to_json(), "report": report and report.to_json()})
            return observations

        @task
        def decide_retrain(observations: list[dict[str, Any]]) -> dict[str, Any]:
            """Record one decision per window, also a no; a yes among them counts."""
            from tasks.contracts import DriftReport, Window
            from tasks.ledger import Ledger
            from tasks.monitoring import decide_retrain
            from tasks.registry import champion_of
            from tasks.settings import get_settings
            from tasks.use_case import load_use_case

            decisions = []
            with told_plainly():
                policy, ledger = load_use_case(name).drift.retrain_when, Ledger(get_settings().ledger_url)
                champion = champion_of(name, ledger)
                for seen in observations:
                    report = DriftReport.from_json(seen["report"]) if seen["report"] else None
                    decision = decide_retrain(
                        name, policy, Window.from_json(seen["window"]), report, ledger.decisions(name), ledger.head(name),
                        champion.as_of if champion else None,
                    )  # fmt: skip
                    ledger.record_decision(decision)
                    decisions.append(decision)
                    print(f"{decision.window.label}: {'RETRAIN' if decision.retrain else 'no'}: {decision.reason}")  # noqa: T201
            return next((one for one in reversed(decisions) if one.retrain), decisions[-1]).to_json()

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
        request_retraining(decide_retrain(monitor()))

    return monitoring()


for_each_use_case(build)

"""`<use_case>.batch_scoring`: the champion's answer for every user, on the newest features."""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag, get_current_context, task

from dags import assets
from dags.defaults import describe, fail_without_retry, for_each_use_case, skip
from tasks.use_case import UseCase

TEXT = """
Scores everybody with the champion when the champion or the features changed. The result is checked before it is published, is
keyed by model version and features, and is in the prediction log. Running it again changes nothing.
"""


def build(use_case: UseCase) -> object:
    name = use_case.name
    data, champion = assets.features(name), assets.champion(name)

    @dag(**describe(use_case, "batch_scoring", TEXT), schedule=(champion | data))
    def batch_scoring() -> None:
        @task
        def score() -> dict[str, Any]:
            """Publish the champion's answers as a snapshot and as rows of the prediction log."""
            from tasks.columns import FEATURES
            from tasks.contracts.data import DatasetRef
            from tasks.io.ledger import Ledger
            from tasks.io.prediction_log import PredictionLog
            from tasks.io.storage import Storage
            from tasks.settings import get_settings
            from tasks.stages.inference import score

            context = get_current_context()
            settings = get_settings()
            storage = Storage(settings.data_root)
            champion = Ledger(settings.ledger_url).head(name)
            events = assets.events_of(context, data)
            features = DatasetRef.from_json(events[-1]["features"]) if events else storage.newest(name, FEATURES)
            if champion is None or features is None:
                skip(f"{name} has no {'champion' if champion is None else 'features'} yet: nothing to score")
            with fail_without_retry():
                made_at = context["dag_run"].run_after
                done = score(name, champion, features, storage, PredictionLog(settings.predictions_root), made_at)
            return done.to_json()

        score()

    return batch_scoring()


for_each_use_case(build)

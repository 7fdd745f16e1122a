"""`<use_case>.batch_scoring`: the champion's predictions for every user, on the newest features."""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag, get_current_context, task

from dags import assets
from dags.defaults import describe, for_each_use_case, open_run
from tasks.contracts.data import DatasetRef
from tasks.jobs import scoring as jobs
from tasks.use_case import UseCase

TEXT = """
Scores everybody with the champion when the champion or the features changed. The result is checked before it is published. Its
key is the model version and the features, and it is in the prediction log. Running it again changes nothing.
"""


def build(use_case: UseCase) -> object:
    name = use_case.name
    data, champion = assets.features(name), assets.champion(name)

    @dag(**describe(use_case, "batch_scoring", TEXT), schedule=(champion | data))
    def batch_scoring() -> None:
        @task
        def score() -> dict[str, Any]:
            """Publish the champion's predictions as a snapshot and as rows of the prediction log."""
            context = get_current_context()
            events = assets.events_of(context, data)
            published = DatasetRef.from_json(events[-1]["features"]) if events else None
            with open_run(name) as run:
                return jobs.score(run, published=published, made_at=context["dag_run"].run_after).to_json()

        score()

    return batch_scoring()


for_each_use_case(build)

"""`<use_case>.features`: raw files of the window -> validated rows and quarantine -> point-in-time features."""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag, get_current_context, task

from dags import assets
from dags.defaults import WINDOW_PARAMS, clock, describe, for_each_use_case, open_run, window_of_run
from dags.links import show_page, with_page
from tasks.contracts.data import DatasetRef
from tasks.jobs import features as jobs
from tasks.use_case import UseCase

TEXT = """
Reads the raw files of the run's window, checks each row against the expectation suite, puts bad rows into quarantine with
the rules that they broke, and publishes features as of the window's end.

* **No files in the window**: the run is skipped, which is normal on days without trading.
* **Late deliveries**: `read_late` looks for files of the last `late_within_days` days that came or changed after their own run,
  and reads their windows again. A refused one is reported and does not stop the run.
* **`validate` fails**: a batch rule is broken, or too many rows went to quarantine. The log names the rules and the quarantine.
* **Data Docs**: the button on `validate` shows each rule, its reason and what was observed, also where it failed.
* **A corrected file that is refused**: what was validated before stays in use. `build_features` warns until a delivery passes.
* **Running it again** with the same files changes nothing. Fill the form to ingest another window.
"""


def build(use_case: UseCase) -> object:
    name, product = use_case.name, assets.features(use_case.name)

    @dag(
        **{**describe(use_case, "features", TEXT), "catchup": use_case.catchup}, schedule=clock(use_case), params=WINDOW_PARAMS
    )
    def features() -> None:
        @task
        def read_late() -> list[str]:
            """Ingest and validate what came late for earlier windows."""
            with open_run(name) as run:
                return jobs.read_late(run, window_of_run(use_case, get_current_context()))

        @task
        def ingest() -> dict[str, Any]:
            """Publish the window's raw rows as an immutable snapshot."""
            with open_run(name) as run:
                return jobs.ingest(run, window_of_run(use_case, get_current_context())).to_json()

        @task
        def validate(raw: dict[str, Any]) -> dict[str, Any]:
            """Great Expectations on Spark; bad rows go to quarantine with the rules that they broke."""
            with open_run(name) as run:
                return jobs.validate(run, DatasetRef.from_json(raw), show_page=show_page).validated.to_json()

        @task(outlets=[product], trigger_rule="none_failed")  # of a closed day there are no rows, but late ones may have come
        def build_features(validated: dict[str, Any] | None, late: list[str]) -> dict[str, Any]:
            """Features of users, items and pairs as of the window's end, from all that was known by then."""
            window = window_of_run(use_case, get_current_context())
            rows = DatasetRef.from_json(validated) if validated else None
            with open_run(name) as run:
                published = jobs.build_features(run, window, rows, late)
            assets.describe_event(product, published.to_json() | {"windows": list(published.windows)})
            return published.features.to_json()

        late, raw = read_late(), ingest()
        late >> raw  # one Spark session at a time, and the past before the present
        build_features(with_page(validate(raw), "Data Docs"), late)

    return features()


for_each_use_case(build)

"""`<use_case>.features`: raw files of the window -> validated rows and quarantine -> point-in-time features."""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag, get_current_context, task

from dags import assets
from dags.defaults import WINDOW_PARAMS, clock, describe, for_each_use_case, skip, told_plainly, window_of_run
from tasks.use_case import UseCase

TEXT = """
Reads the raw files of the run's window, checks each row against the expectation suite, puts bad rows into quarantine with
the rules that they broke, and publishes features as of the window's end.

* **Nothing to read** in the window: the run is skipped, which is normal on days without trading.
* **Red `validate`**: a batch rule broke, or too many rows went to quarantine. The log names the rules and where to look.
* **Running it again** with the same files changes nothing. Fill the form to ingest another window.
"""


def build(use_case: UseCase) -> object:
    name, product = use_case.name, assets.features(use_case.name)

    @dag(
        **{**describe(use_case, "features", TEXT), "catchup": use_case.catchup}, schedule=clock(use_case), params=WINDOW_PARAMS
    )
    def features() -> None:
        @task
        def ingest() -> dict[str, Any]:
            """Publish the window's raw rows as an immutable snapshot."""
            from tasks.ingestion import ingest
            from tasks.settings import get_settings
            from tasks.storage import Storage
            from tasks.use_case import load_use_case

            window = window_of_run(get_current_context())
            with told_plainly():
                case = load_use_case(name)
                raw = ingest(name, case.source, case.source_path, window, Storage(get_settings().data_root))
            if raw is None:
                skip(f"no raw file for {window.label} in {case.source_path}: nothing to do")
            return raw.to_json()

        @task
        def validate(raw: dict[str, Any]) -> dict[str, Any]:
            """Great Expectations on Spark; bad rows go to quarantine with the rules that they broke."""
            from tasks.contracts import DatasetRef
            from tasks.settings import get_settings
            from tasks.storage import Storage
            from tasks.use_case import load_use_case
            from tasks.validation import validate

            with told_plainly():
                spec = load_use_case(name).validation
                settings = get_settings()
                ref = DatasetRef.from_json(raw)
                done = validate(ref, spec.suite, spec.tolerance, Storage(settings.data_root), settings.expectations)
            report = done.report
            print(f"{report.rows_in} rows in, {report.rows_validated} validated, {report.rows_quarantined} to quarantine")  # noqa: T201
            return done.validated.to_json()

        @task(outlets=[product])
        def build_features(validated: dict[str, Any]) -> dict[str, Any]:
            """Features of users, items and pairs as of the window's end, from all that was known by then."""
            from tasks.columns import VALIDATED
            from tasks.contracts import DatasetRef, Window
            from tasks.features import build_features
            from tasks.settings import get_settings
            from tasks.storage import Storage
            from tasks.use_case import load_use_case

            ref = DatasetRef.from_json(validated)
            window = Window.from_label(ref.partition)
            with told_plainly():
                case = load_use_case(name)
                storage = Storage(get_settings().data_root)
                history = storage.history(name, VALIDATED, window.end)
                made = build_features(name, case.task, case.features, history, window.end, storage)
            context = get_current_context()
            context["outlet_events"][product].extra = {
                "window": window.label,
                "as_of": window.end.isoformat(),
                "validated": validated,
                "features": made.to_json(),
            }
            return made.to_json()

        build_features(validate(ingest()))

    return features()


for_each_use_case(build)

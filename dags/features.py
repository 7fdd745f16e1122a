"""`<use_case>.features`: raw files of the window -> validated rows and quarantine -> point-in-time features."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import dag, get_current_context, task

from dags import assets
from dags.defaults import WINDOW_PARAMS, clock, describe, fail_without_retry, for_each_use_case, skip, window_of_run
from dags.links import show_page, with_page
from tasks.use_case import UseCase

if TYPE_CHECKING:
    from tasks.contracts.data import DatasetRef
    from tasks.io.storage import Storage

_log = logging.getLogger(__name__)

TEXT = """
Reads the raw files of the run's window, checks each row against the expectation suite, puts bad rows into quarantine with
the rules that they broke, and publishes features as of the window's end.

* **Nothing to read** in the window: the run is skipped, which is normal on days without trading.
* **Red `validate`**: a batch rule broke, or too many rows went to quarantine. The log names the rules and where to look.
* **Data Docs**: the button of that name on `validate`, also where it failed: each rule, its reason, what was seen.
* **A corrected file that is refused** leaves what was validated before in use; `build_features` warns until a delivery passes.
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
            from tasks.io.storage import Storage
            from tasks.settings import get_settings
            from tasks.stages.ingestion import ingest
            from tasks.use_case import load_use_case

            window = window_of_run(get_current_context())
            with fail_without_retry():
                case = load_use_case(name)
                storage = Storage(get_settings().data_root, run=run_name(get_current_context()))
                raw = ingest(name, case.source, case.source_path, window, storage)
            if raw is None:
                skip(f"no raw file for {window.label} in {case.source_path}: nothing to do")
            return raw.to_json()

        @task
        def validate(raw: dict[str, Any]) -> dict[str, Any]:
            """Great Expectations on Spark; bad rows go to quarantine with the rules that they broke."""
            from tasks.columns import QUARANTINE
            from tasks.contracts.data import DatasetRef
            from tasks.io.storage import Storage
            from tasks.settings import get_settings
            from tasks.stages.validation import validate
            from tasks.use_case import load_use_case

            context = get_current_context()
            spec, settings = load_use_case(name).validation, get_settings()
            storage = Storage(settings.data_root, run=run_name(context))
            ref, docs = DatasetRef.from_json(raw), settings.home / "data-docs"
            try:
                with fail_without_retry():
                    done = validate(ref, spec.suite, spec.tolerance, storage, settings.expectations, docs)
            finally:
                judged = storage.current(name, QUARANTINE, ref.partition)
                if judged is not None and storage.manifest(judged)["inputs"] == [raw]:
                    show_page(context, link_docs(judged, docs, storage, context))
            report = done.report
            print(f"{report.rows_in} rows in, {report.rows_validated} validated, {report.rows_quarantined} to quarantine")  # noqa: T201
            return done.validated.to_json()

        @task(outlets=[product])
        def build_features(validated: dict[str, Any]) -> dict[str, Any]:
            """Features of users, items and pairs as of the window's end, from all that was known by then."""
            from tasks.columns import VALIDATED
            from tasks.contracts.base import Window
            from tasks.contracts.data import DatasetRef
            from tasks.io.storage import Storage
            from tasks.settings import get_settings
            from tasks.stages.features import build_features
            from tasks.stages.validation import find_refused
            from tasks.use_case import load_use_case

            context = get_current_context()
            ref = DatasetRef.from_json(validated)
            window = Window.from_label(ref.partition)
            with fail_without_retry():
                case = load_use_case(name)
                storage = Storage(get_settings().data_root, run=run_name(context))
                history = storage.history(name, VALIDATED, window.end)
                made = build_features(name, case.task, case.features, history, window.end, storage)
            behind = [
                refused for refused in find_refused(name, storage) if Window.from_label(refused.raw.partition).end <= window.end
            ]
            for refused in behind:
                _log.warning("%s", refused.told)
            context["outlet_events"][product].extra = {
                "window": window.label,
                "as_of": window.end.isoformat(),
                "validated": validated,
                "features": made.to_json(),
                "behind": [refused.raw.partition for refused in behind],
            }
            return made.to_json()

        build_features(with_page(validate(ingest()), "Data Docs"))

    return features()


def run_name(context: Any) -> str:
    """What manifests call this run."""
    run = context["dag_run"]
    return f"{run.dag_id}/{run.run_id}"


def link_docs(quarantine: DatasetRef, docs: Path, storage: Storage, context: Any) -> str:
    """The address of the page in MLflow; while MLflow is down, of the file: data need not wait for a page."""
    from tasks.contracts.data import ValidationReport
    from tasks.stages.validation import docs_page, publish_docs

    page = docs_page(docs, quarantine)
    if not page.is_file():  # it was judged elsewhere
        return ""
    report = ValidationReport.from_json(storage.manifest(quarantine)["facts"]["report"])
    try:
        run = context["dag_run"]
        return publish_docs(quarantine, report, page, {"dag_id": run.dag_id, "run_id": run.run_id})
    except Exception as error:  # whatever keeps a page from its place must not decide over data
        _log.warning("the page of this validation is in %s only: %s", page, error)
        return page.as_uri()


for_each_use_case(build)

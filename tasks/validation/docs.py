"""Great Expectations' own page (Data Docs) of one judgement: a file for this machine, and an artifact in MLflow."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.contracts import DatasetRef, ValidationReport
from tasks.storage import write_atomically
from tasks.validation.suite import load_great_expectations

if TYPE_CHECKING:
    from tasks.tracking import TrackedRun

PAGE = "validation.html"


def docs_page(folder: Path, quarantine: DatasetRef) -> Path:
    """Where the page of a judgement is: it is named by the quarantine that came of it."""
    return folder / quarantine.use_case / quarantine.partition / f"{quarantine.version}.html"


def write_docs(document: Any, report: ValidationReport, page: Path) -> None:
    """Render what Great Expectations found, each rule by its name and reason."""
    load_great_expectations()
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    for result in document.results:  # its pages print Python's numbers only, not NumPy's
        value = result.result.get("observed_value") if result.result else None
        if value is not None and hasattr(value, "item"):
            result.result["observed_value"] = value.item()
    html: str = DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(document))
    html = re.sub(r"https://great-expectations-web-assets[^\"')\s]*", "", html)  # pictures that count their readers
    title = (
        f"<h4>{report.dataset.key}: {report.rows_in} rows in, {report.rows_validated} validated, "
        f"{report.rows_quarantined} to quarantine; {'passed' if report.passed else 'refused'}</h4>"
    )
    page.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(page, re.sub(r"(<body[^>]*>)", rf"\1{title}", html, count=1))


def publish_docs(quarantine: DatasetRef, report: ValidationReport, page: Path, tags: dict[str, str]) -> str:
    """Log the page and the counts to MLflow; the page's address there comes back. Doing it again changes nothing.

    Raises
    ------
    ServiceUnavailable : MLflow does not answer.
    """
    from tasks import tracking

    use_case, key = quarantine.use_case, f"validation {quarantine.key}"
    finished = tracking.find_finished_run(use_case, key)
    if finished is not None:
        return tracking.artifact_page(finished.info.run_id, use_case, PAGE)
    with tracking.start_run(use_case, f"validation {quarantine.partition}", key, tags) as run:
        _log(run, report, page)
    return tracking.artifact_page(run.run_id, use_case, PAGE)


def _log(run: TrackedRun, report: ValidationReport, page: Path) -> None:
    run.log_params({"suite": report.suite, "tolerance": report.tolerance, "passed": report.passed, "raw": report.dataset.key})
    counts = {"rows_in": report.rows_in, "rows_validated": report.rows_validated, "rows_quarantined": report.rows_quarantined}
    broken = {f"broken.{result.rule}": result.broken_rows for result in report.rules if result.broken_rows}
    run.log_metrics({**counts, **broken})
    run.log_dict(report.to_json(), "validation.json")
    run.log_text(page.read_text(), PAGE)

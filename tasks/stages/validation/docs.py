"""Great Expectations' own page (Data Docs) of one judgement: a file for this machine, and an artifact in MLflow."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.contracts.data import DatasetRef, ValidationReport
from tasks.io.storage import write_atomically
from tasks.stages.validation.suite import load_great_expectations

if TYPE_CHECKING:
    from tasks.io.tracking import TrackedRun

PAGE = "validation.html"
# Great Expectations marks its parts with the classes of Bootstrap and Font Awesome
_STYLE = (
    "<style>body{font-family:sans-serif;max-width:1180px;margin:24px auto;padding:0 24px;font-size:14px}h1{font-size:20px}"
    ".alert{margin:20px 0 4px}.alert h5{font-size:15px;margin:0}table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;vertical-align:top;padding:5px 10px;border-bottom:1px solid #8884}"
    ".fa-check-circle::before{content:'\\2713';color:#1b7837}.fa-times::before{content:'\\2717';color:#c0392b}"
    ".fa-exclamation-triangle::before{content:'!';color:#b8860b}i{font-style:normal;font-weight:bold}"
    "td:first-child{width:3em}.badge{background:#8882;border-radius:4px;padding:1px 5px}</style>"
)


def docs_page(folder: Path, quarantine: DatasetRef) -> Path:
    """Where the page of a judgement is: it is named by the quarantine that came of it."""
    return folder / quarantine.use_case / quarantine.partition / f"{quarantine.version}.html"


def write_docs(document: Any, report: ValidationReport, page: Path) -> None:
    """Render what Great Expectations found, each rule by its name and reason, as one file that asks no server for anything.

    Its whole page would load styles and scripts from five hosts, and a picture that counts readers; its sections need none.
    """
    load_great_expectations()
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaSectionView

    for result in document.results:  # its pages print Python's numbers only, not NumPy's
        value = result.result.get("observed_value") if result.result else None
        if value is not None and hasattr(value, "item"):
            result.result["observed_value"] = value.item()
    view = DefaultJinjaSectionView()
    _, *found = ValidationResultsPageRenderer().render(document).to_json_dict()["sections"]
    sections = "".join(view.render({"section": section, "section_loop": {"index": n}}) for n, section in enumerate(found, 2))
    sections = re.sub(r"<script.*?</script>", "", sections, flags=re.S)
    counts = f"{report.rows_in:,} rows in, {report.rows_validated:,} validated, {report.rows_quarantined:,} to quarantine"
    title = f"{escape(report.dataset.key)}: {'passed' if report.passed else 'refused'}"
    page.parent.mkdir(parents=True, exist_ok=True)
    head = f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{title}</title>{_STYLE}</head>"
    write_atomically(
        page, f"{head}<body><h1>{title}</h1><p>{counts}; suite {escape(report.suite)}.</p>{sections}</body></html>"
    )


def publish_docs(quarantine: DatasetRef, report: ValidationReport, page: Path, tags: dict[str, str]) -> str:
    """Log the page and the counts to MLflow; the page's address there comes back. Doing it again changes nothing.

    Raises
    ------
    ServiceUnavailable : MLflow does not answer.
    """
    from tasks.io import tracking

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

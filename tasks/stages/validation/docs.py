"""The page of one validation, with Great Expectations' details: a file on this machine, and an artifact in MLflow."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from tasks.contracts.data import DatasetRef, RuleResult, Severity, ValidationReport
from tasks.io.storage import write_atomically
from tasks.pages import Cell, Table, render_page
from tasks.stages.validation.suite import load_great_expectations

if TYPE_CHECKING:
    from tasks.io.tracking import TrackedRun

PAGE = "validation.html"


def docs_page(folder: Path, quarantine: DatasetRef) -> Path:
    """The path of the page of a judgement. The quarantine that the judgement produced names it."""
    return folder / quarantine.use_case / quarantine.partition / f"{quarantine.version}.html"


def write_docs(document: Any, report: ValidationReport, page: Path) -> None:
    """Write the result of every rule, and Great Expectations' details of it, as one HTML file.

    Great Expectations' own page loads styles, scripts and a picture that counts readers from five hosts. Its sections need
    none of them.
    """
    text = render_page(
        "data_docs.html.j2",
        dataset=report.dataset.key,
        suite=report.suite,
        passed=report.passed,
        rows_in=f"{report.rows_in:,}",
        rows_validated=f"{report.rows_validated:,}",
        rows_quarantined=f"{report.rows_quarantined:,}",
        tolerance=f"{report.tolerance:.2%}",
        rules=Table(
            ("rule", "severity", "result", "observed", "reason", "broken rows"),
            [
                (one.rule, one.severity.value, _show_result(one), one.observed, one.reason, f"{one.broken_rows:,}")
                for one in report.rules
            ],
            text_columns=5,
        ),
        details=Markup(_render_sections(document)),  # noqa: S704  Great Expectations escapes its values
    )
    page.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(page, text)


def _show_result(result: RuleResult) -> Cell:
    if result.passed:
        return Cell("holds", "good")
    return Cell("broken", "warn" if result.severity is Severity.WARN else "bad")


def _render_sections(document: Any) -> str:
    """The sections of Great Expectations' page, without scripts."""
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
    return re.sub(r"<script.*?</script>", "", sections, flags=re.S)


def publish_docs(quarantine: DatasetRef, report: ValidationReport, page: Path, tags: dict[str, str]) -> str:
    """Log the page and the counts to MLflow, and return the page's address there. A second call changes nothing.

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

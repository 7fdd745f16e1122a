"""The drift report as one HTML page: a summary of all checks, and Evidently's report in a frame."""

from __future__ import annotations

from tasks.contracts.monitoring import CheckResult, DriftReport
from tasks.pages import Cell, Table, frame_page, render_page

LEAD = (
    "The charts show at most 20,000 rows of each side, chosen by a hash of their id. Numbers are cut into bins at quantiles of "
    "the reference. The most frequent categories of the reference have bars of their own. Rarer ones are (other), and those "
    "that the reference has at most once are (new). Choose perc in a chart to compare shares."
)


def write_page(report: DriftReport, evidently: str) -> str:
    """The page of a report. `evidently` is Evidently's page of the same columns."""
    return render_page(
        "drift_report.html.j2",
        use_case=report.use_case,
        window=report.window.label,
        reference=report.reference,
        current_rows=f"{report.current_rows:,}",
        reference_rows=f"{report.reference_rows:,}",
        violations=sum(result.violated for result in report.checks),
        checks=Table(
            ("column", "check", "method", "result", "distance", "threshold"),
            [
                (one.column, one.check, one.method, _show_result(one), f"{one.value:.3f}", f"{one.threshold:g}")
                for one in report.checks
            ],
            text_columns=4,
        ),
        figures=Table(
            ("figure", "value"),
            [(name, f"{value:,.4g}") for name, value in sorted(report.figures.items())],
            text_columns=1,
        ),
        missing=Table(("figure", "why it is missing"), _group_notes(report), text_columns=2),
        frame_title="Distributions, by Evidently",
        frame_lead=LEAD,
        frame=frame_page(evidently),
    )


def _group_notes(report: DriftReport) -> list[tuple[str, str]]:
    """The figures that are missing for one reason, and the reason."""
    reasons: dict[str, list[str]] = {}
    for figure, reason in report.notes.items():
        reasons.setdefault(reason, []).append(figure)
    return [(", ".join(figures), reason) for reason, figures in reasons.items()]


def _show_result(result: CheckResult) -> Cell:
    """`violated`, `within`, or the reason why the check was not judged."""
    if result.violated:
        return Cell("violated", "bad")
    return Cell(result.note, "open") if result.note else Cell("within", "good")

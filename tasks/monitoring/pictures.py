"""What a person sees of a drift report: a summary above Evidently's page, and one plot."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from tasks.contracts import CheckResult, DriftReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = (
    "<style>#summary{box-sizing:border-box;font-family:sans-serif;max-width:1280px;margin:24px auto;padding:0 24px}"
    "#summary table{border-collapse:collapse;width:100%}#summary th,#summary td{text-align:left;padding:6px 12px;"
    "border-bottom:1px solid #8884}#summary td.number{font-variant-numeric:tabular-nums}</style>"
)


def describe_outcome(result: CheckResult) -> str:
    """`violated`, `within`, or why it was not judged."""
    return result.note or ("violated" if result.violated else "within")


def add_summary(html: str, report: DriftReport) -> str:
    """Evidently's page with window, reference, verdict and a table of all checks at its top."""
    rows = "".join(
        f"<tr><td>{escape(result.column)}</td><td>{escape(result.check)}</td><td>{escape(result.method)}</td>"
        f"<td class='number'>{result.value:.3f}</td><td class='number'>{result.threshold:g}</td>"
        f"<td>{'<b>violated</b>' if result.violated else escape(describe_outcome(result))}</td></tr>"
        for result in report.checks
    )
    summary = (
        f"{_STYLE}<div id='summary'><h2>{escape(report.use_case)}, {escape(report.window.label)}: "
        f"{'drift' if report.violated else 'no drift'}</h2>"
        f"<p>Compared with {escape(report.reference)}: {report.current_rows:,} rows against {report.reference_rows:,}; "
        "of each at most 20,000 by a hash of their id. Numbers are cut at quantiles of the reference. Of categories "
        "the most frequent ones of the reference stand for themselves, rarer ones are <i>(other)</i>, and those that the "
        "reference knows not at all or only once are <i>(new)</i>. Choose <i>perc</i> in a chart to compare shares.</p>"
        "<table><tr><th>column</th><th>check</th><th>method</th><th>distance</th><th>threshold</th><th>verdict</th></tr>"
        f"{rows}</table></div>"
    )
    return html.replace("<body>", f"<body>{summary}", 1)


def plot_drift(report: DriftReport) -> Figure:
    """The distance of each check as a bar, its threshold as a line across it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    results = report.checks[::-1]
    figure = Figure(figsize=(9, 1.6 + 0.45 * len(results)), layout="constrained")
    FigureCanvasAgg(figure)  # a figure without pyplot: no display is asked for, and none is kept
    axes = figure.subplots()
    places = range(len(results))
    colours = ["#b9b9b9" if result.note else "#c0392b" if result.violated else "#2c7fb8" for result in results]
    axes.barh(places, [result.value for result in results], color=colours, height=0.6)
    for place, result in zip(places, results, strict=True):
        axes.plot([result.threshold] * 2, [place - 0.42, place + 0.42], color="black", linewidth=2)
        axes.annotate(
            f" {result.value:.3f}{' (' + result.note + ')' if result.note else ''}",
            (max(result.value, result.threshold), place), va="center",
        )  # fmt: skip
    axes.set_yticks(list(places), [f"{result.column}\n{result.method}" for result in results])
    axes.set_xlim(0, 1.35 * max([0.1, *(max(result.value, result.threshold) for result in results)]))
    axes.set_xlabel("distance from the reference; the black line is the threshold")
    axes.set_title(f"{report.use_case}, {report.window.label}: {'drift' if report.violated else 'no drift'}")
    return figure

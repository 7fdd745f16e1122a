"""Plots of a drift report, and of all reports of a use case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tasks.contracts.monitoring import Cause, CheckResult, DriftReport, RetrainDecision

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_drift(report: DriftReport) -> Figure:
    """The distance of each check as a bar, its threshold as a line across it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    results = report.checks[::-1]
    figure = Figure(figsize=(9, 1.6 + 0.45 * len(results)), layout="constrained")
    FigureCanvasAgg(figure)  # without pyplot there is no display and no global state
    axes = figure.subplots()
    places = range(len(results))
    colours = ["#b9b9b9" if result.note else "#c0392b" if result.violated else "#2c7fb8" for result in results]
    axes.barh(places, [result.value for result in results], color=colours, height=0.6)
    for place, result in zip(places, results, strict=True):
        axes.plot([result.threshold] * 2, [place - 0.42, place + 0.42], color="black", linewidth=2)
        axes.annotate(
            f" {result.value:.3f}{' (' + result.note + ')' if result.note else ''}",
            (max(result.value, result.threshold), place),
            va="center",
        )
    axes.set_yticks(list(places), [f"{result.column}\n{result.method}" for result in results])
    axes.set_xlim(0, 1.35 * max([0.1, *(max(result.value, result.threshold) for result in results)]))
    axes.set_xlabel("distance from the reference (black line: threshold)")
    axes.set_title(f"{report.use_case}, {report.window.label}: {'drift' if report.violated else 'no drift'}")
    return figure


def plot_history(reports: Sequence[DriftReport], decisions: Sequence[RetrainDecision] = (), most: int = 60) -> Figure:
    """Every measurement of the newest windows, one panel each: its line, its threshold, and a red dot at each violation.

    Vertical lines mark decisions: green for a requested retraining, red for broken data.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    newest = sorted({report.window.label: report for report in reports}.values(), key=lambda one: one.window.end)[-most:]
    checks: dict[str, list[tuple[object, CheckResult]]] = {}
    figures: dict[str, list[tuple[object, float]]] = {}
    for report in newest:
        for result in report.checks:
            column = result.column.partition(" (")[0]
            checks.setdefault(f"{result.check}: {column}, {result.method}", []).append((report.window.end, result))
        for name, value in report.figures.items():
            figures.setdefault(name, []).append((report.window.end, value))
    panels = len(checks) + len(figures)
    across = min(3, max(1, panels))
    down = max(1, -(-panels // across))
    figure = Figure(figsize=(4.6 * across, 0.6 + 2.0 * down), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(down, across, squeeze=False).ravel()
    for axes, (title, points) in zip(grid, checks.items(), strict=False):
        days, values = [day for day, _ in points], [result.value for _, result in points]
        axes.plot(days, values, color="#2c7fb8", marker=".", linewidth=1)
        axes.plot(days, [result.threshold for _, result in points], color="black", linewidth=1, linestyle="--")
        red = [(day, result.value) for day, result in points if result.violated]
        axes.plot([day for day, _ in red], [value for _, value in red], "o", color="#c0392b", markersize=5)
        axes.set_title(title, fontsize=9)
        axes.set_ylim(bottom=min(0.0, *values), top=1.15 * max([*values, *(result.threshold for _, result in points), 1e-9]))
    for axes, (title, dots) in zip(grid[len(checks) :], figures.items(), strict=False):
        axes.plot([day for day, _ in dots], [value for _, value in dots], color="#41ab5d", marker=".", linewidth=1)
        axes.set_title(title, fontsize=9)
    shown = {report.window.end for report in newest}
    for decision in decisions:
        colour = {True: "#1b7837", False: "#c0392b" if decision.cause is Cause.FAULT else ""}[decision.retrain]
        for axes in grid[:panels] if colour and decision.window.end in shown else ():
            axes.axvline(decision.window.end, color=colour, linewidth=1, alpha=0.6, zorder=0)
    for axes in grid:
        axes.tick_params(labelsize=7, axis="both")
        axes.tick_params(axis="x", rotation=30)
    for axes in grid[panels:]:
        axes.set_visible(False)
    if newest:
        lines = "dashed: threshold, green: retraining requested, red: broken data"
        figure.suptitle(f"{newest[-1].use_case}: measurements of {len(newest)} windows ({lines})", fontsize=11)
    return figure

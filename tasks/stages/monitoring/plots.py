"""Plots of a drift report, and of all reports of a use case."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from tasks.contracts.monitoring import Cause, CheckResult, DriftReport, RetrainDecision
from tasks.pages.charts import LIGHT, Palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_drift(report: DriftReport) -> Figure:
    """The distance of each check as a bar, its threshold as a line across it."""
    from matplotlib.figure import Figure  # without pyplot there is no backend and no global state

    results = report.checks[::-1]
    figure = Figure(figsize=(9, 1.6 + 0.45 * len(results)), layout="constrained")
    axes = figure.subplots()
    places = range(len(results))
    colours = [LIGHT.baseline if result.note else LIGHT.bad if result.violated else LIGHT.challenger for result in results]
    axes.barh(places, [result.value for result in results], color=colours, height=0.6)
    for place, result in zip(places, results, strict=True):
        axes.plot([result.threshold] * 2, [place - 0.42, place + 0.42], color=LIGHT.ink, linewidth=2)
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


def plot_history(
    reports: Sequence[DriftReport],
    decisions: Sequence[RetrainDecision] = (),
    *,
    max_windows: int = 60,
    palette: Palette = LIGHT,
) -> Figure:
    """Every measurement of the newest windows, one panel each: its line, its threshold, and a red dot at each violation.

    Vertical lines mark decisions: green for a requested retraining, red for broken data.
    """
    from matplotlib.figure import Figure

    newest = sorted({report.window.label: report for report in reports}.values(), key=lambda one: one.window.end)
    newest = newest[-max_windows:]
    checks: dict[str, list[tuple[date, CheckResult]]] = {}
    figures: dict[str, list[tuple[date, float]]] = {}
    for report in newest:
        for result in report.checks:
            column = result.column.partition(" (")[0]
            checks.setdefault(f"{result.check}: {column}, {result.method}", []).append((report.window.end, result))
        for name, value in report.figures.items():
            figures.setdefault(name, []).append((report.window.end, value))
    panels = len(checks) + len(figures)
    across = min(3, max(1, panels))
    down = max(1, -(-panels // across))
    figure = Figure(figsize=(4.6 * across, 0.6 + 1.8 * down), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False).ravel()
    for axes, (title, results) in zip(grid, checks.items(), strict=False):
        _plot_check(axes, title, results, palette)
    for axes, (title, points) in zip(grid[len(checks) :], figures.items(), strict=False):
        days, values = zip(*points, strict=True)
        axes.plot(days, values, color=palette.champion, marker=".", linewidth=1)
        axes.set_title(title, fontsize=9)
    shown = {report.window.end for report in newest}
    for decision in decisions:
        colour = palette.good if decision.retrain else palette.bad if decision.cause is Cause.FAULT else None
        for axes in grid[:panels] if colour and decision.window.end in shown else ():
            axes.axvline(decision.window.end, color=colour, linewidth=1, alpha=0.6, zorder=0)
    for axes in grid[:panels]:
        _format_days(axes)
    for axes in grid[panels:]:
        axes.set_visible(False)
    if newest:
        lines = "dashed: threshold, green: retraining requested, red: broken data"
        figure.suptitle(f"{newest[-1].use_case}: measurements of {len(newest)} windows ({lines})", fontsize=11)
    return figure


def _plot_check(axes: Axes, title: str, results: Sequence[tuple[Any, CheckResult]], palette: Palette) -> None:
    """One panel. The days are dates, which matplotlib's annotations do not know."""
    days, values = [day for day, _ in results], [result.value for _, result in results]
    thresholds = [result.threshold for _, result in results]
    axes.plot(days, values, color=palette.challenger, marker=".", linewidth=1)
    axes.plot(days, thresholds, color=palette.ink, linewidth=1, linestyle="--")
    violated = [(day, result.value) for day, result in results if result.violated]
    axes.plot([day for day, _ in violated], [value for _, value in violated], "o", color=palette.bad, markersize=5)
    axes.set_title(title, fontsize=9)
    axes.set_ylim(bottom=min(0.0, *values), top=1.15 * max([*values, *thresholds, 1e-9]))


def _format_days(axes: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=2, maxticks=6)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.tick_params(labelsize=7, axis="both")

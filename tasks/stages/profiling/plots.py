"""Charts of all rows, as one figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tasks.stages.profiling.measuring import Figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tasks.pages.charts import Palette

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def plot_profile(found: Figures, palette: Palette) -> Figure:
    """Rows by day, weekday, hour and kind; missing values and outliers; correlations."""
    from matplotlib.figure import Figure  # without pyplot there is no backend and no global state

    tall = 3.2 + 0.13 * len(found.correlated)
    figure = Figure(figsize=(11, 3 + 2.6 + tall), layout="constrained")
    grid = figure.add_gridspec(3, 3, height_ratios=[3, 2.6, tall])
    _plot_days(figure.add_subplot(grid[0, :]), found, palette)
    colour = palette.challenger
    _plot_bars(figure.add_subplot(grid[1, 0]), WEEKDAYS, found.weekdays, "Rows by weekday", colour)
    _plot_bars(figure.add_subplot(grid[1, 1]), range(24), found.hours, f"Rows by hour, {found.time_zone}", colour)
    _plot_bars(figure.add_subplot(grid[1, 2]), list(found.balance), list(found.balance.values()), "Rows by kind", colour)
    _plot_shares(figure.add_subplot(grid[2, 0]), found, palette)
    _plot_correlations(figure.add_subplot(grid[2, 1:]), found, palette)
    return figure


def _plot_days(axes: Axes, found: Figures, palette: Palette) -> None:
    import pandas as pd
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    axes.set_title("Rows by day, and their mean over 28 days (line; days without rows count as zero)")
    if not found.days:
        return
    counted = pd.Series(found.days)
    counted.index = pd.DatetimeIndex(counted.index)
    daily = counted.resample("D").sum()
    axes.bar(daily.index, daily, width=1.0, color=palette.challenger, alpha=0.35)
    axes.plot(daily.index, daily.rolling(28, min_periods=7).mean(), color=palette.challenger, linewidth=2)
    axes.margins(x=0.01)
    locator = AutoDateLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def _plot_bars(axes: Axes, names: Sequence[Any], heights: Sequence[int], title: str, colour: str) -> None:
    axes.bar([str(name) for name in names], heights, color=colour)
    axes.set_title(title)
    axes.grid(visible=False, axis="x")
    axes.tick_params(labelsize=8)
    if len(names) > 12:
        axes.set_xticks(range(0, len(names), 3))


def _plot_shares(axes: Axes, found: Figures, palette: Palette) -> None:
    names = [*found.numbers, *found.texts]
    missing = [found.numbers[name].missing if name in found.numbers else found.texts[name].missing for name in names]
    outliers = [found.numbers[name].outliers if name in found.numbers else 0 for name in names]
    places = range(len(names))
    for counts, shift, colour, label in (
        (missing, -0.2, palette.baseline, "missing"),
        (outliers, 0.2, palette.bad, "outliers"),
    ):
        shares = [100 * rows / found.rows for rows in counts]
        axes.barh([place + shift for place in places], shares, 0.4, color=colour, label=label)
    axes.set_yticks(list(places), names, fontsize=8)
    axes.invert_yaxis()
    axes.legend(fontsize=8, labelcolor=palette.ink)
    axes.grid(visible=False, axis="y")
    axes.set_title("Missing values and outliers, % of rows")


def _plot_correlations(axes: Axes, found: Figures, palette: Palette) -> None:
    import numpy as np

    axes.set_title("Correlation (Pearson)")
    axes.grid(visible=False)
    if not found.correlated:
        axes.set_axis_off()
        return
    places = range(len(found.correlated))
    mesh = axes.pcolormesh(np.ma.masked_invalid(found.correlations), vmin=-1, vmax=1, cmap="RdBu")
    axes.invert_yaxis()
    axes.set_xticks([place + 0.5 for place in places], found.correlated, rotation=90, fontsize=8)
    axes.set_yticks([place + 0.5 for place in places], found.correlated, fontsize=8)
    if len(places) <= 6:
        for one in places:
            for other in places:
                value = found.correlations[one][other]
                colour = palette.muted if np.isnan(value) else "white" if abs(value) > 0.6 else "black"
                axes.text(other + 0.5, one + 0.5, f"{value:.2f}", ha="center", va="center", color=colour)
    axes.figure.colorbar(mesh, ax=axes, shrink=0.8)

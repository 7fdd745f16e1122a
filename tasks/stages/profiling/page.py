"""What a person sees: tables and plots of all rows, above Evidently's charts of a sample."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from tasks import columns as c
from tasks.stages.profiling.measuring import FENCE, Figures, Number

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

FEW_VALUES = 50  # a text column with so many or fewer is a category that Evidently can chart
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_BLUE, _RED, _GREY = "#2c7fb8", "#c0392b", "#b9b9b9"
_STYLE = (
    "<style>#profile{box-sizing:border-box;font-family:sans-serif;max-width:1280px;margin:24px auto;padding:0 24px}"
    "#profile table{border-collapse:collapse;width:100%;font-size:14px}#profile th,#profile td{text-align:right;"
    "padding:5px 10px;border-bottom:1px solid #8884;font-variant-numeric:tabular-nums}#profile .name{text-align:left}"
    "#profile .values td:last-child,#profile .values th:last-child{text-align:left}#profile img{width:100%}</style>"
)


def make_page(title: str, found: Figures, sample: pd.DataFrame) -> str:
    """One HTML file with everything in it."""
    days = list(found.days)
    span = f"{days[0]} to {days[-1]}, {len(days)} days with rows" if days else "no row has a time"
    summary = (
        f"{_STYLE}<div id='profile'><h2>{escape(title)}</h2><p>{found.rows:,} rows, {span}. Tables and plots down to the line "
        f"are of all of them; an outlier lies {FENCE:g} interquartile ranges beyond a quartile.</p>"
        f"{_numbers_table(found)}<img alt='plots of all rows' src='{_plot(found)}'>{_texts_table(found)}<hr>"
        f"<p>Evidently's charts below are of {len(sample):,} rows, picked by a hash of their id.</p></div>"
    )
    return _evidently(found, sample).replace("<body>", f"<body>{summary}", 1)


def _evidently(found: Figures, sample: pd.DataFrame) -> str:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataSummaryPreset

    names = [name for name, text in found.texts.items() if text.distinct <= FEW_VALUES and sample[name].notna().any()]
    numbers = [name for name in found.numbers if name != c.TARGET and sample[name].notna().any()]
    if c.TARGET in found.numbers:
        names.append(c.TARGET)
    frame = sample[[*numbers, *names]].astype({**dict.fromkeys(numbers, "float64"), **dict.fromkeys(names, "str")})
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=names)
    report = Report([DataSummaryPreset()]).run(Dataset.from_pandas(frame, data_definition=definition))
    return str(report.get_html_str(as_iframe=False))


def _table(head: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    titles = "".join(f"<th{_name(place)}>{escape(title)}</th>" for place, title in enumerate(head))
    cells = (
        "".join(f"<td{_name(place)}>{escape(_text(cell))}</td>" for place, cell in enumerate(line))  # one row
        for line in lines
    )
    return f"<table><tr>{titles}</tr>{''.join(f'<tr>{line}</tr>' for line in cells)}</table>"


def _name(place: int) -> str:
    return "" if place else " class='name'"


def _text(cell: Any) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:,.4g}" if abs(cell) < 1000 else f"{cell:,.0f}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def _numbers_table(found: Figures) -> str:
    def line(name: str, one: Number) -> list[Any]:
        quartiles = one.quartiles or (None, None, None)
        share = f"{one.outliers:,} ({one.outliers / found.rows:.1%})"
        missing = f"{one.missing:,} ({one.missing / found.rows:.1%})"
        return [name, missing, one.least, *quartiles, one.most, one.mean, one.deviation, one.zeros, one.negative, share]

    head = (
        "column",
        "missing",
        "least",
        "1st quartile",
        "median",
        "3rd quartile",
        "most",
        "mean",
        "deviation",
        "zeros",
        "negative",
        "outliers",
    )
    return _table(head, [line(name, one) for name, one in found.numbers.items()])


def _texts_table(found: Figures) -> str:
    lines = [
        [
            name,
            f"{one.missing:,} ({one.missing / found.rows:.1%})",
            one.distinct,
            "; ".join(f"{value} ({rows:,})" for value, rows in one.values),
        ]
        for name, one in found.texts.items()
    ]
    table = _table(("column", "missing", "distinct (about)", "most frequent"), lines)
    return f"<div class='values'>{table}</div>" if lines else ""


def _plot(found: Figures) -> str:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tall = 3.2 + 0.13 * len(found.correlated)
    figure = Figure(figsize=(13, 3 + 2.6 + tall), layout="constrained")
    canvas = FigureCanvasAgg(figure)  # without pyplot: no display is asked for, and none is kept
    grid = figure.add_gridspec(3, 3, height_ratios=[3, 2.6, tall])
    _plot_days(figure.add_subplot(grid[0, :]), found)
    _bars(figure.add_subplot(grid[1, 0]), WEEKDAYS, found.weekdays, "rows by weekday")
    _bars(figure.add_subplot(grid[1, 1]), range(24), found.hours, "rows by hour, UTC")
    _bars(figure.add_subplot(grid[1, 2]), list(found.balance), list(found.balance.values()), "balance: rows of each kind")
    _plot_shares(figure.add_subplot(grid[2, 0]), found)
    _plot_correlations(figure.add_subplot(grid[2, 1:]), found)
    picture = io.BytesIO()
    canvas.print_png(picture)
    return f"data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()}"


def _plot_days(axes: Axes, found: Figures) -> None:
    import pandas as pd
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    axes.set_title("rows by day; dark: the mean of 28 days, in which days without rows count as none", fontsize=10)
    if not found.days:
        return
    counted = pd.Series(found.days)
    counted.index = pd.DatetimeIndex(counted.index)
    daily = counted.resample("D").sum()
    axes.bar(daily.index, daily, width=1.0, color="#9ecae1")
    axes.plot(daily.index, daily.rolling(28, min_periods=7).mean(), color="#08519c", linewidth=2)
    axes.margins(x=0.01)
    locator = AutoDateLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def _bars(axes: Axes, names: Sequence[Any], heights: Sequence[int], title: str) -> None:
    axes.bar([str(name) for name in names], heights, color=_BLUE)
    axes.set_title(title, fontsize=10)
    axes.tick_params(labelsize=8)
    if len(names) > 12:
        axes.set_xticks(range(0, len(names), 3))


def _plot_shares(axes: Axes, found: Figures) -> None:
    names = [*found.numbers, *found.texts]
    missing = [found.numbers[name].missing if name in found.numbers else found.texts[name].missing for name in names]
    outliers = [found.numbers[name].outliers if name in found.numbers else 0 for name in names]
    places = range(len(names))
    for counts, shift, colour, label in ((missing, -0.2, _GREY, "missing"), (outliers, 0.2, _RED, "outliers")):
        shares = [100 * rows / found.rows for rows in counts]
        axes.barh([place + shift for place in places], shares, 0.4, color=colour, label=label)
    axes.set_yticks(list(places), names, fontsize=7)
    axes.invert_yaxis()
    axes.legend(fontsize=8)
    axes.set_title("% of rows", fontsize=10)


def _plot_correlations(axes: Axes, found: Figures) -> None:
    import numpy as np

    axes.set_title("correlation (Pearson)", fontsize=10)
    if not found.correlated:
        axes.set_axis_off()
        return
    places = range(len(found.correlated))
    image = axes.imshow(np.array(found.correlations), vmin=-1, vmax=1, cmap="RdBu", aspect="auto")
    axes.set_xticks(list(places), found.correlated, rotation=90, fontsize=7)
    axes.set_yticks(list(places), found.correlated, fontsize=7)
    if len(places) <= 6:
        for one in places:
            for other in places:
                value = found.correlations[one][other]
                axes.text(other, one, f"{value:.2f}", ha="center", va="center", color="white" if abs(value) > 0.6 else "black")
    axes.figure.colorbar(image, ax=axes, shrink=0.8)

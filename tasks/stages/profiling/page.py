"""The profile as one HTML page: tables and charts of all rows, and Evidently's charts of a sample in a frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tasks import columns as c
from tasks.pages import Table, frame_page, render_page
from tasks.pages.charts import render_svg
from tasks.stages.profiling.measuring import FENCE, Figures, Number
from tasks.stages.profiling.plots import plot_profile

if TYPE_CHECKING:
    import pandas as pd

FEW_VALUES = 50  # Evidently charts a text column with at most so many values as a category


def make_page(title: str, found: Figures, sample: pd.DataFrame, cells: Mapping[str, Mapping[str, Any]]) -> str:
    """One HTML file that contains everything it shows.

    Parameters
    ----------
    cells : column of the source -> its `full` and `lost` cells, and `examples` of those.
    """
    days = list(found.days)
    return render_page(
        "profile.html.j2",
        title=title,
        rows=f"{found.rows:,}",
        period=f"{days[0]} to {days[-1]}" if days else "no row has a time",
        days=f"{len(days):,}",
        fence=f"{FENCE:g}",
        numbers=_list_numbers(found) if found.numbers else None,
        texts=_list_texts(found) if found.texts else None,
        cells=_list_cells(cells) if cells else None,
        chart=render_svg(lambda palette: plot_profile(found, palette), "charts of all rows"),
        frame_title="Charts of a sample, by Evidently",
        frame_lead=f"The sample has {len(sample):,} rows, chosen by a hash of their id.",
        frame=frame_page(_render_evidently(found, sample)),
    )


def _render_evidently(found: Figures, sample: pd.DataFrame) -> str:
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


def _list_numbers(found: Figures) -> Table:
    def make_row(name: str, one: Number) -> list[str]:
        quartiles = one.quartiles or (None, None, None)
        values = (one.least, *quartiles, one.most, one.mean, one.deviation, one.zeros, one.negative)
        return [name, _share(one.missing, found.rows), *map(_format, values), _share(one.outliers, found.rows)]

    head = (
        "column",
        "missing",
        "minimum",
        "Q1",
        "median",
        "Q3",
        "maximum",
        "mean",
        "std. dev.",
        "zeros",
        "negative",
        "outliers",
    )
    return Table(head, [make_row(name, one) for name, one in found.numbers.items()])


def _list_texts(found: Figures) -> Table:
    rows = [
        [
            name,
            "; ".join(f"{value} ({count:,})" for value, count in one.values),
            _share(one.missing, found.rows),
            _format(one.distinct),
        ]
        for name, one in found.texts.items()
    ]
    return Table(("column", "most frequent values", "missing", "distinct (estimate)"), rows, text_columns=2)


def _list_cells(cells: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = [
        [
            column,
            "; ".join(f"{one['cell']!r} ({one['row']})" for one in counts["examples"]),
            f"{counts['full']:,}",
            _share(counts["lost"], max(counts["full"], 1)),
        ]
        for column, counts in cells.items()
    ]
    return Table(("column of the source", "lost cells, such as", "full", "lost"), rows, text_columns=2)


def _share(count: int, rows: int) -> str:
    return f"{count:,} ({count / rows:.1%})"


def _format(value: float | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"

"""Strengths and weaknesses of a challenger: evidence -> the card's sections on slices, curves and errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tasks.contracts.judging import Role, Slice
from tasks.pages import Cell, Table, clean_text
from tasks.pages.charts import Interval, chart_intervals
from tasks.stages.reporting.charts import chart_calibration, chart_gain
from tasks.stages.reporting.curves import Curve
from tasks.stages.reporting.error_analysis import Case, Entry
from tasks.stages.reporting.evidence import Evidence
from tasks.stages.reporting.formatting import format_number, tone_of_interval

NO_UNITS = "No results of single users or rows are stored for this evaluation."
UNIT_LENGTH, TEXT_LENGTH, ITEM_LENGTH = 60, 48, 40


@dataclass(frozen=True)
class SliceSection:
    """The metric of each slice, with a chart of the differences to the champion."""

    lead: str
    table: Table | None = None
    chart: Markup | None = None


@dataclass(frozen=True)
class CurveSection:
    """Calibration and gain."""

    charts: tuple[Markup, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class EntryLine:
    """One line in a cell of the worst cases: a text, an item's id, and a note."""

    text: str
    item: str = ""
    note: str = ""
    is_hit: bool = False


@dataclass(frozen=True)
class CaseTable:
    """The worst users or rows. Cells are lines, or plain text; the last `figures` columns are figures."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str | tuple[EntryLine, ...] | None, ...], ...]
    figures: int


@dataclass(frozen=True)
class ErrorSection:
    """Kinds of mistakes, weak segments and worst cases."""

    lead: str
    tables: tuple[tuple[str, Table], ...] = ()
    cases: CaseTable | None = None


def describe_slices(slices: Sequence[Slice]) -> SliceSection:
    """The slices of the verdict, under a heading for each metric."""
    if not slices:
        return SliceSection("No slices: the verdict has none.")
    has_metrics = len(_list_metrics(slices)) > 1
    intervals = [
        Interval(f"{one.name}, {one.metric}" if has_metrics else one.name, found.low, found.difference, found.high)
        for one in slices
        if (found := one.comparison) is not None
    ]
    chart = None
    if intervals:
        chart = chart_intervals(intervals, title="Difference to the champion", x_label="positive is better").to_svg()
    lead = (
        "These are the comparisons that the gate judged, each with the gate's own interval."
        if any(one.is_judged for one in slices)
        else "No gate judged these slices. The comparisons are for information and corrected for their number."
    )
    lead += f" Slices of fewer than {max(one.min_units for one in slices)} units are not compared."
    return SliceSection(lead, _make_slice_table(slices), chart)


def _list_metrics(slices: Sequence[Slice]) -> list[str]:
    return list(dict.fromkeys(one.metric for one in slices))


def _make_slice_table(slices: Sequence[Slice]) -> Table:
    """One row for each slice, under the name of the metric."""
    is_compared = any(one.comparison is not None for one in slices)
    roles = [role for role in Role if any(role in one.values for one in slices)]
    rows: list[list[str | Cell | None]] = []
    for metric in _list_metrics(slices):
        rows.append([metric])
        for one in slices:
            if one.metric == metric:
                values = [format_number(one.values.get(role)) for role in roles]
                difference = [_show_difference(one)] if is_compared else []
                rows.append([one.name, f"{one.units:,}", *values, *difference])
    return Table(["", "units", *roles, *(["difference"] if is_compared else [])], rows)


def _show_difference(one: Slice) -> Cell | None:
    found = one.comparison
    if found is None:
        return None
    return Cell(f"{found.difference:+.4f}", tone_of_interval(found.low, found.high))


def describe_curves(evidence: Evidence) -> CurveSection:
    charts: list[Markup] = []
    notes = []
    wording = evidence.problem.wording
    if evidence.calibration and wording.calibration:
        x, y = wording.calibration
        charts.append(chart_calibration(evidence.calibration, x_label=x, y_label=y).to_svg())
        notes.append(
            "Calibration: on the dotted line the predicted and the observed mean are equal. Bars are 95 % intervals that treat "
            "each prediction as independent."
        )
    elif evidence.task and wording.no_calibration:
        notes.append(wording.no_calibration)
    if evidence.gain:
        axes = wording.gain
        gain = evidence.gain if axes.is_ranked else _with_chance(evidence.gain)
        charts.append(
            chart_gain(gain, title=axes.title, x_label=axes.x_label, y_label=axes.y_label, is_ranked=axes.is_ranked).to_svg()
        )
        if axes.note:
            notes.append(axes.note)
    if not charts:
        notes.append("No curves: no predictions are stored, or the holdout has no positive label.")
    return CurveSection(tuple(charts), tuple(notes))


def _with_chance(gain: Mapping[str, Curve]) -> dict[str, Curve]:
    import numpy as np

    return {**gain, "by chance": (np.array([0.0, 1.0]), np.array([0.0, 1.0]))}


def describe_errors(evidence: Evidence, segments: Sequence[Slice]) -> ErrorSection:
    tables: list[tuple[str, Table]] = []
    if evidence.mistakes:
        wording = evidence.problem.wording
        subjects = list(dict.fromkeys(subject for one in evidence.mistakes for subject in one.values))
        rows = [
            (
                one.kind,
                f"{one.count:,}",
                f"{one.share:.1%}",
                *(_format_error(one.values.get(s), is_share=wording.are_shares) for s in subjects),
            )
            for one in evidence.mistakes
        ]
        tables.append((wording.errors, Table(("", "count", "share", *subjects), rows)))
    if segments:
        tables.append(("Weakest segments", _make_slice_table(segments)))
    cases = _describe_cases(evidence, evidence.metric.name) if evidence.cases and evidence.metric else None
    if not tables and cases is None:
        return ErrorSection(f"No errors to show. {NO_UNITS}")
    lead = ""
    if segments:
        lead = (
            f"Segments have at least {segments[0].min_units} units. A segment that shares most of its units with a weaker one "
            "is left out."
        )
    return ErrorSection(lead, tuple(tables), cases)


def _describe_cases(evidence: Evidence, metric: str) -> CaseTable:
    has_champion = any(case.champion is not None for case in evidence.cases)
    wording = evidence.problem.wording
    rows = []
    for case in evidence.cases:
        values = [format_number(case.value), *([format_number(case.champion)] if has_champion else [])]
        rows.append((clean_text(case.unit, UNIT_LENGTH), *_describe_case(case, evidence), *values))
    figures = (metric, "champion") if has_champion else (metric,)
    return CaseTable(wording.cases, (*wording.case_columns, *figures), tuple(rows), len(figures))


def _describe_case(case: Case, evidence: Evidence) -> tuple[str | tuple[EntryLine, ...], ...]:
    if evidence.problem.task.answers_rows:
        prediction, label = case.predicted
        return prediction.note, label.note, tuple(_describe_entry(one, {}) for one in case.happened)
    predicted = _describe_entries(case.predicted, case.more[0], evidence.texts)
    if evidence.problem.task.rates_pairs:
        return (predicted,)
    return predicted, _describe_entries(case.happened, case.more[1], evidence.texts)


def _describe_entries(entries: Sequence[Entry], more: int, texts: Mapping[str, str]) -> tuple[EntryLine, ...]:
    lines = [_describe_entry(one, texts) for one in entries]
    if more:
        lines.append(EntryLine("", f"and {more} more"))
    return tuple(lines) or (EntryLine("", "none"),)


def _describe_entry(entry: Entry, texts: Mapping[str, str]) -> EntryLine:
    text = texts.get(entry.item)
    if text is None:
        return EntryLine(clean_text(entry.item, ITEM_LENGTH), "", entry.note, entry.is_hit)
    return EntryLine(clean_text(text, TEXT_LENGTH), clean_text(entry.item, ITEM_LENGTH), entry.note, entry.is_hit)


def _format_error(value: float | None, *, is_share: bool) -> str | None:
    return f"{value:.1%}" if value is not None and is_share else format_number(value)

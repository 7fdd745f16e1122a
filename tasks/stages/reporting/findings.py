"""How a challenger's strengths and weaknesses read: slices, curves and mistakes -> sections of the card."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tasks.contracts.base import TaskKind
from tasks.contracts.judging import Role, Slice
from tasks.stages.reporting import charts
from tasks.stages.reporting.charts import Interval
from tasks.stages.reporting.curves import Curve
from tasks.stages.reporting.error_analysis import Entry
from tasks.stages.reporting.html import Html, section, show, table, tag, together

if TYPE_CHECKING:
    from tasks.stages.reporting.evidence import Evidence


def show_slices(slices: Sequence[Slice]) -> Html:
    """The slices of the verdict, under a heading for each metric."""
    if not slices:
        return section("slices", "Slices", lead="Nothing to show: the verdict has no slices.")
    content = [_slice_table(slices)]
    drawn = [
        Interval(f"{one.name}, {one.metric}" if _metrics(slices)[1:] else one.name, found.low, found.difference, found.high)
        for one in slices
        if (found := one.comparison) is not None
    ]
    if drawn:
        content.append(charts.draw_intervals(drawn, "Difference to the champion", "positive is better"))
    by_gate = any(one.is_judged for one in slices)
    lead = (
        "These are the comparisons that the gate judged, each with the gate's own interval."
        if by_gate
        else "No gate judged these slices. The comparisons are for information and corrected for their number."
    )
    lead += f" Slices of fewer than {max(one.min_units for one in slices)} units are not compared."
    return section("slices", "Slices", tag("div", *content, class_="columns"), lead=lead)


def _metrics(slices: Sequence[Slice]) -> list[str]:
    return list(dict.fromkeys(one.metric for one in slices))


def _slice_table(slices: Sequence[Slice]) -> Html:
    """One line for each slice, under the name of the metric."""
    is_compared = any(one.comparison is not None for one in slices)
    roles = [role for role in Role if any(role in one.values for one in slices)]
    rows: list[list[object]] = []
    for metric in _metrics(slices):
        rows.append([metric])
        for one in slices:
            if one.metric == metric:
                difference = [_difference(one)] if is_compared else []
                rows.append([one.name, f"{one.units:,}", *(as_number(one.values.get(role)) for role in roles), *difference])
    return table(["", "units", *roles, *(["difference"] if is_compared else [])], rows)


def _difference(one: Slice) -> Html | None:
    found = one.comparison
    if found is None:
        return None
    tone = "good" if found.low > 0 else "bad" if found.high < 0 else "open"
    return tag("span", f"{found.difference:+.4f}", class_=tone)


def show_curves(evidence: Evidence) -> Html:
    figures: list[Html] = []
    notes = []
    is_rating, is_rows = evidence.task is TaskKind.RATING, evidence.task is TaskKind.CLASSIFICATION
    if evidence.calibration:
        x = "predicted rating, mean of a tenth" if is_rating else "predicted probability, mean of a tenth"
        y = "rating given, mean" if is_rating else "share that came true"
        figures.append(charts.draw_calibration(evidence.calibration, "Calibration: does it come true?", x, y))
        notes.append(
            "On the dotted line a prediction comes true as often as it says. Bars: 95 %, each line as a draw of its own."
        )
    elif evidence.task is TaskKind.RECOMMENDATION:
        notes.append("There is no calibration curve: scores of a recommendation rank items, and promise no probability.")
    if evidence.gain:
        if is_rows or is_rating:
            y = "found, of class 1" if is_rows else "found, of the ratings from 4 on"
            figures.append(
                charts.draw_gain(
                    _with_chance(evidence.gain),
                    "Gain: how early is it found?",
                    "rows taken, highest prediction first",
                    y,
                    False,
                )
            )
        else:
            y = "of all that was bought, in the lists"
            figures.append(charts.draw_gain(evidence.gain, "Gain: how much do the lists hold?", "items in the list", y, True))
            notes.append("Best possible: lists without a mistake, which can hold no more items than they are long.")
    if not figures:
        notes.append("Nothing to show: no prediction was kept, or nothing of what was looked for happened.")
    return section(
        "curves",
        "Calibration and gain",
        tag("div", *figures, class_="columns"),
        *(tag("p", one, class_="note") for one in notes),
    )


def _with_chance(gain: Mapping[str, Curve]) -> dict[str, Curve]:
    import numpy as np

    return {**gain, "by chance": (np.array([0.0, 1.0]), np.array([0.0, 1.0]))}


def show_errors(evidence: Evidence, segments: Sequence[Slice]) -> Html:
    content: list[Html] = []
    left: list[Html] = []
    if evidence.mistakes:
        what = {
            TaskKind.CLASSIFICATION: "Share called right, from 0.5 on as class 1",
            TaskKind.RATING: "Root mean squared error, by the rating given",
        }.get(evidence.task or TaskKind.RECOMMENDATION, "What was bought, and the share of it that stood in the lists")
        subjects = list(dict.fromkeys(subject for one in evidence.mistakes for subject in one.values))
        rows = [
            (one.kind, f"{one.count:,}", f"{one.share:.1%}", *(_value(one.values.get(s), evidence.task) for s in subjects))
            for one in evidence.mistakes
        ]
        left.append(tag("div", tag("h3", what), table(("", "count", "share", *subjects), rows)))
    if segments:
        left.append(tag("div", tag("h3", "Weakest segments"), _slice_table(segments)))
    if left:
        content.append(tag("div", *left, class_="columns"))
    if evidence.cases and evidence.metric:
        content.append(_cases(evidence, evidence.metric.name))
    if not content:
        return section("errors", "Errors", lead="Nothing to show: no prediction of single users or rows was kept.")
    lead = (
        f"Segments have at least {segments[0].min_units} units. A segment that shares most of its units with a weaker "
        "one is left out."
        if segments
        else ""
    )
    return section("errors", "Errors", *content, lead=lead)


def _cases(evidence: Evidence, metric: str) -> Html:
    is_rows, is_rating = evidence.task is TaskKind.CLASSIFICATION, evidence.task is TaskKind.RATING
    has_champion = any(case.champion is not None for case in evidence.cases)
    head = ["row" if is_rows else "user", metric, *(["champion"] if has_champion else [])]
    if is_rows:
        head[1:1] = ["predicted", "what happened", "most unusual features"]
        title = "The ten worst rows"
    else:
        head[1:1] = ["ratings that were missed most"] if is_rating else ["in the list", "bought"]
        title = "The ten users that cost the metric most"
    rows = []
    columns: list[Html]
    for case in evidence.cases:
        if is_rows:
            said, was = case.predicted
            columns = [show(said.note), show(was.note), together(_entry(one, {}) for one in case.happened)]
        else:
            both = zip((case.predicted, case.happened), case.more, strict=True)
            columns = [_entries(entries, more, evidence.texts) for entries, more in both][: 1 if is_rating else 2]
        own = [as_number(case.value), *([as_number(case.champion)] if has_champion else [])]
        rows.append([show(case.unit, 60), *columns, *own])
    return Html(tag("h3", title) + table(head, rows, left=len(head) - 1 - has_champion, class_="cases"))


def _entries(entries: Sequence[Entry], more: int, texts: Mapping[str, str]) -> Html:
    shown = [_entry(one, texts) for one in entries]
    if more:
        shown.append(tag("span", tag("i", f"and {more} more"), class_="entry"))
    return together(shown) if shown else tag("i", "nothing", class_="open")


def _entry(entry: Entry, texts: Mapping[str, str]) -> Html:
    text = texts.get(entry.item)
    name = show(entry.item, 40) if text is None else Html(show(text, 48) + tag("i", " ", show(entry.item, 40)))
    note = tag("i", f" · {entry.note}") if entry.note else None
    return tag("span", "✓ " if entry.is_hit else None, name, note, class_="entry hit" if entry.is_hit else "entry")


def as_number(value: float | None) -> str | None:
    return None if value is None else f"{value:.4f}" if math.isfinite(value) else "no number"


def _value(value: float | None, task: TaskKind | None) -> str | None:
    return as_number(value) if value is None or task is TaskKind.RATING else f"{value:.1%}"

"""How a challenger's strengths and weaknesses read: slices, curves and mistakes -> sections of the card."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tasks.contracts.base import TaskKind
from tasks.contracts.judging import Role
from tasks.stages.reporting import charts
from tasks.stages.reporting.charts import Interval
from tasks.stages.reporting.curves import Curve
from tasks.stages.reporting.error_analysis import Entry
from tasks.stages.reporting.html import Html, section, show, table, tag, together
from tasks.stages.reporting.slices import FEWEST, Slice

if TYPE_CHECKING:
    from tasks.stages.reporting.evidence import Evidence


def show_slices(evidence: Evidence) -> Html:
    metric = evidence.metric
    if metric is None or not evidence.slices:
        return section("slices", "Slices", lead="Nothing to show: no metric of single users or rows was kept.")
    direction = "better when higher" if metric.greater_is_better else "better when lower"
    content = [_slice_table(evidence.slices, is_grouped=True)]
    drawn = [
        Interval(one.name, one.low, one.difference, one.high)
        for one in evidence.slices
        if one.difference is not None and one.low is not None and one.high is not None
    ]
    if drawn:
        picture = charts.draw_intervals(drawn, f"{metric.name}: difference to the champion", "positive is better")
        content.append(picture)
    lead = (
        f"{metric.name}, {direction}. The intervals are 95 % for each slice alone, so that of twenty one may err: a hint where "
        f"to look, not a verdict. None is given below {FEWEST} units."
    )
    return section("slices", "Slices", tag("div", *content, class_="columns"), lead=lead)


def _slice_table(found: Sequence[Slice], is_grouped: bool) -> Html:
    """Slices by group under a heading each, or in their order with the group in the name."""
    is_compared = any(one.difference is not None for one in found)
    roles = [role for role in Role if role is not Role.BASELINE or is_grouped or not is_compared]
    subjects = [name for name in roles if any(name in one.values for one in found)]
    rows: list[list[object]] = []
    for place, one in enumerate(found):
        if is_grouped and (place == 0 or found[place - 1].group != one.group):
            rows.append([one.group])
        values = [as_number(one.values.get(subject)) for subject in subjects]
        line: list[object] = [one.name if is_grouped else f"{one.group}: {one.name}", f"{one.units:,}", *values]
        if is_compared:
            line.append(None if one.difference is None else tag("span", f"{one.difference:+.4f}", class_=_tone(one)))
        rows.append(line)
    return table(["", "units", *subjects, *(["difference"] if is_compared else [])], rows)


def _tone(one: Slice) -> str:
    if one.low is None or one.high is None:
        return "open"
    return "good" if one.low > 0 else "bad" if one.high < 0 else "open"


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


def show_errors(evidence: Evidence) -> Html:
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
    if evidence.segments and evidence.metric:
        title = f"Worst segments by {evidence.metric.name}"
        left.append(tag("div", tag("h3", title), _slice_table(evidence.segments, is_grouped=False)))
    if left:
        content.append(tag("div", *left, class_="columns"))
    if evidence.cases and evidence.metric:
        content.append(_cases(evidence, evidence.metric.name))
    if not content:
        return section("errors", "Errors", lead="Nothing to show: no prediction of single users or rows was kept.")
    lead = f"Segments have at least {FEWEST} units; those that are mostly the same units as a worse one are left out."
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

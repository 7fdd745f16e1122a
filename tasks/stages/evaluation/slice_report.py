"""What the verdict shows of parts of the holdout. The model card draws it and computes nothing anew.

The slices are those that the gates judge, with the gates' own comparisons. Where no gate judges slices, the default ones are
compared for the report. Weak segments are looked for over all columns, with the same cuts and the same minimal size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tasks import columns as c
from tasks.contracts.judging import Comparison, GateMode, GateResult, Role, Slice
from tasks.errors import NotEnoughData, TitleholderError
from tasks.metrics import UNIT, USER_COVERAGE, WEIGHT, Metric, get_metric
from tasks.stages.evaluation.gates.base import Context, Gate
from tasks.stages.evaluation.paired import Answers, Question, correct_both_ways
from tasks.stages.evaluation.slices import (
    HEAVY_USERS,
    LIGHT_USERS,
    MOST_NUMBERS,
    NEW_USERS,
    OF_PEOPLE,
    SliceAnswers,
    SliceTerms,
    cut_out,
    slice_units,
)

CONFIDENCE, RESAMPLES = 0.95, 2000  # of comparisons for the report, which no gate judges
WORST_SEGMENTS, DEFAULT_COLUMNS = 8, 3
SAME = 0.8  # two segments that share this part of their units are one finding


@dataclass(frozen=True)
class Planned:
    """One slice with one metric. `is_judged`: a gate compares it, else the report does."""

    answers: SliceAnswers
    metric: Metric
    min_units: int
    is_judged: bool


@dataclass(frozen=True)
class SlicePlan:
    """What will be measured; made before anything is drawn, so that all resamples come from one drawing."""

    slices: tuple[Planned, ...]
    segments: tuple[Planned, ...]

    def questions(self) -> list[Question]:
        """The comparisons that no gate makes."""
        return [question for one in (*self.slices, *self.segments) if (question := _question(one)) is not None]


def plan_slices(gates: Sequence[Gate], mode: GateMode, context: Context) -> SlicePlan:
    """The slices of all gates that are not disabled, else the default ones, and the weakest segments."""
    metric = _slice_metric(context)
    terms = [one.slice_terms for one in gates if one.slice_terms and (one.mode or mode) is not GateMode.DISABLED]
    is_judged = bool(terms) and context.champion is not None
    if not terms and metric is not None:
        terms = [SliceTerms(_default_names(context), (metric.name,))]
    planned = [
        Planned(answers, get_metric(name, context.task), one.min_units, is_judged and len(answers.places) >= one.min_units)
        for one in terms
        for answers in _measurable(context, one)
        for name in one.metrics
    ]
    least = max((one.min_units for one in terms), default=0)
    segments = [] if metric is None else [Planned(one, metric, least, False) for one in _weakest(context, metric, least)]
    return SlicePlan(tuple({(one.answers.name, one.metric.name): one for one in planned}.values()), tuple(segments))


def measure_slices(
    plan: SlicePlan, results: Sequence[GateResult], context: Context
) -> tuple[tuple[Slice, ...], tuple[Slice, ...]]:
    """The slices and the weak segments of a plan, with the comparisons of the gates where they made them."""
    by_gates = [one for result in results for one in result.comparisons if one.slice and one.opponent is Role.CHAMPION]
    judged = {(one.slice, one.metric): one for one in by_gates}
    reported: dict[tuple[str, str], Comparison] = {}
    for one in (*plan.slices, *plan.segments):
        question, key = _question(one), (one.answers.name, one.metric.name)
        if question is not None and key not in reported and key not in judged:
            with suppress(NotEnoughData):  # no number for one of the models: the values show it
                (reported[key],) = context.compare([question], confidence=CONFIDENCE, resamples=RESAMPLES)
    corrected = dict(zip(reported, correct_both_ways(list(reported.values()), CONFIDENCE), strict=True))
    slices, segments = (tuple(_measure(one, judged, corrected) for one in planned) for planned in (plan.slices, plan.segments))
    return slices, segments


def _measure(one: Planned, judged: dict[tuple[str, str], Comparison], reported: dict[tuple[str, str], Comparison]) -> Slice:
    values = {role: _value(one.metric, side) for role, side in one.answers.sides.items()}
    key = (one.answers.name, one.metric.name)
    return Slice(
        name=one.answers.name,
        metric=one.metric.name,
        units=len(one.answers.places),
        min_units=one.min_units,
        values={role: value for role, value in values.items() if np.isfinite(value)},
        comparison=judged.get(key, reported.get(key)),
        is_judged=key in judged,
    )


def _question(one: Planned) -> Question | None:
    """The comparison that the report makes of a slice; None where a gate does, or where there is nothing to compare."""
    if one.is_judged or Role.CHAMPION not in one.answers.sides or len(one.answers.places) < one.min_units:
        return None
    answers = one.answers
    return Question(one.metric, answers.challenger, answers.champion, 0.0, answers.name, answers.places)


def _measurable(context: Context, terms: SliceTerms) -> Iterator[SliceAnswers]:
    """The slices that this holdout has. A gate refuses by itself what is missing."""
    for name in terms.names:
        with suppress(TitleholderError):
            yield from context.slices(replace(terms, names=(name,)))


def _slice_metric(context: Context) -> Metric | None:
    """The first metric that single units have, else the first that can be compared; the primary one was evaluated first."""
    evaluated = [name for name in context.challenger.evaluation.metrics if name != USER_COVERAGE]
    metrics = [get_metric(name, context.task) for name in evaluated]
    per_unit = [one for one in metrics if one.per_unit and one.name + WEIGHT in context.challenger.units]
    return next((one for one in (*per_unit, *metrics) if one in per_unit or one.resamples), None)


def _default_names(context: Context) -> tuple[str, ...]:
    """Users by their past and segment, and new items; of rows the class and the first columns of few values."""
    rows = context.holdout.rows
    if rows is None:
        features = context.holdout.features
        return (*OF_PEOPLE, c.SEGMENT) if features is not None and c.SEGMENT in features.users else OF_PEOPLE
    few = [str(name) for name in rows if name not in c.TABULAR_COLUMNS and 2 <= rows[name].nunique() <= MOST_NUMBERS]
    return (c.TARGET, *few[:DEFAULT_COLUMNS])


def _weakest(context: Context, metric: Metric, min_units: int) -> list[SliceAnswers]:
    """The segments where the challenger is worse than over all units; worst first, each finding once."""
    sign = 1.0 if metric.greater_is_better else -1.0
    overall = sign * _value(metric, context.challenger)
    found = []
    for title, inside in _segments(context):
        if min_units <= inside.sum() < len(inside):
            value = sign * _value_inside(metric, context.challenger, inside)
            if value < overall:
                found.append((value, title, inside))
    taken: list[tuple[str, NDArray[np.bool_]]] = []
    for _, title, inside in sorted(found, key=lambda one: one[:2]):
        if all((inside & other).sum() < SAME * (inside | other).sum() for _, other in taken):
            taken.append((title, inside))
    return [cut_out(context.sides, title, inside) for title, inside in taken[:WORST_SEGMENTS]]


def _segments(context: Context) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Every value, or quarter of many numbers, of every column that describes users or rows."""
    holdout = context.holdout
    units = context.challenger.units[UNIT].to_numpy(dtype=object)
    if holdout.rows is not None:
        names = [str(name) for name in holdout.rows if name not in c.TABULAR_COLUMNS]
    elif holdout.features is not None:
        columns = [str(name) for name in holdout.features.users if name != c.USER_ID]
        names = [NEW_USERS, LIGHT_USERS, HEAVY_USERS, *columns]
    else:
        return
    for name in names:
        yield from slice_units(name, holdout, units)


def _value_inside(metric: Metric, answers: Answers, inside: NDArray[np.bool_]) -> float:
    if metric.per_unit:  # without cutting the predictions, which costs more than the metric
        return _value(metric, replace(answers, units=answers.units[inside]))
    return _value(metric, cut_out({Role.CHALLENGER: answers}, "", inside).challenger)


def _value(metric: Metric, answers: Answers) -> float:
    """The metric of one model; NaN where no unit has any weight."""
    units = answers.units
    if not len(units) or (metric.per_unit and not units[metric.name + WEIGHT].sum() > 0):
        return float("nan")
    return float(metric.compute(units, answers.predictions, np.ones((1, len(units))))[0])

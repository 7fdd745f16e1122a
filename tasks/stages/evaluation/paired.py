"""The paired bootstrap: is one model better than another on the same units, or is it chance?

Both models were scored on the same users (or rows). Each resample draws that many units with replacement, measures both
models on the same draw and keeps the difference; the interval is the middle part of all differences (Efron and
Tibshirani 1993, chapter 13). Pairing removes what is hard or easy for both alike. Units that belong together (rows of one
patient) are drawn together where their groups are given. Many comparisons are made on the same draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.arrays import Floats
from tasks.contracts.judging import MIN_UNITS, Comparison, Evaluation, Outcome
from tasks.errors import NotEnoughData, SnapshotError
from tasks.metrics import UNIT, Metric, Sums

if TYPE_CHECKING:
    import pandas as pd

Places = NDArray[np.intp]
MEASURABLE = 0.95  # share of the resamples that must give a number (one class only gives no ROC-AUC)
POWER = 0.8  # of the smallest detectable difference, by convention
_CELLS = 500_000  # of the weights that are held at once, 4 MB: more leaves the cache and costs twice the time
_WIDE = 4_096  # units from which counting draw by draw is faster than all at once, because it stays in the cache


@dataclass(frozen=True)
class Answers:
    """What one model answered on the holdout: its evaluation with both tables of it. `depth`: ranks kept of each list."""

    evaluation: Evaluation
    units: pd.DataFrame
    predictions: pd.DataFrame
    depth: int | None = None


@dataclass(frozen=True)
class Question:
    """One difference between two models.

    challenger, other : the answers of both, of everybody or of one slice.
    places : where the units of these answers stand among everybody's; None where they are everybody.
    margin : in the metric's own unit; `not_worse` means that the challenger loses less than this for sure.
    """

    metric: Metric
    challenger: Answers
    other: Answers
    margin: float = 0.0
    slice: str = ""
    places: Places | None = None


def compare(  # noqa: PLR0913  # all but the first three are options of the bootstrap, by name
    metric: Metric,
    challenger: Answers,
    other: Answers,
    *,
    seed: int,
    confidence: float,
    resamples: int,
    margin: float,
    effect: float | None = None,
    groups: Places | None = None,
) -> Comparison:
    """Challenger minus other, signed so that positive is better, with its interval and what follows from it.

    Parameters
    ----------
    margin : in the metric's own unit; `not_worse` means that the challenger loses less than this for sure.
    effect : the difference for which the power is computed, in the metric's own unit.
    groups : (units,), the group of each unit, 0, 1, ...; where given, groups are drawn instead of units.

    Raises
    ------
    SnapshotError : both were not scored on the same units of the same holdout.
    NotEnoughData : the metric is not a number on this holdout.
    """
    question = Question(metric, challenger, other, margin)
    found = compare_many([question], seed=seed, confidence=confidence, resamples=resamples, effect=effect, groups=groups)
    return found[0]


def compare_many(
    questions: Sequence[Question],
    *,
    seed: int,
    confidence: float,
    resamples: int,
    effect: float | None = None,
    groups: Places | None = None,
) -> list[Comparison]:
    """Each question's comparison, in their order, all from the same draws; not yet corrected for being many.

    Raises as `compare`.
    """
    drawn = resample(questions, seed=seed, resamples=resamples, groups=groups)
    pairs = zip(questions, drawn, strict=True)
    return [conclude_from(question, values, confidence, effect=effect, groups=groups) for question, values in pairs]


def correct(comparisons: Sequence[Comparison], confidence: float) -> list[Comparison]:
    """The same comparisons, their p-values corrected for being many (Holm 1979): the chance that even one of them is
    called worse by mistake is at most 1 - confidence. Who only seemed worse becomes inconclusive.
    """
    made, many = [], len(comparisons)
    for one, p in zip(comparisons, _holm([one.p_worse for one in comparisons]), strict=True):
        outcome = one.outcome
        if p <= 1 - confidence and one.units >= MIN_UNITS:
            outcome = Outcome.WORSE
        elif outcome is Outcome.WORSE:
            outcome = Outcome.INCONCLUSIVE
        made.append(one.model_copy(update={"p_worse": float(p), "family": many, "outcome": outcome}))
    return made


def correct_both_ways(comparisons: Sequence[Comparison], confidence: float) -> list[Comparison]:
    """The same comparisons, corrected for being many: the chance that even one of equals is called better or worse is at
    most 1 - confidence, half of it for either. Who only seemed so becomes inconclusive.
    """
    better, worse = (_holm([getattr(one, name) for one in comparisons]) for name in ("p_better", "p_worse"))
    made = []
    for one, gain, loss in zip(comparisons, better, worse, strict=True):
        p = {Outcome.BETTER: gain, Outcome.WORSE: loss}.get(one.outcome, 0.0)
        outcome = one.outcome if p <= (1 - confidence) / 2 else Outcome.INCONCLUSIVE
        change = {"p_better": float(gain), "p_worse": float(loss), "family": len(comparisons), "outcome": outcome}
        made.append(one.model_copy(update=change))
    return made


def _holm(found: Sequence[float | None]) -> Floats:
    """p-values, corrected for being many (Holm 1979); what has none counts as 1."""
    raw = np.array([1.0 if p is None else p for p in found])
    order = np.argsort(raw, kind="stable")
    corrected = np.empty(len(raw))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(raw[order] * (len(raw) - np.arange(len(raw)))))
    return corrected


def conclude(low: float, high: float, margin: float, units: int) -> Outcome:
    """What an interval of the difference says."""
    if units < MIN_UNITS:
        return Outcome.INCONCLUSIVE
    if low > 0:
        return Outcome.BETTER
    if high < 0:
        return Outcome.WORSE
    return Outcome.NOT_WORSE if margin > 0 and low > -margin else Outcome.INCONCLUSIVE


def power_at(effect: float, error: float, confidence: float) -> float:
    """The chance that a true difference of `effect` is called better, by the normal approximation.

    Parameters
    ----------
    error : standard error of the difference.
    confidence : of the two-sided interval that must lie above zero.
    """
    if error == 0:
        return float(effect > 0)
    return NormalDist().cdf(effect / error - _bound(confidence))


def detectable(error: float, confidence: float) -> float:
    """The smallest true difference that is called better with power 0.8; arguments as in `power_at`."""
    return error * (_bound(confidence) + NormalDist().inv_cdf(POWER))


def _bound(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)


def conclude_from(
    question: Question, drawn: Floats, confidence: float, *, effect: float | None = None, groups: Places | None = None
) -> Comparison:
    """What the resamples of a question say. `drawn` is (2, resamples), the metric of challenger and other.

    `p_worse` is the share of the resamples that lose no more than the margin, `p_better` of those that gain nothing; the
    smallest they can be is 1 / (resamples + 1).
    """
    units = _count_units(question, groups)
    metric, sides = question.metric, (question.challenger, question.other)
    sign = 1.0 if metric.greater_is_better else -1.0
    mine, theirs = (float(metric.compute(side.units, side.predictions, np.ones((1, len(side.units))))[0]) for side in sides)
    differences = sign * (drawn[0] - drawn[1])
    finite = differences[np.isfinite(differences)]
    if not np.isfinite([mine, theirs]).all() or len(finite) < MEASURABLE * len(differences):
        where = f" of {question.slice}" if question.slice else ""
        raise NotEnoughData(f"{metric.name} is not a number on this holdout{where} ({mine:.4g} against {theirs:.4g})")
    difference = sign * (mine - theirs)
    if metric.is_biased:
        # A square is too large by its variance, in a resample by as much again: once off the value, twice off these.
        bias = float(finite.mean()) - difference
        difference, finite = difference - bias, finite - 2 * bias
    low, high = (float(bound) for bound in np.quantile(finite, [(1 - confidence) / 2, (1 + confidence) / 2]))
    error = float(finite.std(ddof=1)) if len(finite) > 1 else 0.0
    kept, no_gain = int((finite >= -question.margin).sum()), int((finite <= 0).sum())
    return Comparison(
        metric=metric.name,
        challenger=mine,
        champion=theirs,
        difference=difference,
        low=low,
        high=high,
        confidence=confidence,
        units=units,
        resamples=len(differences),
        slice=question.slice,
        outcome=conclude(low, high, question.margin, units),
        p_worse=(1 + kept) / (len(finite) + 1),
        p_better=(1 + no_gain) / (len(finite) + 1),
        detectable=detectable(error, confidence),
        effect=effect,
        power=None if effect is None else power_at(effect, error, confidence),
    )


def _demand_same_units(challenger: Answers, other: Answers) -> None:
    units = challenger.units
    if len(units) != len(other.units) or not np.array_equal(units[UNIT].to_numpy(), other.units[UNIT].to_numpy()):
        raise SnapshotError(
            f"{challenger.evaluation.subject} was scored on {challenger.evaluation.holdout.key} ({len(units)} units), "
            f"{other.evaluation.subject} on {other.evaluation.holdout.key} ({len(other.units)}): evaluate both on one holdout"
        )


def _count_units(question: Question, groups: Places | None) -> int:
    if groups is None:
        return len(question.challenger.units)
    return len(np.unique(groups if question.places is None else groups[question.places]))


def _one_each(questions: Sequence[Question]) -> Places:
    """Every unit a group of its own; there are as many as the widest question sees."""
    seen = (len(q.challenger.units) if q.places is None else int(q.places.max(initial=-1)) + 1 for q in questions)
    return np.arange(max(seen, default=0), dtype=np.intp)


def resample(questions: Sequence[Question], *, seed: int, resamples: int, groups: Places | None = None) -> list[Floats]:
    """Of each question (2, resamples): the metric of challenger and other in each resample, all in the same draws.

    Raises
    ------
    SnapshotError : both were not scored on the same units of the same holdout.
    """
    from threadpoolctl import threadpool_limits

    for question in questions:
        _demand_same_units(question.challenger, question.other)
    groups = _one_each(questions) if groups is None else groups
    samplers: list[_Sums | _Whole] = []
    by_sides: dict[tuple[int, int], list[tuple[int, Sums]]] = {}
    for place, question in enumerate(questions):
        sums = [question.metric.sums(side.units, side.predictions) for side in (question.challenger, question.other)]
        known = [one for one in sums if one is not None]
        if len(known) == 2:
            by_sides.setdefault((id(question.challenger), id(question.other)), []).extend((place, one) for one in known)
        else:
            samplers.append(_Whole(place, question, groups))
    samplers += [_Sums(pairs, questions[pairs[0][0]].places, groups) for pairs in by_sides.values()]
    width = max((one.width for one in samplers), default=1)
    with threadpool_limits(1):  # products this narrow are done before a second thread has woken up
        for weights in _draw(int(groups.max(initial=-1)) + 1, width, seed, resamples):
            for sampler in samplers:
                sampler.add(weights)
    drawn = {place: values for sampler in samplers for place, values in sampler.values()}
    return [drawn[place] for place in range(len(questions))]


def _draw(units: int, width: int, seed: int, resamples: int) -> Iterator[Floats]:
    """How often each unit was drawn, (some resamples, units), block by block; each block lies where the last one lay."""
    block = min(resamples, max(1, _CELLS // max(1, units, width)))
    generator = np.random.default_rng(seed)
    weights = np.empty((block, units))
    for start in range(0, resamples, block):
        count = min(block, resamples - start)
        if units < _WIDE:
            places = generator.integers(0, units, (count, units)) + units * np.arange(count)[:, None]
            weights[:count] = np.bincount(places.ravel(), minlength=count * units).reshape(count, units)
        else:
            for row in range(count):
                weights[row] = np.bincount(generator.integers(0, units, units), minlength=units)
        yield weights[:count]


class _Sums:
    """The metrics of two sides that are made of sums: one product of the weights with the columns of all of them."""

    width = 1

    def __init__(self, pairs: Sequence[tuple[int, Sums]], places: Places | None, groups: Places) -> None:
        """`pairs` holds (place of the question, sums), the challenger's and the other's in turn."""
        self.pairs = pairs
        unit_groups = groups if places is None else groups[places]
        taken, row = np.unique(unit_groups, return_inverse=True)
        self.taken = None if len(taken) == int(groups.max(initial=-1)) + 1 else taken
        columns = [np.bincount(row[sums.unit], column, len(taken)) for _, sums in pairs for column in sums.columns.T]
        self.columns = np.stack(columns, axis=1)
        self.totals: list[Floats] = []

    def add(self, weights: Floats) -> None:
        self.totals.append((weights if self.taken is None else np.take(weights, self.taken, axis=1)) @ self.columns)

    def values(self) -> Iterator[tuple[int, Floats]]:
        """Of each question its place and (2, resamples), of all that was added."""
        totals, at, values = np.concatenate(self.totals), 0, []
        for place, sums in self.pairs:
            wide = sums.columns.shape[1]
            values.append(sums.value(totals[:, at : at + wide]))
            at += wide
            if len(values) == 2:
                yield place, np.stack(values)
                values = []


class _Whole:
    """A metric that needs all predictions of one slice at once. Sorted here once, not in each block."""

    def __init__(self, place: int, question: Question, groups: Places) -> None:
        self.place, self.metric = place, question.metric
        unit_groups = groups if question.places is None else groups[question.places]
        self.sides = []
        self.drawn: list[Floats] = []
        for side in (question.challenger, question.other):
            prediction, label, unit = question.metric.read_rows(side.units, side.predictions)
            order = np.argsort(prediction, kind="stable")
            self.sides.append((prediction[order], label[order], unit_groups[unit[order]]))
        self.width = max(len(prediction) for prediction, _, _ in self.sides)

    def add(self, weights: Floats) -> None:
        values = [self.metric.of_rows(p, label, np.take(weights, taken, axis=1)) for p, label, taken in self.sides]
        self.drawn.append(np.stack(values))

    def values(self) -> Iterator[tuple[int, Floats]]:
        yield self.place, np.concatenate(self.drawn, axis=1)

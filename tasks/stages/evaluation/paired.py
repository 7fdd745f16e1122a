"""The paired bootstrap: is one model better than another on the same units, or is it chance?

Both models were scored on the same users (or rows). The difference of a metric is a mean of one value of each unit (for
ratios and for metrics of all rows, of its influence: Efron 1982). Each resample draws that many units with replacement and
divides the deviation of its mean by its own standard error; the interval comes from the quantiles of these ratios (bootstrap-t,
Efron and Tibshirani 1993, section 12.5), which hold for skewed differences where quantiles of the differences do not.

A rare loss may be absent from a holdout. So the lower limit counts one unit more than there are, on which the challenger loses
as much as one unit lies from the mean difference at most, or more: where large values are good, as one unit of either model
lies from its mean; where a confident prediction can be wrong, as this would cost. One
pseudo-observation in the direction of the claim is what Agresti and Coull (1998) add to a share, and the largest possible value
what Learned-Miller and Thomas (2019) add to a sample.

Pairing removes what is hard or easy for both alike. Units that belong together (rows of one patient) are drawn together where
their groups are given. Many comparisons are made on the same draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.arrays import Floats
from tasks.contracts.judging import (
    MIN_DIFFERING,
    MIN_DIFFERING_OF_A_LOSS,
    MIN_UNITS,
    MIN_UNITS_OF_A_LOSS,
    Comparison,
    Evaluation,
    Outcome,
    Role,
)
from tasks.errors import NotEnoughData, SnapshotError
from tasks.metrics import UNIT, Metric

if TYPE_CHECKING:
    import pandas as pd

Places = NDArray[np.intp]
MEASURABLE = 0.95  # share of the resamples that must give a number
EQUAL = 1e-12  # of the metric's largest value: below, two values of a unit differ by rounding only
POWER = 0.8  # of the smallest detectable difference, by convention
_CELLS = 500_000  # of the weights that are held at once, 4 MB: more leaves the cache and costs twice the time
_WIDE = 4_096  # units from which counting draw by draw is faster than all at once, because it stays in the cache


@dataclass(frozen=True)
class Answers:
    """What one model answered on the holdout: its evaluation with both tables of it.

    depth : ranks kept of each list. hides_seen : whether lists leave out what their user had met before.
    probabilities : units and predictions of the users by whom probabilities are judged; None: the same as above.
    """

    evaluation: Evaluation
    units: pd.DataFrame
    predictions: pd.DataFrame
    depth: int | None = None
    hides_seen: bool = False
    probabilities: tuple[pd.DataFrame, pd.DataFrame] | None = None

    @cached_property
    def promised(self) -> Answers:
        """The answers by which probabilities are judged; always the same object."""
        return self if self.probabilities is None else Answers(self.evaluation, *self.probabilities, self.depth)


@dataclass(frozen=True)
class Question:
    """One difference between two models.

    challenger, other : the answers of both, of everybody or of one slice.
    places : where the units of these answers stand among everybody's; None where they are everybody.
    opponent : the part that `other` plays.
    min_units : from so many units on a gain is concluded.
    margin : in the metric's own unit; `not_worse` means that the challenger loses less than this for sure.
    """

    metric: Metric
    challenger: Answers
    other: Answers
    margin: float = 0.0
    slice: str = ""
    places: Places | None = None
    opponent: Role = Role.CHAMPION
    min_units: int = MIN_UNITS


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
        if p <= 1 - confidence and is_enough_for_a_loss(one):
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


def is_enough_for_a_loss(found: Comparison) -> bool:
    """Whether the comparison has the units from which a loss is concluded."""
    return found.units >= MIN_UNITS_OF_A_LOSS and (found.differing is None or found.differing >= MIN_DIFFERING_OF_A_LOSS)


def _holm(found: Sequence[float | None]) -> Floats:
    """p-values, corrected for being many (Holm 1979); what has none counts as 1."""
    raw = np.array([1.0 if p is None else p for p in found])
    order = np.argsort(raw, kind="stable")
    corrected = np.empty(len(raw))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(raw[order] * (len(raw) - np.arange(len(raw)))))
    return corrected


def conclude(low: float, high: float, margin: float, units: int, differing: int, min_units: int = MIN_UNITS) -> Outcome:
    """What an interval of the difference says.

    A gain, and that there is no loss, is claimed from `min_units` units of which `MIN_DIFFERING` differ; a loss from fewer,
    because a loss that is seen by mistake costs a retraining, and a loss that is not seen costs users.

    Parameters
    ----------
    differing : the units whose values differ between the two models.
    """
    if high < 0 and units >= MIN_UNITS_OF_A_LOSS and differing >= MIN_DIFFERING_OF_A_LOSS:
        return Outcome.WORSE
    if units < min_units or differing < MIN_DIFFERING:
        return Outcome.INCONCLUSIVE
    if low > 0:
        return Outcome.BETTER
    return Outcome.NOT_WORSE if margin > 0 and low > -margin else Outcome.INCONCLUSIVE


def power_at(effect: float, error: float, needed: float) -> float:
    """The chance that a true difference of `effect` is called better, by the normal approximation.

    Parameters
    ----------
    error : standard error of the difference.
    needed : the measured difference from which the interval lies above zero.
    """
    if error == 0:
        return float(effect > needed)
    return NormalDist().cdf((effect - needed) / error)


def detectable(error: float, needed: float) -> float:
    """The smallest true difference that is called better with power 0.8; arguments as in `power_at`."""
    return needed + error * NormalDist().inv_cdf(POWER)


@dataclass(frozen=True)
class Studentised:
    """The resamples of one difference, each as its deviation divided by its own standard error.

    below : (resamples,), with one unit more, which loses the most; the lower limit comes from them.
    above : (resamples,), of the units as they are; the upper limit comes from them.
    error, error_below : the standard errors of the difference, without and with that unit.
    shift : by how much that unit moves the mean, 0 or less.
    reach : how far one unit lies from the mean at most; no interval reaches farther.
    """

    difference: float
    error: float
    below: Floats
    above: Floats
    error_below: float
    shift: float
    reach: float

    def interval(self, confidence: float) -> tuple[float, float]:
        tail = (1 - confidence) / 2
        low = self.shift - float(np.quantile(self.below, 1 - tail, method="higher")) * self.error_below
        high = -float(np.quantile(self.above, tail, method="lower")) * self.error
        return self.difference + max(low, -self.reach), self.difference + min(high, self.reach)

    def p_better(self) -> float:
        found = _ratio(np.array([self.difference + self.shift]), np.array([self.error_below]))[0]
        return float(1 + (self.below >= found).sum()) / (len(self.below) + 1)

    def p_worse(self, margin: float) -> float:
        found = _ratio(np.array([self.difference + margin]), np.array([self.error]))[0]
        return float(1 + (self.above <= found).sum()) / (len(self.above) + 1)


@dataclass(frozen=True)
class Percentiles:
    """The resamples of the difference of a biased metric, challenger minus other and positive is better: (resamples,).

    A square is too large by its variance, in a resample by as much again: once off the value, twice off the resamples.
    """

    measured: float
    resampled: Floats

    @property
    def bias(self) -> float:
        return float(self.resampled.mean()) - self.measured

    @property
    def difference(self) -> float:
        return self.measured - self.bias

    @property
    def error(self) -> float:
        return float(self.resampled.std(ddof=1))

    def interval(self, confidence: float) -> tuple[float, float]:
        low, high = np.quantile(self.resampled - 2 * self.bias, [(1 - confidence) / 2, (1 + confidence) / 2])
        return float(low), float(high)

    def p_better(self) -> float:
        return float(1 + (self.resampled - 2 * self.bias <= 0).sum()) / (len(self.resampled) + 1)

    def p_worse(self, margin: float) -> float:
        return float(1 + (self.resampled - 2 * self.bias >= -margin).sum()) / (len(self.resampled) + 1)


Drawn = Studentised | Percentiles | NotEnoughData  # the last where the metric is not a number


def conclude_from(
    question: Question, drawn: Drawn, confidence: float, *, effect: float | None = None, groups: Places | None = None
) -> Comparison:
    """What the resamples of a question say.

    `p_worse` is the chance of such a loss if the true one were the margin, `p_better` of such a gain if there were none; the
    smallest they can be is 1 / (resamples + 1).

    Raises
    ------
    NotEnoughData : the metric is not a number on the holdout.
    """
    if isinstance(drawn, NotEnoughData):
        raise drawn
    units, differing = _count_units(question, groups)
    mine, theirs = (_measure(question.metric, side) for side in (question.challenger, question.other))
    low, high = drawn.interval(confidence)
    needed = drawn.difference - low
    return Comparison(
        metric=question.metric.name,
        challenger=mine,
        champion=theirs,
        difference=drawn.difference,
        low=low,
        high=high,
        confidence=confidence,
        units=units,
        min_units=question.min_units,
        differing=differing,
        resamples=len(drawn.below if isinstance(drawn, Studentised) else drawn.resampled),
        opponent=question.opponent,
        slice=question.slice,
        outcome=conclude(low, high, question.margin, units, differing, question.min_units),
        p_worse=drawn.p_worse(question.margin),
        p_better=drawn.p_better(),
        detectable=detectable(drawn.error, needed),
        effect=effect,
        power=None if effect is None else power_at(effect, drawn.error, needed),
    )


def _measure(metric: Metric, side: Answers) -> float:
    return float(metric.compute(side.units, side.predictions, np.ones((1, len(side.units))))[0])


def _ratio(deviation: Floats, error: Floats) -> Floats:
    """deviation / error; infinite, with the sign of the deviation, where there is no error."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Floats = np.where(deviation == 0, 0.0, deviation / error)
    return ratio


def _demand_same_units(challenger: Answers, other: Answers) -> None:
    units = challenger.units
    if len(units) != len(other.units) or not np.array_equal(units[UNIT].to_numpy(), other.units[UNIT].to_numpy()):
        raise SnapshotError(
            f"{challenger.evaluation.subject} was scored on {challenger.evaluation.holdout.key} ({len(units)} units), "
            f"{other.evaluation.subject} on {other.evaluation.holdout.key} ({len(other.units)}): evaluate both on one holdout"
        )


def _count_units(question: Question, groups: Places | None) -> tuple[int, int]:
    """How many units (groups, where there are groups) a question has, and how many of them the two models differ on."""
    mine, theirs = (
        question.metric.answers_of_units(side.units, side.predictions) for side in (question.challenger, question.other)
    )
    differs = np.zeros(len(question.challenger.units), dtype=bool)
    for own, other in zip(mine, theirs, strict=True):
        differs |= np.abs(own - other) > EQUAL * max(1.0, float(np.abs(other).max(initial=0.0)))
    if groups is None:
        return len(differs), int(differs.sum())
    of_unit = groups if question.places is None else groups[question.places]
    return len(np.unique(of_unit)), len(np.unique(of_unit[differs]))


def _one_each(questions: Sequence[Question]) -> Places:
    """Every unit a group of its own; there are as many as the widest question sees."""
    seen = (len(q.challenger.units) if q.places is None else int(q.places.max(initial=-1)) + 1 for q in questions)
    return np.arange(max(seen, default=0), dtype=np.intp)


def resample(questions: Sequence[Question], *, seed: int, resamples: int, groups: Places | None = None) -> list[Drawn]:
    """The resamples of each question, all from the same draws.

    Raises
    ------
    SnapshotError : both were not scored on the same units of the same holdout.
    """
    from threadpoolctl import threadpool_limits

    for question in questions:
        _demand_same_units(question.challenger, question.other)
    groups = _one_each(questions) if groups is None else groups
    samplers: list[_Means | _Whole] = []
    by_places: dict[int, list[int]] = {}
    unmeasured: dict[int, Drawn] = {}
    for place, question in enumerate(questions):
        if why_not := _find_gap(question):
            unmeasured[place] = NotEnoughData(why_not)
        elif question.metric.is_biased:
            samplers.append(_Whole(place, question, groups))
        else:
            by_places.setdefault(id(question.places), []).append(place)
    samplers += [_Means([(place, questions[place]) for place in places], groups) for places in by_places.values()]
    width = max((one.width for one in samplers), default=1)
    with threadpool_limits(1):  # products this narrow are done before a second thread has woken up
        for weights in _draw(int(groups.max(initial=-1)) + 1, width, seed, resamples):
            for sampler in samplers:
                sampler.add(weights)
    drawn = unmeasured | {place: values for sampler in samplers for place, values in sampler.values()}
    return [drawn[place] for place in range(len(questions))]


def _find_gap(question: Question) -> str:
    """Why the difference is not a number; empty where it is one."""
    metric, sides = question.metric, (question.challenger, question.other)
    mine, theirs = (_measure(metric, side) for side in sides)
    is_finite = bool(np.isfinite([mine, theirs]).all())
    if is_finite and not metric.is_biased:
        is_finite = all(np.isfinite(metric.influence(side.units, side.predictions)).all() for side in sides)
    if is_finite:
        return ""
    where = f" of {question.slice}" if question.slice else ""
    return f"{metric.name} is not a number on this holdout{where} ({mine:.4g} against {theirs:.4g})"


def _draw(units: int, width: int, seed: int, resamples: int) -> Iterator[Floats]:
    """How often each unit was drawn, and one unit more: (some resamples, units + 1), block by block; each block lies where
    the last one lay.
    """
    cells = units + 1
    block = min(resamples, max(1, _CELLS // max(cells, width)))
    generator = np.random.default_rng(seed)
    weights = np.empty((block, cells))
    for start in range(0, resamples, block):
        count = min(block, resamples - start)
        if cells < _WIDE:
            places = generator.integers(0, cells, (count, cells)) + cells * np.arange(count)[:, None]
            weights[:count] = np.bincount(places.ravel(), minlength=count * cells).reshape(count, cells)
        else:
            for row in range(count):
                weights[row] = np.bincount(generator.integers(0, cells, cells), minlength=cells)
        yield weights[:count]


class _Means:
    """The differences of questions about the same units: one product of the weights with all values and their squares."""

    width = 1

    def __init__(self, questions: Sequence[tuple[int, Question]], groups: Places) -> None:
        """`questions` holds (place, question)."""
        places = questions[0][1].places
        taken, row = np.unique(groups if places is None else groups[places], return_inverse=True)
        self.taken = None if len(taken) == int(groups.max(initial=-1)) + 1 else taken
        self.count = len(taken)
        found = [(place, *_deviations(question, row, self.count)) for place, question in questions]
        self.places = [place for place, *_ in found]
        self.differences, self.losses = (np.array([one[which] for one in found]) for which in (1, 3))
        self.values_of_units = np.stack([one[2] for one in found], axis=1)
        self.columns = np.concatenate([self.values_of_units, self.values_of_units**2, np.ones((self.count, 1))], axis=1)
        self.totals: list[Floats] = []
        self.extra: list[Floats] = []

    def add(self, weights: Floats) -> None:
        units = weights[:, :-1]
        self.totals.append((units if self.taken is None else np.take(units, self.taken, axis=1)) @ self.columns)
        self.extra.append(weights[:, -1].copy())

    def values(self) -> Iterator[tuple[int, Drawn]]:
        """Of each question its place and its resamples, of all that was added."""
        totals, extra, many = np.concatenate(self.totals), np.concatenate(self.extra), len(self.places)
        drawn = totals[:, -1]
        for at, place in enumerate(self.places):
            sums, squares, loss = totals[:, at], totals[:, many + at], float(self.losses[at])
            own = self.values_of_units[:, at]
            shift, error_below = _mean_and_error(
                np.array([-loss]), np.array([(own**2).sum() + loss**2]), np.array([self.count + 1.0])
            )
            _, error = _mean_and_error(np.zeros(1), np.array([(own**2).sum()]), np.array([float(self.count)]))
            in_error = np.maximum(extra, _least_weight(len(drawn)))
            mean_below, own_below = _mean_and_error(sums - extra * loss, squares + in_error * loss**2, drawn + extra)
            mean_above, own_above = _mean_and_error(sums, squares, drawn)
            yield (
                place,
                Studentised(
                    difference=float(self.differences[at]),
                    error=float(error[0]),
                    below=_ratio(mean_below - shift, own_below),
                    above=_ratio(mean_above, own_above),
                    error_below=float(error_below[0]),
                    shift=float(shift[0]),
                    reach=max(loss, float(np.abs(own).max(initial=0.0))),
                ),
            )


def _least_weight(resamples: int) -> float:
    """The weight of the added unit in the standard error of a resample that did not draw it.

    Without other spread the lower limit is then the difference less -ln(p) losses of one unit, p the smallest p-value there
    can be: a loss as frequent as that is absent from a holdout with probability p. With a weight of 0 there would be no limit.
    """
    return float(1 / (np.log(resamples + 1) - 1) ** 2)


def _mean_and_error(sums: Floats, squares: Floats, count: Floats) -> tuple[Floats, Floats]:
    """The mean of each resample and its standard error; 0 and 0 where fewer than two units were drawn."""
    mean = np.divide(sums, count, out=np.zeros(len(sums)), where=count > 0)
    spread = np.divide(squares, count, out=np.zeros(len(sums)), where=count > 0) - mean**2
    spread[spread < EQUAL * np.divide(squares, count, out=np.zeros(len(sums)), where=count > 0)] = 0.0  # rounding
    error: Floats = np.sqrt(np.divide(spread, count - 1, out=np.zeros(len(sums)), where=count > 1))
    return mean, error


def _deviations(question: Question, row: Places, groups: int) -> tuple[float, Floats, float]:
    """The difference, the deviation of each group's value from it, (groups,), and the most that one more group could lose.

    Parameters
    ----------
    row : (units,), the group of each unit, from 0 to `groups` - 1.
    """
    metric, sides = question.metric, (question.challenger, question.other)
    sign = 1.0 if metric.greater_is_better else -1.0
    mine, theirs = (_measure(metric, side) for side in sides)
    found, loss = [], 0.0
    for value, side in zip((mine, theirs), sides, strict=True):
        influence = metric.influence(side.units, side.predictions)
        grouped = np.bincount(row, influence, groups) * groups / max(1, len(influence))
        found.append(grouped - grouped.mean() if groups else grouped)
        loss = max(loss, metric.risk(side.units, side.predictions) - value)
        if metric.greater_is_better:  # what a unit gained can be lost; what a unit is hard to predict is so for both models
            loss = max(loss, float(np.abs(grouped).max(initial=0.0)))
    differences = sign * (found[0] - found[1])
    return sign * (mine - theirs), differences, max(loss, float(np.abs(differences).max(initial=0.0)))


class _Whole:
    """A biased metric, which needs all predictions of one slice at once. Sorted here once, not in each block."""

    def __init__(self, place: int, question: Question, groups: Places) -> None:
        self.place, self.question = place, question
        unit_groups = groups if question.places is None else groups[question.places]
        self.sides = []
        self.drawn: list[Floats] = []
        for side in (question.challenger, question.other):
            prediction, label, unit = question.metric.read_rows(side.units, side.predictions)
            order = np.argsort(prediction, kind="stable")
            self.sides.append((prediction[order], label[order], unit_groups[unit[order]]))
        self.width = max(len(prediction) for prediction, _, _ in self.sides)

    def add(self, weights: Floats) -> None:
        metric = self.question.metric
        mine, theirs = (metric.of_rows(p, label, np.take(weights, taken, axis=1)) for p, label, taken in self.sides)
        self.drawn.append((1.0 if metric.greater_is_better else -1.0) * (mine - theirs))

    def values(self) -> Iterator[tuple[int, Drawn]]:
        metric, sides = self.question.metric, (self.question.challenger, self.question.other)
        mine, theirs = (_measure(metric, side) for side in sides)
        resampled = np.concatenate(self.drawn)
        finite = resampled[np.isfinite(resampled)]
        sign = 1.0 if metric.greater_is_better else -1.0
        if len(finite) < MEASURABLE * len(resampled):
            yield self.place, NotEnoughData(f"{metric.name} is not a number in {len(resampled) - len(finite)} resamples")
        else:
            yield self.place, Percentiles(sign * (mine - theirs), finite)

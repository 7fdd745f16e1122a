"""Gates that compare the whole holdout: with the champion, a bound or a baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field, model_validator

from tasks.contracts.base import Name, TaskKind
from tasks.contracts.judging import MIN_UNITS, MIN_UNITS_OVER_BASELINE, Comparison, GateResult, Outcome, Role
from tasks.errors import ConfigurationError, NotEnoughData
from tasks.metrics import get_metric
from tasks.stages.evaluation.gates.base import MOST_RESAMPLES, ComparingGate, Context, Draws, cannot_gate, describe
from tasks.stages.evaluation.paired import Question


class BeatsChampion(ComparingGate):
    """The challenger is better than the champion on the same holdout, and not by chance.

    The paired bootstrap gives an interval of the difference. `better`: all of it is above zero, and the difference is at least
    `at_least`. `not_worse`: all of it is above -margin, where a margin is stated. All three are in the metric's own unit.
    Without a champion it passes. Small losses add up over promotions: a challenger that loses more than the margin against the
    anchor, a former champion, is refused, and one that passes as `not_worse` must be so against the anchor, too.
    """

    kind: Literal["beats_champion"] = "beats_champion"
    metric: str
    margin: float = Field(0.0, ge=0.0)
    effect: float | None = Field(None, gt=0.0, description="the smallest difference that matters: its power is reported")
    at_least: float | None = Field(None, ge=0.0, description="the gain that `better` needs; default: half of `effect`, or 0")
    min_units: int = Field(
        MIN_UNITS, ge=MIN_UNITS_OVER_BASELINE, description="from so many users or rows on a gain is concluded"
    )
    accept: tuple[Outcome, ...] = Field((Outcome.BETTER,), min_length=1)

    @model_validator(mode="after")
    def _still_a_gate(self) -> BeatsChampion:
        if Outcome.WORSE in self.accept:
            raise ValueError("a gate that accepts 'worse' refuses nothing; to report without refusing set mode: dry_run")
        if Outcome.NOT_WORSE in self.accept and self.margin == 0.0:
            raise ValueError("'not_worse' needs a margin above 0: the loss that is still acceptable")
        return self

    @property
    def minimum_gain(self) -> float:
        """The smallest measured gain that counts as better. Half of `effect` refuses few gains of its full size."""
        return self.at_least if self.at_least is not None else (self.effect or 0.0) / 2

    def check(self, context: Context) -> GateResult:
        if context.champion is None:
            return self.abstain(context)
        try:
            found, *anchored = context.compare(
                self.questions(context),
                confidence=context.spent_confidence(self.confidence),
                resamples=self._resamples_for(context),
                effect=self.effect,
                group_by=self.group_by,
            )
        except NotEnoughData as error:
            return self.answer(False, str(error))
        context.comparisons.append(found)
        reason = describe(found, f"version {context.champion_version}")
        if context.spending is not None:
            reason += f"; {context.spending.describe()}"
        passed = found.outcome in self.accept
        if found.outcome is Outcome.BETTER and found.difference < self.minimum_gain:
            passed = Outcome.NOT_WORSE in self.accept
            reason += f"; the gain is less than at_least {self.minimum_gain:.4g}"
        for one in anchored:
            if passed and not self._holds_against(one, is_gain=found.outcome is Outcome.BETTER):
                passed = False
                reason += f"; it loses against {describe(one, context.name_opponent(one.opponent))}"
        result = self.answer(
            passed,
            reason,
            challenger=found.challenger,
            champion=found.champion,
            difference=found.difference,
            low=found.low,
            high=found.high,
            detectable=found.detectable,
            power=found.power,
        )
        return result.model_copy(update={"comparisons": tuple(anchored)})

    def _holds_against(self, anchored: Comparison, *, is_gain: bool) -> bool:
        """Whether the losses since a former champion are within the margin. A gain over the champion needs no proof of it."""
        if is_gain:
            return not (anchored.outcome is Outcome.WORSE and anchored.high < -self.margin)
        return anchored.outcome in (Outcome.BETTER, Outcome.NOT_WORSE)

    def questions(self, context: Context) -> list[Question]:
        if context.champion is None:
            return []
        asked = [context.question(context.champion, self.metric, self.margin)]
        if context.anchor is not None:
            asked.append(context.question(context.anchor, self.metric, self.margin, Role.ANCHOR))
        return [replace(one, min_units=self.min_units) for one in asked]

    def draws(self, context: Context) -> Draws | None:
        return Draws(self.questions(context), self._resamples_for(context), self.group_by)

    def _resamples_for(self, context: Context) -> int:
        """So many that the interval's ends are no extremes: ten resamples lie beyond each."""
        alpha = (1 - context.spent_confidence(self.confidence)) / 2
        return min(MOST_RESAMPLES, max(self.resamples, math.ceil(10 / alpha)))

    def check_fits(self, task: TaskKind, metrics: Sequence[str], candidates: Sequence[str]) -> None:
        super().check_fits(task, metrics, candidates)
        if self.metric not in metrics or not get_metric(self.metric, task).resamples:
            raise ConfigurationError(f"{self.kind}.metric: {cannot_gate(self.metric, metrics)}")


class MinimumMetric(ComparingGate):
    """The challenger reaches a bound (`at_least`, `at_most`), or is better than a simple model by more than chance.

    `over_baseline` names the candidate that must be beaten, on the same holdout, with the interval above zero. The
    baseline itself passes only where it is better than the champion, which would serve otherwise: after a change of the
    users' behaviour, the simple model that is fitted anew can be the best one there is. It is never a first champion.
    """

    kind: Literal["minimum_metric"] = "minimum_metric"
    metric: str
    at_least: float | None = None
    at_most: float | None = None
    over_baseline: Name | None = None

    @model_validator(mode="after")
    def _has_a_floor(self) -> MinimumMetric:
        if self.at_least is None and self.at_most is None and self.over_baseline is None:
            raise ValueError("without a bound it refuses nothing: set at least one of at_least, at_most or over_baseline")
        return self

    @property
    def baseline(self) -> str | None:
        return self.over_baseline

    def check(self, context: Context) -> GateResult:
        value = context.challenger.evaluation.metrics.get(self.metric)
        if value is None:
            return self.answer(False, f"{self.metric} was not measured: it is not a number here, or not in metrics.report")
        figures: dict[str, float] = {"challenger": value}
        if self.at_least is not None and value < self.at_least:
            return self.answer(False, f"{self.metric} {value:.4f} is below at_least {self.at_least:.4f}", **figures)
        if self.at_most is not None and value > self.at_most:
            return self.answer(False, f"{self.metric} {value:.4f} is above at_most {self.at_most:.4f}", **figures)
        if self.over_baseline is None:
            return self.answer(True, f"{self.metric} {value:.4f} is within its bounds", **figures)
        return self._check_baseline(context, self.over_baseline)

    def _check_baseline(self, context: Context, name: str) -> GateResult:
        is_baseline = context.candidate.name == name
        itself = f"the chosen candidate is the baseline '{name}' itself: no other candidate was better in validation"
        if is_baseline and context.champion is None:
            return self.answer(False, f"{itself}; {context.no_champion}")
        if not is_baseline and (context.baseline is None or context.baseline.evaluation.name != name):
            return self.answer(False, f"the baseline '{name}' was not trained in this run: add it to the candidates")
        try:
            (found,) = context.compare(
                self.questions(context),
                confidence=context.spent_confidence(self.confidence) if is_baseline else self.confidence,
                resamples=self.resamples,
                group_by=self.group_by,
            )
        except NotEnoughData as error:
            return self.answer(False, str(error))
        other = f"version {context.champion_version}" if is_baseline else f"the baseline '{name}'"
        return self.answer(
            found.outcome is Outcome.BETTER,
            f"{itself}; {describe(found, other)}" if is_baseline else describe(found, other),
            challenger=found.challenger,
            **{"champion" if is_baseline else "baseline": found.champion},
            difference=found.difference,
            low=found.low,
            high=found.high,
        )

    def questions(self, context: Context) -> list[Question]:
        if self.over_baseline is None:
            return []
        if context.candidate.name == self.over_baseline:
            return [] if context.champion is None else [context.question(context.champion, self.metric)]
        if context.baseline is None:
            return []
        asked = context.question(context.baseline, self.metric)
        return [replace(asked, opponent=Role.BASELINE, min_units=MIN_UNITS_OVER_BASELINE)]

    def check_fits(self, task: TaskKind, metrics: Sequence[str], candidates: Sequence[str]) -> None:
        super().check_fits(task, metrics, candidates)
        if self.metric not in metrics or (self.over_baseline and not get_metric(self.metric, task).resamples):
            raise ConfigurationError(f"{self.kind}.metric: {cannot_gate(self.metric, metrics)}")
        if self.over_baseline and self.over_baseline not in candidates:
            there = ", ".join(candidates)
            raise ConfigurationError(f"{self.kind}.over_baseline: no candidate '{self.over_baseline}'; there are: {there}")

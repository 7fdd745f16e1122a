"""The gates that a challenger must pass. Each is a class with a `kind`, listed once below.

To add one: a class with `check`, its entry in `GATES`, and a broken twin in tests/tasks/evaluation/twins.py: an example
that it refuses. A gate without a twin fails the tests.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from tasks import columns as c
from tasks.contracts import Candidate, Comparison, GateMode, GateResult, Name, Outcome, TaskKind
from tasks.errors import ConfigurationError, NotEnoughData
from tasks.evaluation.paired import MIN_UNITS, Answers, compare
from tasks.metrics import USER_COVERAGE, get_metric
from tasks.spec import Room, Spec


@dataclass
class Context:
    """What a gate may look at. `comparisons` collects what was compared with the champion."""

    task: TaskKind
    candidate: Candidate
    challenger: Answers
    champion: Answers | None
    champion_version: int | None
    baseline: Answers | None
    seed: int
    comparisons: list[Comparison] = field(default_factory=list)

    def against(self, other: Answers, metric: str, *, confidence: float, resamples: int, margin: float = 0.0) -> Comparison:
        """The paired bootstrap of challenger and other.

        Raises
        ------
        NotEnoughData : the metric is not a number here.
        ConfigurationError : it was not evaluated, or cannot be resampled.
        """
        parsed = get_metric(metric, self.task)
        if not parsed.resamples or (parsed.per_unit and metric not in self.challenger.units):
            raise ConfigurationError(_cannot_gate(metric, tuple(self.challenger.evaluation.metrics)))
        return compare(
            parsed, self.challenger, other, seed=self.seed, confidence=confidence, resamples=resamples, margin=margin
        )


class Gate(Spec):
    """One condition of a promotion. `mode` overrides the section's for this gate alone."""

    mode: GateMode | None = None

    @abstractmethod
    def check(self, context: Context) -> GateResult:
        """Look, and say why: `self.answer(passed, reason, figures)`."""

    def check_fits(self, task: TaskKind, metrics: Sequence[str], candidates: Sequence[str]) -> None:
        """Refuse, when the use case is parsed, what could never work there (ConfigurationError)."""

    def answer(self, passed: bool, reason: str, **figures: float | None) -> GateResult:
        """A result; figures that are not finite are left out, because JSON has no name for them."""
        finite = {name: float(value) for name, value in figures.items() if value is not None and np.isfinite(value)}
        return GateResult(gate=self.kind, mode=self.mode or GateMode.ENABLED, passed=passed, reason=reason, figures=finite)


class BeatsChampion(Gate):
    """The challenger is better than the champion on the same holdout, and not by chance.

    The paired bootstrap gives an interval of the difference. `better`: all of it is above zero. `not_worse`: all of it is
    above -margin, where a margin is stated (in the metric's own unit). Without a champion it passes.
    """

    kind: Literal["beats_champion"] = "beats_champion"
    metric: str
    confidence: float = Field(0.95, gt=0.5, lt=1.0)
    margin: float = Field(0.0, ge=0.0)
    resamples: int = Field(2000, ge=2000, le=100_000)
    accept: tuple[Outcome, ...] = Field((Outcome.BETTER,), min_length=1)

    @model_validator(mode="after")
    def _still_a_gate(self) -> BeatsChampion:
        if Outcome.WORSE in self.accept:
            raise ValueError("a gate that accepts 'worse' refuses nothing; to look without refusing say mode: dry_run")
        if Outcome.NOT_WORSE in self.accept and self.margin == 0.0:
            raise ValueError("'not_worse' needs a margin above 0: say how much worse is still not worse")
        return self

    def check(self, context: Context) -> GateResult:
        if context.champion is None:
            return self.answer(True, "there is no champion yet")
        try:
            found = context.against(
                context.champion, self.metric, confidence=self.confidence, resamples=self.resamples, margin=self.margin
            )
        except NotEnoughData as error:
            return self.answer(False, str(error))
        context.comparisons.append(found)
        reason = describe(found, f"version {context.champion_version}")
        return self.answer(
            found.outcome in self.accept, reason,
            challenger=found.challenger, champion=found.champion, difference=found.difference, low=found.low, high=found.high,
        )  # fmt: skip

    def check_fits(self, task: TaskKind, metrics: Sequence[str], candidates: Sequence[str]) -> None:
        if self.metric not in metrics or not get_metric(self.metric, task).resamples:
            raise ConfigurationError(f"{self.kind}.metric: {_cannot_gate(self.metric, metrics)}")


class MinimumMetric(Gate):
    """The challenger reaches a floor: `at_least`, `at_most`, or better than a simple model by more than chance.

    `over_baseline` names the candidate that must be beaten, on the same holdout, with the interval above zero. The
    baseline itself never passes: if nothing beat it on the validation window, there is nothing to promote.
    """

    kind: Literal["minimum_metric"] = "minimum_metric"
    metric: str
    at_least: float | None = None
    at_most: float | None = None
    over_baseline: Name | None = None
    confidence: float = Field(0.95, gt=0.5, lt=1.0)
    resamples: int = Field(2000, ge=2000, le=100_000)

    @model_validator(mode="after")
    def _has_a_floor(self) -> MinimumMetric:
        if self.at_least is None and self.at_most is None and self.over_baseline is None:
            raise ValueError("without a floor it refuses nothing: state at_least, at_most or over_baseline")
        return self

    def check(self, context: Context) -> GateResult:
        value = context.challenger.evaluation.metrics.get(self.metric)
        if value is None:
            return self.answer(False, f"{self.metric} was not measured: it is no number here, or not in metrics.report")
        figures: dict[str, float] = {"challenger": value}
        if self.at_least is not None and value < self.at_least:
            return self.answer(False, f"{self.metric} {value:.4f} is below the floor {self.at_least:.4f}", **figures)
        if self.at_most is not None and value > self.at_most:
            return self.answer(False, f"{self.metric} {value:.4f} is above the ceiling {self.at_most:.4f}", **figures)
        if self.over_baseline is None:
            return self.answer(True, f"{self.metric} {value:.4f} is within its bounds", **figures)
        return self._check_baseline(context, self.over_baseline)

    def _check_baseline(self, context: Context, name: str) -> GateResult:
        if context.candidate.name == name:
            return self.answer(
                False, f"the chosen candidate is the baseline '{name}' itself: no other was better in validation"
            )
        if context.baseline is None or context.baseline.evaluation.name != name:
            return self.answer(False, f"the baseline '{name}' was not trained in this run: train it along, to be compared with")
        try:
            found = context.against(context.baseline, self.metric, confidence=self.confidence, resamples=self.resamples)
        except NotEnoughData as error:
            return self.answer(False, str(error))
        return self.answer(
            found.outcome is Outcome.BETTER, describe(found, f"the baseline '{name}'"),
            challenger=found.challenger, baseline=found.champion, difference=found.difference, low=found.low, high=found.high,
        )  # fmt: skip

    def check_fits(self, task: TaskKind, metrics: Sequence[str], candidates: Sequence[str]) -> None:
        if self.metric not in metrics or (self.over_baseline and not get_metric(self.metric, task).resamples):
            raise ConfigurationError(f"{self.kind}.metric: {_cannot_gate(self.metric, metrics)}")
        if self.over_baseline and self.over_baseline not in candidates:
            there = ", ".join(candidates)
            raise ConfigurationError(f"{self.kind}.over_baseline: no candidate '{self.over_baseline}'; there are: {there}")


class PredictionSanity(Gate):
    """The answers are usable: finite, probabilities where promised, not all the same, for nearly every user."""

    kind: Literal["prediction_sanity"] = "prediction_sanity"
    user_coverage: float = Field(0.95, gt=0.0, le=1.0, description="share of the users who must get an answer")

    def check(self, context: Context) -> GateResult:
        predictions = context.challenger.predictions
        faults = []
        if predictions.empty:
            faults.append("there is no prediction at all")
        scores = [name for name in (c.RAW_SCORE, c.PREDICTION) if name in predictions]
        broken = int((~np.isfinite(predictions[scores].to_numpy(np.float64))).any(axis=1).sum())
        if broken:
            faults.append(f"{broken} of {len(predictions)} predictions are NaN or infinite")
        if context.task in (TaskKind.CLASSIFICATION, TaskKind.PROPENSITY):
            outside = int(((predictions[c.PREDICTION] < 0) | (predictions[c.PREDICTION] > 1)).sum())
            if outside:
                faults.append(f"{outside} of {len(predictions)} predictions are no probabilities (outside 0 to 1)")
        if len(predictions) > 1 and predictions[scores[0]].nunique(dropna=False) == 1:
            faults.append(f"all {len(predictions)} predictions are the same, {predictions[scores[0]].iloc[0]:.4g}")
        coverage = context.challenger.evaluation.metrics.get(USER_COVERAGE)
        if coverage is not None and coverage < self.user_coverage:
            faults.append(f"only {coverage:.1%} of the users got an answer; at least {self.user_coverage:.1%} must")
        reason = "; ".join(faults) or f"{len(predictions)} predictions are finite, in range and not all the same"
        return self.answer(not faults, reason, user_coverage=coverage, predictions=len(predictions))


def describe(found: Comparison, other: str) -> str:
    """One comparison as a sentence."""
    said = found.outcome.value.replace("_", " ")
    text = (
        f"{found.metric} {found.challenger:.4f} against {found.champion:.4f} of {other}: {said} "
        f"(difference {found.difference:+.4f}, {found.confidence:.0%} interval {found.low:+.4f} to {found.high:+.4f}, "
        f"{found.units} units)"
    )
    return text if found.units >= MIN_UNITS else f"{text}; nothing is concluded from fewer than {MIN_UNITS} units"


def _cannot_gate(metric: str, metrics: Sequence[str]) -> str:
    return (
        f"'{metric}' is not evaluated, or cannot be compared by resampling (catalog_coverage, calibration_error); evaluated: "
        f"{', '.join(metrics)}. Gate by one of them, or add it to metrics.report"
    )


GATES = Room("gate", BeatsChampion, MinimumMetric, PredictionSanity)

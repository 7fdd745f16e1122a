"""Gates of the predictions themselves: usable, calibrated, diverse, plausible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.judging import MIN_UNITS_OF_A_LOSS, GateResult
from tasks.errors import ConfigurationError, NotEnoughData
from tasks.metrics import PROBABILITY, USER_COVERAGE, get_metric
from tasks.problems import problem_of
from tasks.stages.evaluation.gates.base import ComparingGate, Context, Gate, cannot_gate
from tasks.stages.evaluation.paired import Answers, Question

CALIBRATION_ERROR, SQUARED_CALIBRATION_ERROR = "calibration_error", "squared_calibration_error"


class PredictionSanity(Gate):
    """The predictions are usable: finite, probabilities where the task has them, not all equal, for nearly every user.

    `between` is the lowest and the highest prediction that can be meant, such as the scale of the ratings with room for what
    a regression overshoots.
    """

    judges_refit: ClassVar[bool] = True
    kind: Literal["prediction_sanity"] = "prediction_sanity"
    user_coverage: float = Field(0.95, gt=0.0, le=1.0, description="share of the users who must get an answer")
    between: tuple[float, float] | None = None

    def check(self, context: Context) -> GateResult:
        predictions = context.challenger.predictions
        faults = []
        if predictions.empty:
            faults.append("there is no prediction at all")
        scores = [name for name in (c.RAW_SCORE, c.PREDICTION) if name in predictions]
        broken = int((~np.isfinite(predictions[scores].to_numpy(np.float64))).any(axis=1).sum())
        if broken:
            faults.append(f"{broken} of {len(predictions)} predictions are NaN or infinite")
        if context.task.has_probabilities:
            outside = int(((predictions[c.PREDICTION] < 0) | (predictions[c.PREDICTION] > 1)).sum())
            if outside:
                faults.append(f"{outside} of {len(predictions)} predictions are not probabilities (outside 0 to 1)")
        if self.between is not None:
            low, high = self.between
            outside = int(((predictions[c.PREDICTION] < low) | (predictions[c.PREDICTION] > high)).sum())
            if outside:
                faults.append(f"{outside} of {len(predictions)} predictions are outside {low:g} to {high:g}")
        if len(predictions) > 1 and predictions[scores[0]].nunique(dropna=False) == 1:
            faults.append(f"all {len(predictions)} predictions are equal, {predictions[scores[0]].iloc[0]:.4g}")
        coverage = context.challenger.evaluation.metrics.get(USER_COVERAGE)
        if coverage is not None and coverage < self.user_coverage:
            faults.append(f"only {coverage:.1%} of the users got a prediction; at least {self.user_coverage:.1%} are required")
        reason = "; ".join(faults) or f"{len(predictions)} predictions are finite, in range and not all equal"
        return self.answer(not faults, reason, user_coverage=coverage, predictions=len(predictions))

    @model_validator(mode="after")
    def _has_a_width(self) -> PredictionSanity:
        if self.between is not None and not self.between[0] < self.between[1]:
            raise ValueError(f"between is the lowest and the highest, such as [0, 6]; got {list(self.between)}")
        return self


class Calibration(ComparingGate):
    """Probabilities match frequencies: the expected calibration error is at most `at_most`, and not clearly larger than the
    champion's.

    Of lists, the probabilities of all known users are judged, with zeros for who buys nothing, or those of buyers where the
    use case says so (`probability.of`). Clearly is judged by the errors' squares, because their bias can be taken off: the
    whole interval of the difference lies beyond what an error larger by `margin` would make of it.
    """

    kind: Literal["calibration"] = "calibration"
    at_most: float = Field(gt=0.0, le=1.0)
    margin: float = Field(0.01, ge=0.0, le=1.0)

    def check(self, context: Context) -> GateResult:
        value = _error(context.challenger, context.task)
        if not np.isfinite(value):
            return self.answer(
                False, "the calibration error is not a number: a prediction is NaN or infinite, or there is none"
            )
        if value > self.at_most:
            whom = _whom(context.challenger)
            reason = f"calibration error {value:.4f}{whom} is above {self.at_most:.4f}: probabilities do not match frequencies"
            return self.answer(False, reason, challenger=value)
        said = f"calibration error {value:.4f}{_whom(context.challenger)} is at most {self.at_most:.4f}"
        if context.champion is None:
            return self.answer(True, f"{said}; against the champion: {context.no_champion}", challenger=value)
        theirs = _error(context.champion, context.task)
        try:
            (found,) = context.compare(
                self.questions(context), confidence=self.confidence, resamples=self.resamples, group_by=self.group_by
            )
        except NotEnoughData as error:
            return self.answer(False, str(error), challenger=value)
        is_worse = (
            -found.high > self.margin**2 + 2 * self.margin * np.sqrt(found.champion) and found.units >= MIN_UNITS_OF_A_LOSS
        )
        clearly = "clearly" if is_worse else "not clearly"
        reason = f"{said}, {clearly} more than {self.margin:.4f} above the {theirs:.4f} of version {context.champion_version}"
        figures = {"challenger": value, "champion": theirs, "low": found.low, "high": found.high}
        return self.answer(not is_worse, reason, **figures).model_copy(update={"comparisons": (found,)})

    def questions(self, context: Context) -> list[Question]:
        if context.champion is None:
            return []
        metric = get_metric(SQUARED_CALIBRATION_ERROR, context.task)
        return [Question(metric, context.challenger.promised, context.champion.promised)]

    def check_fits(self, task: TaskKind, metrics: Sequence[str], candidates: Sequence[str]) -> None:
        super().check_fits(task, metrics, candidates)
        try:
            get_metric(CALIBRATION_ERROR, task)
        except ConfigurationError as error:
            raise ConfigurationError(f"{self.kind}: the task '{task}' has no probabilities; remove the gate") from error


def _error(answers: Answers, task: TaskKind) -> float:
    """The expected calibration error on the whole holdout; NaN where it is no number."""
    units, predictions = answers.promised.units, answers.promised.predictions
    return float(get_metric(CALIBRATION_ERROR, task).compute(units, predictions, np.ones((1, len(units))))[0])


def _whom(answers: Answers) -> str:
    """Whose probabilities are judged, as a part of a sentence; empty where the evaluation does not say."""
    named = next((one for one in answers.evaluation.populations if {PROBABILITY, CALIBRATION_ERROR} & {*one.metrics}), None)
    return f" of {named}" if named else ""


class CatalogCoverage(Gate):
    """The lists show enough of what is on sale, and their items are not much more popular than the champion's.

    `metric` is a `catalog_coverage_at_<k>`. `popularity_at_most` bounds the popularity bias, the past buyers of a
    recommended item on average (Abdollahpouri and others 2019), as a multiple of the champion's.
    """

    kind: Literal["catalog_coverage"] = "catalog_coverage"
    metric: str = Field(pattern=r"^catalog_coverage_at_[1-9][0-9]*$")
    at_least: float = Field(gt=0.0, le=1.0)
    popularity_at_most: float | None = Field(None, gt=0.0, description="times the champion's")

    def check(self, context: Context) -> GateResult:
        value = context.challenger.evaluation.metrics.get(self.metric)
        if value is None:
            return self.answer(False, f"{self.metric} was not measured: it is not in metrics.report")
        if value < self.at_least:
            reason = f"the lists show {value:.2%} of the items on sale, less than {self.at_least:.2%}"
            return self.answer(False, reason, challenger=value)
        said = f"the lists show {value:.2%} of the items on sale"
        if self.popularity_at_most is None:
            return self.answer(True, said, challenger=value)
        if context.champion is None:
            return self.answer(True, f"{said}; against the champion: {context.no_champion}", challenger=value)
        mine, theirs = (self._popularity(side, context) for side in (context.challenger, context.champion))
        ratio = mine / theirs if theirs > 0 else float(mine > 0) * np.inf
        passed = not ratio > self.popularity_at_most and np.isfinite(mine)
        said += f"; their items have {mine:.1f} past buyers on average, {theirs:.1f} in the lists of version "
        said += f"{context.champion_version} ({self.popularity_at_most:g} times that is allowed)"
        return self.answer(bool(passed), said, challenger=value, popularity=mine, champion_popularity=theirs, ratio=ratio)

    def _popularity(self, answers: Answers, context: Context) -> float:
        """Mean over all recommended items of how many users met the item before; NaN without a list."""
        features = context.holdout.features
        if features is None or answers.predictions.empty:
            return float("nan")
        buyers = features.pairs[c.ITEM_ID].value_counts()
        return float(answers.predictions[c.ITEM_ID].map(buyers).fillna(0.0).mean())

    def check_fits(self, task: TaskKind, metrics: Sequence[str], candidates: Sequence[str]) -> None:
        if self.metric not in metrics:
            raise ConfigurationError(f"{self.kind}.metric: {cannot_gate(self.metric, metrics)}")
        if self.popularity_at_most is not None and not problem_of(task).keeps_lists:
            raise ConfigurationError(
                f"{self.kind}.popularity_at_most: the task '{task}' keeps ratings, not lists, to measure it by: leave it out"
            )


class SuspiciousImprovement(Gate):
    """The gain is plausible: a label, or the future, in the features looks like a great model.

    `beyond` is a value that no honest model reaches (above it, below it for errors and losses); `over_champion` and
    `over_baseline` are the largest plausible gains. All in the metric's own unit. If a larger gain is real, raise the
    bound in the commit that explains it.
    """

    kind: Literal["suspicious_improvement"] = "suspicious_improvement"
    metric: str
    beyond: float | None = None
    over_champion: float | None = Field(None, gt=0.0)
    over_baseline: float | None = Field(None, gt=0.0)

    @model_validator(mode="after")
    def _has_a_bound(self) -> SuspiciousImprovement:
        if self.beyond is None and self.over_champion is None and self.over_baseline is None:
            raise ValueError("without a bound it refuses nothing: set at least one of beyond, over_champion or over_baseline")
        return self

    @property
    def needs_baseline(self) -> bool:
        return self.over_baseline is not None

    def check(self, context: Context) -> GateResult:
        sign = 1.0 if get_metric(self.metric, context.task).greater_is_better else -1.0
        value = context.challenger.evaluation.metrics.get(self.metric)
        if value is None:
            return self.answer(False, f"{self.metric} was not measured: it is not a number here, or not in metrics.report")
        faults, figures = [], {"challenger": value}
        if self.beyond is not None and sign * value >= sign * self.beyond:
            faults.append(f"{self.metric} {value:.4f} is beyond {self.beyond:.4f}")
        bounds = (("champion", context.champion, self.over_champion), ("baseline", context.baseline, self.over_baseline))
        for name, other, bound in bounds:
            theirs = other.evaluation.metrics.get(self.metric) if other else None
            if bound is None or theirs is None:
                continue
            figures[name] = theirs
            if sign * (value - theirs) > bound:
                faults.append(f"{self.metric} {value:.4f} gains more than {bound:.4f} over the {theirs:.4f} of the {name}")
        if faults:
            reason = f"{'; '.join(faults)}: implausible. Check the features for the label, or for data from the future"
            return self.answer(False, reason, **figures)
        reason = f"{self.metric} {value:.4f} is within the plausible range"
        if self.over_champion is not None and context.champion is None:
            reason += f"; against the champion: {context.no_champion}"
        return self.answer(True, reason, **figures)

    def check_fits(self, task: TaskKind, metrics: Sequence[str], candidates: Sequence[str]) -> None:
        get_metric(self.metric, task)
        if self.metric not in metrics:
            raise ConfigurationError(f"{self.kind}.metric: '{self.metric}' is not evaluated; evaluated: {', '.join(metrics)}")

"""The gate of slices: better on average must not hide worse on a part."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field, field_validator

from tasks.contracts.base import TaskKind
from tasks.contracts.judging import MIN_UNITS_OF_A_LOSS, Comparison, GateResult, Outcome, Role
from tasks.errors import ConfigurationError, NotEnoughData
from tasks.metrics import get_metric
from tasks.problems import problem_of
from tasks.stages.evaluation.gates.base import ComparingGate, Context, cannot_gate, describe
from tasks.stages.evaluation.paired import Question, correct
from tasks.stages.evaluation.slices import NEW_ITEM_DAYS, NEW_ITEMS, OF_PEOPLE, SliceAnswers, SliceTerms


class NoSliceRegression(ComparingGate):
    """No slice of the holdout is clearly worse than with the champion.

    `metrics` maps each metric to its margin, in the metric's own unit. A slice refuses where its loss is beyond the margin
    with confidence, corrected over all metrics and slices (Holm 1979): that even one innocent slice is refused happens in
    at most 1 - confidence of all judgings. `slices` are new_users, light_users and heavy_users (at most and above the
    median number of past events), new_items, or columns, each of whose values is a slice. A slice of fewer than
    `min_units` units is measured and not judged.

    Losses that are within the margin add up over promotions. So each slice is compared with the anchor, too, a former champion,
    and the loss since then is held to the same margin.
    """

    kind: Literal["no_slice_regression"] = "no_slice_regression"
    metrics: dict[str, float] = Field(min_length=1)
    slices: tuple[str, ...] = Field(OF_PEOPLE, min_length=1)
    min_units: int = Field(50, ge=MIN_UNITS_OF_A_LOSS)
    new_item_days: int = Field(NEW_ITEM_DAYS, ge=1)

    def check(self, context: Context) -> GateResult:
        if context.champion is None:
            return self.abstain(context)
        try:
            cut = context.slices(self.slice_terms)
            questions = self._ask(context, cut)
            context.draw(questions, self.required_resamples(questions), self.group_by)
            found, unmeasured = self._compare(context, questions)
        except NotEnoughData as error:
            return self.answer(False, str(error))
        judged = correct(found, self.confidence)
        worse = [one for one in judged if one.outcome is Outcome.WORSE]
        small = [f"{one.name} ({len(one.places)})" for one in cut if len(one.places) < self.min_units]
        said = self._say(worse, judged, context)
        if small:
            said += f"; too small to judge, fewer than {self.min_units} units: {', '.join(small)}"
        if unmeasured:
            said += f"; no number for either model: {', '.join(unmeasured)}"
        smallest = min((one.p_worse for one in judged if one.p_worse is not None), default=None)
        figures = {"compared": len(judged), "worse": len(worse), "too_small": len(small), "smallest_p": smallest}
        return self.answer(not worse, said, **figures).model_copy(update={"comparisons": tuple(judged)})

    def _compare(self, context: Context, questions: Sequence[Question]) -> tuple[list[Comparison], list[str]]:
        """The comparisons, and what is not a number for either model (one class only has no ROC-AUC).

        Raises
        ------
        NotEnoughData : the champion has a number and the challenger has none.
        """
        found, unmeasured = [], []
        for question in questions:
            try:
                found += context.compare(
                    [question], confidence=self.confidence, resamples=self.required_resamples(questions), group_by=self.group_by
                )
            except NotEnoughData:
                units = question.other.units
                theirs = question.metric.compute(units, question.other.predictions, np.ones((1, len(units))))
                if np.isfinite(theirs[0]):
                    raise
                unmeasured.append(f"{question.metric.name} for {question.slice}")
        return found, unmeasured

    def _say(self, worse: Sequence[Comparison], judged: Sequence[Comparison], context: Context) -> str:
        if not worse:
            return f"none of {len(judged)} comparisons of slices is worse beyond its margin"
        losses = "; ".join(
            f"{describe(one, context.name_opponent(one.opponent))}, corrected p {one.p_worse:.4f}" for one in worse
        )
        return f"{len(worse)} of {len(judged)} comparisons of slices are worse beyond their margin: {losses}"

    def questions(self, context: Context) -> list[Question]:
        return [] if context.champion is None else self._ask(context, context.slices(self.slice_terms))

    def required_resamples(self, questions: Sequence[Question]) -> int:
        """So many that the smallest p-value that there can be passes the correction, with a margin."""
        return max(self.resamples, math.ceil(2 * len(questions) / (1 - self.confidence)))

    @property
    def slice_terms(self) -> SliceTerms:
        return SliceTerms(self.slices, tuple(self.metrics), self.min_units, self.new_item_days)

    def _ask(self, context: Context, cut: Sequence[SliceAnswers]) -> list[Question]:
        """Every metric in every slice that is large enough."""
        margins = [(get_metric(name, context.task), margin) for name, margin in self.metrics.items()]
        return [
            Question(metric, one.challenger, one.sides[opponent], margin, one.name, one.places, opponent)
            for one in cut
            if len(one.places) >= self.min_units
            for opponent in (Role.CHAMPION, Role.ANCHOR)
            if opponent in one.sides
            for metric, margin in margins
        ]

    def check_fits(self, task: TaskKind, metrics: Sequence[str], candidates: Sequence[str]) -> None:
        super().check_fits(task, metrics, candidates)
        for name in self.metrics:
            if name not in metrics or not get_metric(name, task).resamples:
                raise ConfigurationError(f"{self.kind}.metrics: {cannot_gate(name, metrics)}")
        named = [name for name in self.slices if name in OF_PEOPLE]
        if task.answers_rows and named:
            raise ConfigurationError(
                f"{self.kind}.slices: {', '.join(named)} need users and items; for the task '{task}' name columns of its rows"
            )
        lists = [name for name in self.metrics if get_metric(name, task).k is not None]
        if not problem_of(task).keeps_lists and NEW_ITEMS in self.slices and lists:
            raise ConfigurationError(
                f"{self.kind}: {NEW_ITEMS} cannot be measured by {', '.join(lists)}: the task '{task}' keeps ratings, not "
                "lists; judge it by rmse or mae, in a gate of its own"
            )

    @field_validator("metrics")
    @classmethod
    def _margins_are_losses(cls, margins: dict[str, float]) -> dict[str, float]:
        wrong = [name for name, margin in margins.items() if not (math.isfinite(margin) and margin >= 0)]
        if wrong:
            raise ValueError(f"a margin is a loss that is let pass, 0 or more; wrong: {', '.join(wrong)}")
        return margins

"""What all gates share: the context that they read, and the result that they return."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from tasks import columns as c
from tasks.contracts.base import TaskKind, Window
from tasks.contracts.calendar import NO_CALENDAR, Calendar
from tasks.contracts.judging import MIN_DIFFERING, Comparison, GateMode, GateResult, Outcome, Role, Spending
from tasks.contracts.promotion import ModelVersion
from tasks.contracts.training import Candidate, ScoringTerms
from tasks.errors import ConfigurationError, NotEnoughData
from tasks.kinds import Spec
from tasks.metrics import UNIT, get_metric
from tasks.models.base import Examples, ServedModel
from tasks.stages.evaluation.paired import Answers, Drawn, Places, Question, conclude_from, resample
from tasks.stages.evaluation.slices import SliceAnswers, SliceTerms, make_slices

if TYPE_CHECKING:
    import pandas as pd


MOST_RESAMPLES = 100_000


@dataclass(frozen=True)
class Export:
    """The challenger as it would be served: loaded from its export, whose digest was checked."""

    model: ServedModel
    terms: ScoringTerms
    megabytes: float


@dataclass(frozen=True)
class Lineage:
    """What the candidate learned from.

    windows : of the validated snapshots.
    labels_from : the first day that has a label.
    calendar : the days on which the use case expects no delivery.
    """

    windows: tuple[Window, ...] = ()
    labels_from: date | None = None
    calendar: Calendar = NO_CALENDAR


def _nothing_to_read() -> ConfigurationError:
    return ConfigurationError("this gate needs the holdout or the export; call tasks.stages.evaluation.judge, which has both")


@dataclass
class Context:
    """What a gate may read. What costs time is read when the first gate needs it.

    Attributes
    ----------
    anchor : the answers of a former champion, with which losses add up over promotions; None where there is none.
    comparisons : collects what was compared with the champion.
    spending : the alpha of this judging, which widens the intervals that a promotion rests on; None for a single judging.
    registered_champion : the champion's version; its answers are `champion`.
    lost_champion : why the champion could not be scored; empty where it was, or where there is none.
    read_holdout, read_export, read_signature, read_columns : the features and labels of the holdout; the challenger's export;
        names and types of the inputs that MLflow shows for it; the same of each frame that it can learn from, by its name.
    open_endpoint : serves the challenger's export by the real endpoint, at the address that comes, while the context lasts.
    clock : seconds, to measure answers with.
    drawn : the resamples that were drawn; contexts of one seed may share them.
    """

    task: TaskKind
    candidate: Candidate
    challenger: Answers
    champion: Answers | None
    champion_version: int | None
    baseline: Answers | None
    seed: int
    anchor: Answers | None = None
    anchor_version: int | None = None
    comparisons: list[Comparison] = field(default_factory=list)
    spending: Spending | None = None
    registered_champion: ModelVersion | None = None
    lost_champion: str = ""
    lineage: Lineage = Lineage()
    read_holdout: Callable[[], Examples] | None = None
    read_export: Callable[[], Export] | None = None
    read_signature: Callable[[], dict[str, str]] | None = None
    read_columns: Callable[[], dict[str, dict[str, str]]] | None = None
    open_endpoint: Callable[[], AbstractContextManager[str]] | None = None
    clock: Callable[[], float] = time.perf_counter
    drawn: dict[tuple[object, ...], tuple[Question, Drawn]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._slices: dict[tuple[object, ...], list[SliceAnswers]] = {}
        self._groups: dict[str, Places] = {}

    @property
    def no_champion(self) -> str:
        """Why there are no answers of a champion to compare with."""
        if not self.lost_champion:
            return "there is no champion yet"
        return f"not judged because champion version {self.champion_version} could not be scored: {self.lost_champion}"

    @cached_property
    def holdout(self) -> Examples:
        if self.read_holdout is None:
            raise _nothing_to_read()
        return self.read_holdout()

    @cached_property
    def export(self) -> Export:
        if self.read_export is None:
            raise _nothing_to_read()
        return self.read_export()

    @cached_property
    def signature(self) -> dict[str, str]:
        if self.read_signature is None:
            raise _nothing_to_read()
        return self.read_signature()

    @cached_property
    def columns(self) -> dict[str, dict[str, str]]:
        if self.read_columns is None:
            raise _nothing_to_read()
        return self.read_columns()

    def serve(self) -> AbstractContextManager[str]:
        """The address at which the challenger's export answers, while the context lasts."""
        if self.open_endpoint is None:
            raise _nothing_to_read()
        return self.open_endpoint()

    def question(self, other: Answers, metric: str, margin: float = 0.0, opponent: Role = Role.CHAMPION) -> Question:
        """The difference between challenger and other, over everybody.

        Raises
        ------
        ConfigurationError : the metric was not evaluated, or cannot be resampled.
        """
        parsed = get_metric(metric, self.task)
        if not parsed.resamples or (parsed.per_unit and metric not in self.challenger.units):
            raise ConfigurationError(cannot_gate(metric, tuple(self.challenger.evaluation.metrics)))
        return Question(parsed, self.challenger, other, margin, opponent=opponent)

    @property
    def sides(self) -> dict[Role, Answers]:
        """The answers of each model that there is."""
        sides = {
            Role.CHALLENGER: self.challenger,
            Role.CHAMPION: self.champion,
            Role.BASELINE: self.baseline,
            Role.ANCHOR: self.anchor,
        }
        return {role: side for role, side in sides.items() if side is not None}

    def slices(self, terms: SliceTerms) -> list[SliceAnswers]:
        """The parts of the holdout that a gate names (see `tasks.stages.evaluation.slices`). Each is made once.

        Raises
        ------
        NotEnoughData : a name is no column; a metric needs more ranks than were kept.
        """
        made = []
        parsed = [get_metric(name, self.task) for name in terms.metrics]
        for name in terms.names:
            key = (name, terms.metrics, terms.new_item_days)
            if key not in self._slices:
                self._slices[key] = make_slices(name, self.holdout, self.sides, parsed, terms.new_item_days)
            made += self._slices[key]
        return made

    def draw(self, questions: Sequence[Question], resamples: int, group_by: str | None = None) -> list[Drawn]:
        """The resamples of questions. What was drawn before is not drawn again."""

        def key_of(question: Question) -> tuple[object, ...]:
            return id(question.challenger), id(question.other), question.metric.name, resamples, group_by

        fresh = list({key_of(one): one for one in questions if key_of(one) not in self.drawn}.values())
        # Those by whom probabilities are judged are others than those by whom lists are: each population has its own draws.
        other = self.challenger.promised if self.challenger.promised is not self.challenger else None
        for asked in ([one for one in fresh if one.challenger is not other], [one for one in fresh if one.challenger is other]):
            found = resample(asked, seed=self.seed, resamples=resamples, groups=self.groups(group_by)) if asked else []
            self.drawn |= {key_of(one): (one, values) for one, values in zip(asked, found, strict=True)}
        return [self.drawn[key_of(one)][1] for one in questions]

    def compare(
        self,
        questions: Sequence[Question],
        *,
        confidence: float,
        resamples: int,
        effect: float | None = None,
        group_by: str | None = None,
    ) -> list[Comparison]:
        """The paired bootstrap of each question; not yet corrected for being many.

        Raises
        ------
        NotEnoughData : a metric is not a number here, or the holdout has no column to group by.
        SnapshotError : both were not scored on the same holdout.
        """
        pairs = zip(questions, self.draw(questions, resamples, group_by), strict=True)
        groups = self.groups(group_by)
        return [conclude_from(one, drawn, confidence, effect=effect, groups=groups) for one, drawn in pairs]

    def name_opponent(self, opponent: Role) -> str:
        """The champion or the anchor in a sentence."""
        if opponent is Role.ANCHOR:
            return f"version {self.anchor_version}, a former champion"
        return f"version {self.champion_version}"

    def spent_confidence(self, confidence: float) -> float:
        """A gate's confidence, or what the alpha of this judging leaves of it."""
        alpha = self.spending.alpha if self.spending else 0.0
        return max(confidence, 1 - 2 * alpha) if alpha else confidence

    def groups(self, column: str | None) -> Places | None:
        """The group of each unit by a column of the holdout's rows; a row without a value is a group of its own.

        Without a column, the groups are those that the use case's split keeps together, where it does.
        """
        rows = self.holdout.rows if self.task.answers_rows and self.read_holdout is not None else None
        if column is None:
            if rows is None or c.SPLIT_GROUP not in rows:
                return None
            column = c.SPLIT_GROUP
        if column not in self._groups:
            rows = self.holdout.rows
            if rows is None or column not in rows:
                there = "" if rows is None else ", ".join(map(str, rows.columns))
                raise NotEnoughData(
                    f"group_by: the holdout's rows have no column '{column}'; they have: {there or 'none'}. The groups of "
                    "a split by_group are drawn without group_by"
                )
            self._groups[column] = _codes(rows.set_index(c.ROW_ID)[column].reindex(self.challenger.units[UNIT]))
        return self._groups[column]


def _codes(values: pd.Series) -> Places:
    codes = np.array(values.astype("category").cat.codes, dtype=np.intp)
    alone = codes < 0
    codes[alone] = codes.max(initial=-1) + 1 + np.arange(alone.sum())
    return codes


class Draws(NamedTuple):
    """The comparisons of a gate, with the number of resamples, and the column whose groups are drawn instead of units."""

    questions: list[Question]
    resamples: int
    group_by: str | None


class Gate(Spec):
    """One condition of a promotion. `mode` overrides the section's for this gate alone.

    judges_refit : whether it reads nothing but the challenger's predictions, so that a model that is fitted again after the
        verdict must pass it too.
    """

    judges_refit: ClassVar[bool] = False
    mode: GateMode | None = None

    @abstractmethod
    def check(self, context: Context) -> GateResult:
        """Judge, and give the reason: `self.answer(passed, reason, figures)`."""

    def check_fits(self, task: TaskKind, metrics: Sequence[str], candidates: Sequence[str]) -> None:
        """Refuse, when the use case is parsed, what could never work there (ConfigurationError)."""

    @property
    def baseline(self) -> str | None:
        """The candidate that must be trained and scored as the baseline; None where the gate names none."""
        return None

    @property
    def needs_baseline(self) -> bool:
        """Whether it compares with the baseline, so that some gate must name one."""
        return self.baseline is not None

    def draws(self, context: Context) -> Draws | None:
        """What it will compare by resampling, so that all gates share one drawing; None where it compares nothing."""
        return None

    @property
    def slice_terms(self) -> SliceTerms | None:
        """Which slices it judges, so that the verdict shows the same ones; None where it judges none."""
        return None

    def answer(self, passed: bool, reason: str, **figures: float | None) -> GateResult:
        """A result; figures that are not finite are left out, because JSON has no name for them."""
        finite = {name: float(value) for name, value in figures.items() if value is not None and np.isfinite(value)}
        return GateResult(gate=self.kind, mode=self.mode or GateMode.ENABLED, passed=passed, reason=reason, figures=finite)

    def abstain(self, context: Context) -> GateResult:
        """The result of a gate that only compares with the champion, where there are no answers of one."""
        return self.answer(True, context.no_champion).model_copy(update={"is_judged": False})


class ComparingGate(Gate):
    """A gate that compares by the paired bootstrap.

    `group_by` names a column of a tabular holdout whose rows belong together (the patient, the site): groups are drawn
    instead of rows. Users are drawn whole anyhow.
    """

    confidence: float = Field(0.95, gt=0.5, lt=1.0)
    resamples: int = Field(2000, ge=2000, le=MOST_RESAMPLES)
    group_by: str | None = None

    def questions(self, context: Context) -> list[Question]:
        """What `check` will compare."""
        return []

    def required_resamples(self, questions: Sequence[Question]) -> int:
        """How many resamples these questions need."""
        return self.resamples

    def draws(self, context: Context) -> Draws | None:
        questions = self.questions(context)
        return Draws(questions, self.required_resamples(questions), self.group_by)

    def check_fits(self, task: TaskKind, metrics: Sequence[str], candidates: Sequence[str]) -> None:
        if self.group_by is not None and not task.answers_rows:
            raise ConfigurationError(
                f"{self.kind}.group_by: only rows are grouped; the units of the task '{task}' are users already: leave it out"
            )


def describe(found: Comparison, other: str) -> str:
    """One comparison as a sentence."""
    said = found.outcome.value.replace("_", " ")
    text = (
        f"{found.metric}{f' for {found.slice}' if found.slice else ''} {found.challenger:.4f} against {found.champion:.4f} of "
        f"{other}: {said} (difference {found.difference:+.4f}, {100 * found.confidence:.4g}% interval {found.low:+.4f} to "
        f"{found.high:+.4f}, {found.units} units)"
    )
    if found.outcome is not Outcome.WORSE and (shortage := name_shortage(found)):
        return f"{text}; {shortage}"
    if found.effect is not None and found.power is not None:
        text += f"; a true difference of {found.effect:.4g} is called better with a chance of {found.power:.0%}"
    elif found.outcome is Outcome.INCONCLUSIVE and found.detectable is not None:
        text += f"; it takes a true difference of {found.detectable:.4f} to be called better in 4 of 5 such holdouts"
    return text


def name_shortage(found: Comparison) -> str:
    """What a comparison lacks for a gain to be concluded; empty where it lacks nothing."""
    if found.units < found.min_units:
        return f"too few units: {found.units}, needed {found.min_units}"
    if found.differing is not None and found.differing < MIN_DIFFERING:
        return f"too few units on which the two differ: {found.differing} of {found.units}, needed {MIN_DIFFERING}"
    return ""


def cannot_gate(metric: str, metrics: Sequence[str]) -> str:
    return (
        f"'{metric}' is not evaluated, or cannot be compared by resampling (catalog_coverage, calibration_error); evaluated: "
        f"{', '.join(metrics)}. Gate by one of them, or add it to metrics.report"
    )

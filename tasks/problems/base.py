"""The base of all problems: what differs between the kinds of task, in one object for each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tasks.contracts.arrays import Floats
from tasks.contracts.base import TaskKind
from tasks.contracts.training import ScoringTerms
from tasks.metrics import Metric, Scored, get_metric
from tasks.models.base import Examples, ServedModel
from tasks.problems.calibration import calibrate_lists
from tasks.problems.wording import Wording


@dataclass(frozen=True)
class Round:
    """One round of tuning: `train` and `history` as `ModelSpec.fit` takes them, and the examples that measure the model."""

    train: Examples
    history: Examples
    judged: Examples


@dataclass(frozen=True)
class Defaults:
    """What a use case of the task has where its file says nothing. See `tasks.use_case_defaults`.

    Parameters
    ----------
    suite : the shipped suite that holds for every data set of the task.
    candidates : kinds of models. The first is the trivial one that the others must beat.
    metrics : the first is the primary one.
    effect : the smallest difference of the primary metric that matters.
    """

    suite: str
    candidates: tuple[str, ...]
    metrics: tuple[str, ...]
    effect: float


class Problem(ABC):
    """One kind of task: what its examples are, how a model is measured on them, and how people read the result.

    Attributes
    ----------
    task : the member that names it.
    unit : what a metric counts, in the plural: users or rows.
    wording : the words of a model card.
    defaults : what a use case need not state.
    label_event : type of the events that become labels; None where the label is the target of a row.
    keeps_lists : whether the predictions that an evaluation keeps are recommendation lists.
    silence_is_negative : whether monitoring takes an answer without an outcome for a label of 0, once labels are mature.
    plots : names of the plots of a candidate's run (see `tasks.stages.training.plots.PLOTS`).
    calibrates : whether raw scores become probabilities by a curve that is fitted on the validation window.
    min_rounds : the least number of rounds that tuning needs.
    measures_fit : whether a learning curve also measures a model on the data that it learned from.
    """

    task: ClassVar[TaskKind]
    unit: ClassVar[str]
    wording: ClassVar[Wording]
    defaults: ClassVar[Defaults]
    label_event: ClassVar[str | None] = None
    keeps_lists: ClassVar[bool] = False
    silence_is_negative: ClassVar[bool] = False
    plots: ClassVar[tuple[str, ...]]
    calibrates: ClassVar[bool] = False
    min_rounds: ClassVar[int] = 1
    measures_fit: ClassVar[bool] = False

    # training

    def complete_terms(self, terms: ScoringTerms, train: Examples) -> ScoringTerms:
        """The terms with what only the training data know, such as the feature columns."""
        return terms

    def calibrate(self, model: ServedModel, validation: Examples, terms: ScoringTerms) -> None:
        """Set on data that the model did not learn from what turns its scores into answers: `calibration`, where `calibrates`
        says so, or `class_threshold`."""
        if self.calibrates:
            calibrate_lists(model, validation, terms)

    def hangs_on_calibration(self, metric: Metric) -> bool:
        """Whether what `calibrate` sets changes the value of a metric. The order of a list, it does not change."""
        return self.calibrates and metric.k is None

    @abstractmethod
    def halve(self, examples: Examples, seed: int) -> list[tuple[Examples, Examples]]:
        """Two halves of the units, each beside the other one; fewer where the units do not allow both."""

    def carry_over(self, judged: ServedModel, refitted: ServedModel) -> tuple[str, ...]:
        """Give a refitted model what was learned on data that its training now holds; the names of what was carried over."""
        carried = []
        if judged.calibration is not None:
            refitted.calibration = judged.calibration
            carried.append("calibration")
        if judged.class_threshold != refitted.class_threshold:
            refitted.class_threshold = judged.class_threshold
            carried.append("class_threshold")
        return tuple(carried)

    def earlier_windows(self, rounds: int) -> int:
        """How many windows before those of the split `rounds` rounds of tuning need."""
        return 0

    @abstractmethod
    def make_rounds(self, windows: Sequence[Examples], count: int, seed: int) -> list[Round]:
        """At most `count` rounds of tuning out of the windows before the holdout, in the order of time."""

    @abstractmethod
    def earlier_cuts(self, windows: Sequence[Examples], count: int, seed: int) -> list[Round]:
        """At most `count` cuts before the one whose validation window measures a candidate, in the order of time.

        There are fewer where the history is short.
        """

    @abstractmethod
    def spark_history(self, windows: Sequence[Examples]) -> Examples:
        """What Spark's own tuners learn from, and split by themselves."""

    # measuring

    def get_metric(self, name: str) -> Metric:
        """The metric of a name.

        Raises
        ------
        ConfigurationError : there is none of that name for the task.
        """
        return get_metric(name, self.task)

    @abstractmethod
    def score(self, model: ServedModel, examples: Examples, terms: ScoringTerms) -> Scored:
        """Query a model about every unit of the examples, and measure its predictions by `terms.metrics`.

        Raises
        ------
        NotEnoughData : there is no label.
        ConfigurationError : a metric does not fit the task.
        """

    def measure_apart(self, model: ServedModel, examples: Examples, terms: ScoringTerms, seed: int) -> dict[str, float]:
        """The metrics of the terms and what is reported beside them, where the same examples calibrate the model.

        What hangs on calibration is measured with what other units set: each half with what the other one sets, weighted by
        its units. A threshold that is chosen on the rows that measure it promises more than it delivers. Where the units cannot
        be halved, the model's own threshold or curve counts. The model keeps what the last half set, so calibrate it again
        before it is used.

        Raises
        ------
        NotEnoughData : there is no label.
        """
        hanging = [metric.name for metric in self.metrics_of(terms) if self.hangs_on_calibration(metric)]
        halves = self.halve(examples, seed) if hanging else []
        rest = [metric.name for metric in self.metrics_of(terms) if not halves or metric.name not in hanging]
        figures = dict(self.score(model, examples, terms.measured_by(*rest)).metrics) if rest else {}
        measured = []
        for calibrates, judged in halves:
            self.calibrate(model, calibrates, terms)
            measured.append(self.score(model, judged, terms.measured_by(*hanging)))
        weights = [len(scored.units) for scored in measured]
        for name in hanging if measured else ():
            figures[name] = float(np.average([scored.metrics[name] for scored in measured], weights=weights))
        return {name: figures[name] for name in dict.fromkeys([*terms.metrics, *figures])}

    def measure_label(self, predicted: Floats, label: float) -> float:
        """How wrong, or how right, a model is about the units of one label: by default the root mean squared error.

        Parameters
        ----------
        predicted : (units,), the predictions for units whose label is `label`; of rows the predicted classes.
        """
        return float(np.sqrt(np.mean((predicted - label) ** 2)))

    def metrics_of(self, terms: ScoringTerms) -> list[Metric]:
        """The metrics of the terms, each once."""
        return [self.get_metric(name) for name in dict.fromkeys(terms.metrics)]

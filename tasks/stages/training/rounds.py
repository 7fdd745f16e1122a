"""How tuning judges settings: it learns from one part and measures on another, in rounds. No holdout comes here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.metrics import get_metric, score_model
from tasks.models.base import Examples, ModelSpec, SparkTuned
from tasks.stages.training.calibration import calibrate
from tasks.stages.training.spec import SearchKind

Tell = Callable[[int, float], bool]  # round, figure -> whether to give up


class Judge(ABC):
    """Says how good settings are."""

    at_once: ClassVar[int] = 1  # settings that it wants together
    rounds: int = 1  # figures that it gives for each

    @abstractmethod
    def judge(self, specs: Sequence[ModelSpec], tell: Sequence[Tell]) -> None:
        """Tell the figures of each, round by round.

        Raises
        ------
        NotEnoughData : the settings are too much for these data.
        """


@dataclass(frozen=True)
class Question:
    """By what a model is measured."""

    task: TaskKind
    metric: str
    k: int
    exclude_seen: bool
    seed: int


@dataclass(frozen=True)
class Round:
    """`train` and `history` as `ModelSpec.fit` takes them, and the examples that judge."""

    train: Examples
    history: Examples
    judged: Examples

    def judge(self, spec: ModelSpec, asked: Question) -> float:
        """Fit and measure.

        Raises
        ------
        NotEnoughData : the settings are too much for these data.
        """
        model = spec.fit(self.train, self.history, asked.seed)
        if asked.task is TaskKind.PROPENSITY and get_metric(asked.metric, asked.task).k is None:
            calibrate(model, self.judged, asked.k, asked.exclude_seen)  # lists do not change by it
        return score_model(model, self.judged, asked.task, (asked.metric,), asked.k, asked.exclude_seen).metrics[asked.metric]


def make_rounds(windows: Sequence[Examples], count: int, asked: Question) -> list[Round]:
    """Rows: stratified folds of the first window, train, so that validation is left to choose among candidates.

    Interactions: of each two windows that follow each other, the later one judges what was learned before it; the newest is
    the validation window, and `count` of them or fewer where the history is short.
    """
    if not asked.task.is_tabular:
        return [Round(before, Examples(features=after.features), after) for before, after in pairwise(windows[-(count + 1) :])]
    from sklearn.model_selection import StratifiedKFold

    rows = windows[0].rows
    if rows is None:
        return []
    target = rows[c.TARGET].to_numpy()
    folds = max(2, min(count, int(target.sum()), int((1 - target).sum())))
    parts = StratifiedKFold(folds, shuffle=True, random_state=asked.seed).split(target, target)
    taken = [tuple(replace(windows[0], rows=rows.iloc[part].reset_index(drop=True)) for part in pair) for pair in parts]
    return [Round(learn, Examples(), judged) for learn, judged in taken]


class InRounds(Judge):
    """One setting after the other, given up between two rounds where it stands behind."""

    def __init__(self, rounds: Sequence[Round], asked: Question) -> None:
        self._rounds, self._asked, self.rounds = rounds, asked, len(rounds)

    def judge(self, specs: Sequence[ModelSpec], tell: Sequence[Tell]) -> None:
        for spec, told in zip(specs, tell, strict=True):
            for number, one in enumerate(self._rounds):
                if told(number, one.judge(spec, self._asked)):
                    break


class OnSpark(Judge):
    """A grid of settings by Spark's `CrossValidator` or `TrainValidationSplit`; their figure is the mean of the folds."""

    at_once = 4  # between two grids the budget is looked at, and the sampler learns

    def __init__(self, search: SearchKind, history: Examples, folds: int, asked: Question) -> None:
        self._search, self._history, self._folds, self._asked = search, history, folds, asked

    def judge(self, specs: Sequence[ModelSpec], tell: Sequence[Tell]) -> None:
        from pyspark.ml.tuning import CrossValidator, TrainValidationSplit

        first = specs[0]
        if not isinstance(first, SparkTuned):
            raise TypeError(f"expected a kind that Spark trains, got '{first.kind}'")
        problem = first.spark_problem(self._history, self._asked.seed)
        params = {setting: problem.estimator.getParam(name) for setting, name in first.spark_params.items()}
        terms: dict[str, Any] = {
            "estimator": problem.estimator,
            "evaluator": _evaluator(self._asked.metric, problem.label),
            "estimatorParamMaps": [{param: getattr(spec, setting) for setting, param in params.items()} for spec in specs],
            "seed": self._asked.seed,
        }
        frame = problem.frame.cache()
        try:
            if self._search is SearchKind.CROSS_VALIDATION:
                figures = CrossValidator(numFolds=self._folds, **terms).fit(frame).avgMetrics
            else:  # the part that judges is as large as one of the folds would be
                figures = TrainValidationSplit(trainRatio=1.0 - 1.0 / self._folds, **terms).fit(frame).validationMetrics
        finally:
            frame.unpersist()
        for told, figure in zip(tell, figures, strict=True):
            told(0, float(figure))


def _evaluator(metric: str, label: str) -> Any:
    """Of Spark; those that `SPARK_METRICS` allows."""
    from pyspark.ml.evaluation import BinaryClassificationEvaluator, RegressionEvaluator

    if metric in ("roc_auc", "pr_auc"):
        name = {"roc_auc": "areaUnderROC", "pr_auc": "areaUnderPR"}[metric]
        return BinaryClassificationEvaluator(labelCol=label, metricName=name)
    return RegressionEvaluator(labelCol=label, metricName=metric)

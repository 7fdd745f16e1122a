"""How tuning measures settings: it fits to one part and measures on another, in rounds. The holdout is not part of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from tasks.contracts.training import ScoringTerms
from tasks.models.base import Examples, ModelSpec, SparkTuned
from tasks.problems import Round, problem_of
from tasks.stages.training.spec import SearchKind

Report = Callable[[int, float], bool]  # round, value -> whether to prune


class Judge(ABC):
    """Measures how good settings are."""

    at_once: ClassVar[int] = 1  # settings that it measures together
    rounds: int = 1  # values that it reports for each

    @abstractmethod
    def judge(self, specs: Sequence[ModelSpec], reports: Sequence[Report]) -> None:
        """Report the value of each, round by round.

        Raises
        ------
        NotEnoughData : the settings are too much for these data.
        """


def measure_round(one: Round, spec: ModelSpec, terms: ScoringTerms, seed: int) -> float:
    """Fit settings to a round, and measure the model by the primary metric.

    Raises
    ------
    NotEnoughData : the settings are too much for these data.
    """
    model = spec.fit(one.train, one.history, seed)
    return problem_of(terms.task).measure_apart(model, one.judged, terms.measured_by(terms.primary), seed)[terms.primary]


def measure_cuts(rounds: Sequence[Round], spec: ModelSpec, terms: ScoringTerms, seed: int) -> tuple[dict[str, float], ...]:
    """Fit settings to each earlier cut of a rolling split, and measure the models by all metrics, oldest cut first.

    Raises
    ------
    NotEnoughData : the settings are too much for the data of a cut.
    """
    problem, figures = problem_of(terms.task), []
    for one in rounds:
        model = spec.fit(one.train, one.history, seed)
        figures.append(problem.measure_apart(model, one.judged, terms, seed))
    return tuple(figures)


class InRounds(Judge):
    """One setting after the other, pruned between two rounds where it is worse than most."""

    def __init__(self, rounds: Sequence[Round], terms: ScoringTerms, seed: int) -> None:
        self._rounds, self._terms, self._seed, self.rounds = rounds, terms, seed, len(rounds)

    def judge(self, specs: Sequence[ModelSpec], reports: Sequence[Report]) -> None:
        for spec, report in zip(specs, reports, strict=True):
            for number, one in enumerate(self._rounds):
                if report(number, measure_round(one, spec, self._terms, self._seed)):
                    break


class OnSpark(Judge):
    """A grid of settings by Spark's `CrossValidator` or `TrainValidationSplit`; the value is the mean of the folds."""

    at_once = 4  # between two grids the budget is checked, and the sampler learns

    def __init__(self, search: SearchKind, history: Examples, folds: int, metric: str, seed: int) -> None:
        self._search, self._history, self._folds, self._metric, self._seed = search, history, folds, metric, seed

    def judge(self, specs: Sequence[ModelSpec], reports: Sequence[Report]) -> None:
        from pyspark.ml.tuning import CrossValidator, TrainValidationSplit

        first = specs[0]
        if not isinstance(first, SparkTuned):
            raise TypeError(f"expected a kind that Spark trains, got '{first.kind}'")
        problem = first.spark_problem(self._history, self._seed)
        params = {setting: problem.estimator.getParam(name) for setting, name in first.spark_params.items()}
        terms: dict[str, Any] = {
            "estimator": problem.estimator,
            "evaluator": _evaluator(self._metric, problem.label),
            "estimatorParamMaps": [{param: getattr(spec, setting) for setting, param in params.items()} for spec in specs],
            "seed": self._seed,
        }
        frame = problem.frame.cache()
        try:
            if self._search is SearchKind.CROSS_VALIDATION:
                figures = CrossValidator(numFolds=self._folds, **terms).fit(frame).avgMetrics
            else:  # the part that measures is as large as one of the folds would be
                figures = TrainValidationSplit(trainRatio=1.0 - 1.0 / self._folds, **terms).fit(frame).validationMetrics
        finally:
            frame.unpersist()
        for report, figure in zip(reports, figures, strict=True):
            report(0, float(figure))


def _evaluator(metric: str, label: str) -> Any:
    """Spark's evaluator of a metric of `SPARK_METRICS`."""
    from pyspark.ml.evaluation import BinaryClassificationEvaluator, RegressionEvaluator

    if metric in ("roc_auc", "pr_auc"):
        name = {"roc_auc": "areaUnderROC", "pr_auc": "areaUnderPR"}[metric]
        return BinaryClassificationEvaluator(labelCol=label, metricName=name)
    return RegressionEvaluator(labelCol=label, metricName=metric)

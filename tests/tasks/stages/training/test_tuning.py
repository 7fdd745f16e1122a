"""Tuning: the order of trials, early stopping, the budget, and independence of the holdout."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.data import Split
from tasks.contracts.training import Candidate, ScoringTerms, Trial, TrialState, Tuned
from tasks.errors import NotEnoughData
from tasks.io import tracking
from tasks.io.storage import Storage, frame_writer
from tasks.models import MODELS
from tasks.models.als import Als
from tasks.models.base import Examples, ModelSpec, SparkTuned
from tasks.models.logistic_regression import LogisticRegressionSpec
from tasks.models.popularity import Popularity
from tasks.problems import problem_of
from tasks.settings import get_settings
from tasks.stages.training import train, tune
from tasks.stages.training.plots import draw_history
from tasks.stages.training.rounds import Judge, Report
from tasks.stages.training.spec import Search, TuningSpec, Values
from tasks.stages.training.tuning import make_judge, run_search
from tests.tasks.models.checkerboard import checkerboard, rows

CLASSIFY = ScoringTerms(use_case="tumours", task=TaskKind.CLASSIFICATION, metrics=("log_loss",), k=5)
RANK = ScoringTerms(use_case="shop", task=TaskKind.PROPENSITY, metrics=("ndcg_at_5",), k=5)
SPEC = LogisticRegressionSpec(regularization=100.0)
WIDE = Search(space={"regularization": Values(low=1e-4, high=1e4, log=True)})
BEST = 0.1


class Valley(Judge):
    """The figure is the distance of log10(regularization) from that of BEST; in the first round a tenth of it is left out."""

    def __init__(self, rounds: int = 3, refuses_above: float = np.inf) -> None:
        self.rounds, self.refuses_above, self.judged = rounds, refuses_above, 0

    def judge(self, specs: Sequence[ModelSpec], reports: Sequence[Report]) -> None:
        for spec, report in zip(specs, reports, strict=True):
            assert isinstance(spec, LogisticRegressionSpec)
            if spec.regularization > self.refuses_above:
                raise NotEnoughData(f"no more than {self.refuses_above}")
            distance = abs(np.log10(spec.regularization / BEST))
            for number in range(self.rounds):
                self.judged += 1
                if report(number, distance * (0.9 if number == 0 else 1.05)):
                    break


def run(
    judge: Judge, trials: int = 30, seed: int = 7, champion: dict[str, Any] | None = None, **budget: Any
) -> tuple[Trial, ...]:
    policy = TuningSpec(trials=trials, **budget)
    return search_settings(SPEC, WIDE, policy, CLASSIFY, judge, seed=seed, champion=champion)


def search_settings(
    spec: ModelSpec,
    search: Search,
    policy: TuningSpec,
    terms: ScoringTerms,
    judge: Judge,
    *,
    seed: int = 7,
    champion: dict[str, Any] | None = None,
) -> tuple[Trial, ...]:
    """`run_search` without a log."""
    return run_search(spec, search, policy, terms, judge, seed=seed, champion=champion or {}, log_trial=lambda _: None)


def outcomes(trials: Sequence[Trial]) -> list[Any]:
    return [(trial.origin, trial.state, trial.settings, trial.figures) for trial in trials]


def test_the_search_improves_on_its_start() -> None:
    trials = run(Valley())
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    assert len(trials) == 30 and min(trial.value for trial in complete) < 0.3 < trials[0].value == pytest.approx(3.0)


def test_the_yaml_comes_first_then_a_fitting_champion() -> None:
    trials = run(Valley(), trials=3, champion={"regularization": 2.0, "other": 1})
    assert [trial.origin for trial in trials] == ["yaml", "champion", "search"]
    assert [trial.settings["regularization"] for trial in trials[:2]] == [100.0, 2.0]
    outside = run(Valley(), trials=3, champion={"regularization": 1e6})
    assert [trial.origin for trial in outside] == ["yaml", "search", "search"]


def test_weak_trials_are_pruned_after_a_round() -> None:
    judge = Valley()
    trials = run(judge)
    pruned = [trial for trial in trials if trial.state is TrialState.PRUNED]
    assert pruned and all(len(trial.figures) < 3 for trial in pruned)
    assert judge.judged == sum(len(trial.figures) for trial in trials) < 90
    assert not any(trial.state is TrialState.PRUNED for trial in run(Valley(rounds=1))), "with one round nothing is saved"


def test_the_same_seed_gives_the_same_trials() -> None:
    assert outcomes(run(Valley())) == outcomes(run(Valley()))
    assert outcomes(run(Valley())) != outcomes(run(Valley(), seed=8))


def test_minutes_end_the_search() -> None:
    assert len(run(Valley(), minutes=1e-9)) == 1


def test_a_failed_trial_does_not_end_the_search() -> None:
    trials = run(Valley(refuses_above=50.0))
    assert trials[0].state is TrialState.FAILED and trials[0].note == "NotEnoughData: no more than 50.0"
    assert any(trial.state is TrialState.COMPLETE for trial in trials)
    assert {trial.state for trial in run(Valley(refuses_above=0.0), trials=3)} == {TrialState.FAILED}


def test_progress_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="tasks.stages.training.tuning"):
        run(Valley(), trials=3)
    assert len(caplog.messages) == 3
    assert caplog.messages[0].startswith("logistic_regression: trial 1 of 3 complete, log_loss 3 after 3 rounds")


def test_folds_are_stratified_without_validation_rows() -> None:
    first, second = rows(200), rows(50).assign(**{c.ROW_ID: "validation"})
    rounds = problem_of(TaskKind.CLASSIFICATION).make_rounds([Examples(rows=first), Examples(rows=second)], 4, 7)
    judged = [one.judged.rows for one in rounds]
    assert len(judged) == 4 and sorted(row for part in judged if part is not None for row in part[c.ROW_ID]) == sorted(
        first[c.ROW_ID]
    )
    for one in rounds:
        assert one.train.rows is not None and one.judged.rows is not None
        assert not set(one.train.rows[c.ROW_ID]) & set(one.judged.rows[c.ROW_ID])
        assert one.judged.rows[c.TARGET].mean() == pytest.approx(first[c.TARGET].mean(), abs=0.02)


def test_the_later_window_measures() -> None:
    windows = [checkerboard(TaskKind.PROPENSITY) for _ in range(4)]
    problem = problem_of(TaskKind.PROPENSITY)
    rounds = problem.make_rounds(windows, 2, 7)
    assert [(one.train, one.judged) for one in rounds] == [(windows[1], windows[2]), (windows[2], windows[3])]
    assert all(one.history.features is one.judged.features and one.history.labels is None for one in rounds)
    assert len(problem.make_rounds(windows[-2:], 3, 7)) == 1, "as many as the history has"


# on a real MLflow store


@pytest.fixture(scope="module")
def mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow") / "mlflow.db"


@pytest.fixture
def mlflow_store(mlflow_database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TITLEHOLDER_MLFLOW_TRACKING_URI", f"sqlite:///{mlflow_database}")
    monkeypatch.setenv("TITLEHOLDER_CODE_VERSION", "abc123")
    monkeypatch.chdir(mlflow_database.parent)
    get_settings.cache_clear()


POLICY = TuningSpec(trials=8, rounds=3, candidates={"logistic_regression": WIDE})
Windows = Sequence[Any]


def noisy(seed: int, count: int = 120) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    values = random.normal(size=(count, 3))
    target = (values[:, 0] - values[:, 1] + random.normal(size=count) > 0).astype("int64")
    frame = pd.DataFrame(values, columns=["mean radius", "mean texture", "worst area"])
    return frame.assign(**{c.ROW_ID: [f"r{seed}-{row:03d}" for row in range(count)]}).assign(**{c.TARGET: target})


@pytest.fixture
def make_split(storage: Storage, mlflow_store: None) -> Callable[[int], Split]:
    def make(holdout_seed: int) -> Split:
        seeds = {"train": 1, "validation": 2, "holdout": holdout_seed}
        refs = {
            part: storage.publish(
                use_case="tumours",
                layer=c.EXAMPLES,
                partition=f"2026-01-01.{part}",
                facts={},
                tables={c.ROWS: frame_writer(noisy(seed))},
            )
            for part, seed in seeds.items()
        }
        return Split(as_of=date(2026, 1, 1), **refs)

    return make


def tune_on(windows: Windows, storage: Storage, seed: int = 7, champion_run: str | None = None) -> Tuned:
    return tune(
        SPEC,
        POLICY,
        windows,
        CLASSIFY,
        storage,
        seed=seed,
        run_tags={"dag_run": "manual"},
        champion_run=champion_run,
    )


def test_every_trial_is_a_child_run(make_split: Callable[[int], Split], storage: Storage) -> None:
    tuned = tune_on(make_split(3).before_holdout, storage, seed=11)
    client = tracking.get_client()
    run = client.get_run(tuned.run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "logistic_regression.tuning")
    assert run.data.params["space.regularization"] == str({"low": 1e-4, "high": 1e4, "log": True})
    assert tracking.has_artifact(tuned.run_id, "plots/optimization_history.png")
    children = client.search_runs(
        [run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{tuned.run_id}'", order_by=["start_time"]
    )
    assert len(children) == len(tuned.trials) == 8
    for trial, child in zip(tuned.trials, sorted(children, key=lambda one: str(one.info.run_name)), strict=True):
        assert child.data.tags["titleholder.trial"] == trial.state
        assert float(child.data.params["model.regularization"]) == trial.settings["regularization"]
        history = client.get_metric_history(child.info.run_id, "round_log_loss")
        assert [metric.value for metric in history] == list(trial.figures)
    best = min((trial for trial in tuned.trials if trial.state is TrialState.COMPLETE), key=lambda trial: trial.value)
    assert tuned.settings == best.settings and run.data.metrics["log_loss"] == best.value < tuned.trials[0].value


def test_a_finished_search_is_read_again(
    make_split: Callable[[int], Split], storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = make_split(3).before_holdout
    first = tune_on(windows, storage)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("it searched again")

    monkeypatch.setattr("tasks.stages.training.tuning.run_search", refuse)
    assert tune_on(windows, storage) == first
    with pytest.raises(AssertionError, match="searched again"):
        tune_on(windows, storage, seed=8)


def test_the_holdout_does_not_influence_tuning(
    make_split: Callable[[int], Split], storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By construction: the split passes only windows before the holdout to `tune`."""
    monkeypatch.setattr("tasks.io.tracking.find_finished_run", lambda *_: None)
    one, other = make_split(3), make_split(4)
    assert one.holdout.digest != other.holdout.digest
    assert not {"split", "holdout"} & set(inspect.signature(tune).parameters)
    first, second = (tune_on(split.before_holdout, storage) for split in (one, other))
    assert first.run_id != second.run_id and outcomes(first.trials) == outcomes(second.trials)
    # the broken twin: where the holdout is among the windows, changing it changes what is chosen
    peeked = [tune_on((split.holdout,), storage) for split in (one, other)]
    assert outcomes(peeked[0].trials) != outcomes(peeked[1].trials)


def test_a_search_begins_at_the_champions_settings(make_split: Callable[[int], Split], storage: Storage) -> None:
    split = make_split(3)
    made: Candidate = train(
        LogisticRegressionSpec(regularization=3.0),
        split,
        CLASSIFY,
        storage,
        seed=7,
        run_tags={},
    )
    assert made.settings["regularization"] == 3.0
    tuned = tune_on(split.before_holdout, storage, champion_run=made.run_id)
    assert [(trial.origin, trial.settings["regularization"]) for trial in tuned.trials[:2]] == [
        ("yaml", 100.0),
        ("champion", 3.0),
    ]


def test_the_history_is_drawn(tmp_path: Path) -> None:
    trials = run(Valley(refuses_above=50.0))
    best = min((trial for trial in trials if trial.state is TrialState.COMPLETE), key=lambda trial: trial.value)
    tuned = Tuned(run_id="r", metric="log_loss", settings=best.settings, trials=trials)
    axes = draw_history(tuned, "shop: model").axes[0]
    line = np.asarray(axes.lines[0].get_ydata()).tolist()
    assert line == sorted(line, reverse=True) and line[-1] == best.value
    nothing = tuned.model_copy(update={"trials": trials[:1], "settings": {}})
    draw_history(nothing, "nothing was fitted").savefig(tmp_path / "nothing.png")


# on interactions, and on Spark


def test_interactions_are_measured_on_the_next_window() -> None:
    windows = [checkerboard(TaskKind.PROPENSITY) for _ in range(3)]
    search = Search(space={"half_life_days": Values(low=1, high=100, log=True)})
    judge = make_judge(search.search, windows, 2, RANK, seed=7)
    trials = search_settings(Popularity(), search, TuningSpec(trials=3, rounds=2), RANK, judge)
    assert judge.rounds == 2 and [len(trial.figures) for trial in trials] == [2, 2, 2]


ON_SPARK = [
    (kind, task) for kind, spec in MODELS.kinds.items() if issubclass(spec, SparkTuned) for task in sorted(spec.spark_tasks)
]


@pytest.mark.parametrize(("kind", "task"), ON_SPARK)
def test_settings_are_parameters_of_the_estimator(kind: str, task: TaskKind, spark: SparkSession) -> None:
    spec = MODELS.parse({"kind": kind}, "test")
    assert isinstance(spec, SparkTuned)
    problem = spec.spark_problem(checkerboard(task), 7)
    assert problem.label in problem.frame.columns
    own = {setting: problem.estimator.getOrDefault(name) for setting, name in spec.spark_params.items()}
    assert own == {setting: getattr(spec, setting) for setting in spec.spark_params}


def test_spark_measures_rows(spark: SparkSession) -> None:
    given = [Examples(rows=rows(150)), Examples()]
    auc = CLASSIFY.measured_by("roc_auc")
    spec = MODELS.parse({"kind": "spark_gradient_boosting", "trees": 1, "depth": 1}, "test")
    space = {"search": "train_validation_split", "space": {"depth": {"low": 1, "high": 3}}}
    search = Search.model_validate(space)
    trials = search_settings(
        spec, search, TuningSpec(trials=2, rounds=2), auc, make_judge(search.search, given, 2, auc, seed=7)
    )
    assert [0.6 < trial.value <= 1.0 for trial in trials] == [True, True]


@pytest.mark.parametrize("kind", ["cross_validation", "train_validation_split"])
def test_spark_measures_a_grid(kind: str, spark: SparkSession) -> None:
    from pyspark.ml.evaluation import RegressionEvaluator
    from pyspark.ml.tuning import CrossValidator, TrainValidationSplit

    given = checkerboard(TaskKind.RATING)
    rmse = ScoringTerms(use_case="films", task=TaskKind.RATING, metrics=("rmse",), k=5)
    spec = Als(factors=2, iterations=3)
    search = Search.model_validate({"search": kind, "space": {"regularization": {"low": 0.01, "high": 1.0, "log": True}}})
    judge = make_judge(search.search, [given, given], 2, rmse, seed=7)
    trials = search_settings(spec, search, TuningSpec(trials=3, rounds=2), rmse, judge)
    assert [trial.origin for trial in trials] == ["yaml", "search", "search"]
    problem = spec.spark_problem(given, 7)
    als = problem.estimator
    terms: dict[str, Any] = {
        "estimator": als,
        "evaluator": RegressionEvaluator(labelCol="rating", metricName="rmse"),
        "seed": 7,
        "estimatorParamMaps": [{als.regParam: trial.settings["regularization"]} for trial in trials],
    }
    if kind == "cross_validation":
        figures = CrossValidator(numFolds=2, **terms).fit(problem.frame).avgMetrics
    else:
        figures = TrainValidationSplit(trainRatio=0.5, **terms).fit(problem.frame).validationMetrics
    assert [trial.value for trial in trials] == pytest.approx(figures)

"""The tuning section of a use case: every fault is reported with its place, what is allowed and what came."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tasks.contracts.base import TaskKind
from tasks.errors import ConfigurationError
from tasks.settings import ROOT
from tasks.use_case import UseCase, parse_use_case


def parse(name: str, candidates: Any, add: dict[str, Any] | None = None, **budget: Any) -> UseCase:
    document = yaml.safe_load((ROOT / "conf" / "use_cases" / f"{name}.yaml").read_text())
    document["candidates"] += [add] if add else []
    return parse_use_case(yaml.safe_dump({**document, "tuning": {"candidates": candidates, **budget}}), "test")


def regression(**space: Any) -> dict[str, Any]:
    return {"logistic_regression": {"space": space}}


GOOD = {"low": 0.01, "high": 100, "log": True}


def test_tuning_is_off_by_default() -> None:
    case = parse("purchase_propensity", {})
    assert not case.tuning.candidates and case.tuning.earlier_windows(case.task) == 0


def test_rounds_of_interactions_need_earlier_windows() -> None:
    case = parse("purchase_propensity", {"ials": {"space": {"factors": {"choices": [32, 64]}}}}, rounds=4)
    assert case.tuning.earlier_windows(case.task) == 3
    assert parse("breast_cancer", regression(regularization=GOOD)).tuning.earlier_windows(TaskKind.CLASSIFICATION) == 0


def test_choices_may_be_lists_words_and_null() -> None:
    mlp = parse("breast_cancer", {"mlp": {"space": {"layers": {"choices": [[32], [64, 32]]}}}}, {"kind": "mlp"})
    layers = mlp.tuning.candidates["mlp"].space["layers"]
    assert layers.decode(layers.encode((64, 32))) == [64, 32] and layers.holds((32,)) and not layers.holds((8,))
    forest = {"kind": "random_forest"}
    parse("breast_cancer", {"random_forest": {"space": {"depth": {"choices": [None, 4]}}}}, forest)


def by_spark(name: str, search: str, **space: Any) -> dict[str, Any]:
    return {name: {"search": search, "space": space}}


BY_FOLDS = "cross_validation"
OF_ROWS = [
    ({"forest": {"space": {"trees": GOOD}}}, {}, "tuning.candidates.forest: no candidate of that name; allowed: prior, log"),
    (regression(alpha=GOOD), {}, "space.alpha: 'logistic_regression' has no such setting; allowed: .*regularization"),
    (regression(regularization={"low": -1, "high": 9}), {}, "space.regularization.regularization: .*greater than 0; got -1"),
    (regression(regularization={"low": 5, "high": 9}), {}, "must be among the values of the space; got 1.0"),
    (regression(regularization={"low": 9, "high": 1}), {}, "low below high, or choices"),
    (regression(regularization={"low": 0, "high": 1, "log": True}), {}, "a low above 0"),
    (regression(regularization={"choices": [1.0]}), {}, "expected two or more choices"),
    (regression(regularization={"lo": 1, "high": 2}), {}, "regularization.lo: unknown key; allowed here: choices, high"),
    (regression(), {}, "space: .*at least 1 item"),
    (regression(regularization=GOOD), {"rounds": 1}, "tuning.rounds: the task classification needs at least 2; got 1"),
    (regression(regularization=GOOD), {"trials": 1}, "tuning.trials: .*got 1"),
    (regression(regularization=GOOD), {"tries": 1}, "tuning.tries: unknown key; allowed here: candidates, minutes"),
    (by_spark("logistic_regression", "grid", regularization=GOOD), {}, "'tpe', 'cross_validation'"),
    (
        by_spark("logistic_regression", BY_FOLDS, regularization=GOOD),
        {},
        "cross_validation is Spark's, and 'logistic_regression' is fitted by an Estimator of pyspark.ml for no task",
    ),
]
OF_INTERACTIONS = [
    (
        "purchase_propensity",
        by_spark("als", BY_FOLDS, regularization=GOOD),
        "'als' is fitted by an Estimator of pyspark.ml for rating; the task is propensity: take tpe",
    ),
    (
        "movie_rating",
        by_spark("als", "train_validation_split", user_damping={"low": 1, "high": 20}),
        "space.user_damping: no parameter of Spark's Estimator; allowed: factors, iterations, regularization",
    ),
    (
        "movie_rating",
        by_spark("als", BY_FOLDS, factors={"low": 2, "high": 9}),
        "als.search: cross_validation draws its folds at random, .*; the split is 'by_time': take tpe",
    ),
    ("purchase_propensity", by_spark("als", "tpe", factors={"low": 1.5, "high": 9}), "'factors' is a whole number; .* 1.5"),
]


@pytest.mark.parametrize(("candidates", "budget", "message"), OF_ROWS)
def test_a_wrong_space_of_rows_is_refused(candidates: Any, budget: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        parse("breast_cancer", candidates, **budget)
    assert len(str(caught.value)) < 400, "it does not quote the whole file"


@pytest.mark.parametrize(("name", "candidates", "message"), OF_INTERACTIONS)
def test_a_wrong_space_of_interactions_is_refused(name: str, candidates: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse(name, candidates, {"kind": "als"} if name == "purchase_propensity" else None)

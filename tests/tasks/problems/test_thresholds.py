"""The threshold of classes: chosen on validation rows or by costs, kept in the export, and used by every figure and answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.training import Costs, ScoringTerms
from tasks.errors import ConfigurationError, NotEnoughData
from tasks.models import SERVED
from tasks.models.base import Examples, load_model, save_model
from tasks.models.bias import Bias
from tasks.models.logistic_regression import LogisticRegressionSpec
from tasks.models.prior import PriorModel
from tasks.problems import problem_of, score_model
from tasks.problems.thresholds import choose_threshold, threshold_of_costs
from tasks.stages.inference.scoring import score_rows
from tests.tasks.models.checkerboard import checkerboard

METRICS = ("f1", "precision", "recall", "accuracy")
TERMS = ScoringTerms(use_case="rare", task=TaskKind.CLASSIFICATION, metrics=METRICS, row_columns=("x", "noise"))
PROBLEM = problem_of(TaskKind.CLASSIFICATION)


def rare(seed: int, rows: int = 4000) -> Examples:
    """Rows of which 1.8 % are of class 1, whose x is larger by 1.1 standard deviations."""
    random = np.random.default_rng(seed)
    target = (random.random(rows) < 0.018).astype(np.int64)
    table = {c.ROW_ID: [f"r{row:05d}" for row in range(rows)], c.TARGET: target}
    return Examples(
        rows=pd.DataFrame(table | {"x": random.normal(size=rows) + 1.1 * target, "noise": random.normal(size=rows)})
    )


def test_rare_positives_are_found() -> None:
    """Nobody has a calibrated probability of 0.5 where 1.8 % are positive."""
    train, validation, holdout = rare(1), rare(2), rare(3)
    model = LogisticRegressionSpec().fit(train, Examples(), 7)
    assert [score_model(model, holdout, TERMS).metrics[name] for name in METRICS[:3]] == [0.0, 0.0, 0.0]
    PROBLEM.calibrate(model, validation, TERMS)
    scored = score_model(model, holdout, TERMS)
    assert scored.metrics["f1"] > 0.07 and scored.metrics["recall"] > 0.1 and scored.metrics["precision"] > 0.04
    told = scored.predictions[c.PREDICTED_CLASS].to_numpy()
    assert np.array_equal(told, (scored.predictions[c.PREDICTION] >= model.class_threshold).astype(int))
    assert scored.metrics["accuracy"] == (told == scored.predictions[c.LABEL]).mean()


def test_every_answer_has_the_class_of_the_judged_threshold(tmp_path: Path) -> None:
    model = LogisticRegressionSpec().fit(rare(1), Examples(), 7)
    PROBLEM.calibrate(model, rare(2), TERMS)
    loaded, _ = load_model(tmp_path / "model", save_model(model, tmp_path / "model", TERMS), SERVED)
    assert loaded.class_threshold == model.class_threshold != 0.5
    holdout = rare(3).rows
    assert holdout is not None
    batch = score_rows(loaded, TERMS, holdout)
    scored = score_model(model, rare(3), TERMS)
    assert batch[c.PREDICTED_CLASS].tolist() == scored.predictions[c.PREDICTED_CLASS].tolist()


@pytest.mark.parametrize(("metric", "threshold"), [("f1", 0.3), ("accuracy", 0.5)])
def test_the_best_threshold_is_chosen(metric: str, threshold: float) -> None:
    probability = np.array([0.1, 0.2, 0.4, 0.4, 0.6, 0.9])
    label = np.array([0.0, 0.0, 1.0, 0.0, 1.0, 1.0])
    assert choose_threshold(probability, label, metric) == pytest.approx(threshold)


def test_the_choice_equals_a_plain_search() -> None:
    random = np.random.default_rng(9)
    for _ in range(30):
        probability, label = random.integers(0, 12, 40) / 12, (random.random(40) < 0.3).astype(float)
        found = choose_threshold(probability, label, "f1")

        def f1(threshold: float, probability: Any = probability, label: Any = label) -> float:
            told = probability >= threshold
            return float(2 * (told * label).sum() / max(told.sum() + label.sum(), 1))

        assert f1(found) == pytest.approx(max(f1(one) for one in np.linspace(0, 1, 200)))


def test_without_positives_or_numbers_nothing_is_chosen() -> None:
    assert choose_threshold(np.array([0.1, 0.2]), np.zeros(2), "f1") == 0.5
    same = np.full(4, 0.25)
    assert choose_threshold(same, np.array([1.0, 0, 0, 0]), "accuracy") == pytest.approx(0.625), "the larger class for all"
    assert choose_threshold(same, np.array([1.0, 0, 0, 0]), "f1") < 0.25
    assert choose_threshold(np.ones(4), np.array([1.0, 0, 0, 0]), "accuracy") == 0.5, "1 is of class 1 everywhere"
    assert choose_threshold(np.array([np.nan, 0.2]), np.ones(2), "f1") == 0.5


def test_costs_decide_where_they_are_stated() -> None:
    assert threshold_of_costs(Costs(false_positive=1.0, false_negative=19.0)) == pytest.approx(0.05)
    model = PriorModel(0.018)
    PROBLEM.calibrate(model, rare(2, 100), TERMS.model_copy(update={"costs": Costs(false_positive=1.0, false_negative=99.0)}))
    assert model.class_threshold == pytest.approx(0.01)
    assert score_model(model, rare(3, 100), TERMS).predictions[c.PREDICTED_CLASS].all(), "0.018 is above 0.01"


# relevant ratings

RATING = ScoringTerms(use_case="thumbs", task=TaskKind.RATING, metrics=("rmse", "ndcg_at_5", "recall_at_5"), k=5)


def thumbs() -> Examples:
    """The ratings of the checkerboard, 5 becoming 1 and 1 becoming 0."""
    found = checkerboard(TaskKind.RATING)
    assert found.features is not None and found.labels is not None
    pairs = found.features.pairs.assign(pair_rating=(found.features.pairs["pair_rating"] > 3).astype(float))
    labels = found.labels.assign(**{c.LABEL: (found.labels[c.LABEL] > 3).astype(float)})
    return Examples(features=type(found.features)(found.features.users, found.features.items, pairs), labels=labels)


def test_thumbs_are_relevant_from_one() -> None:
    examples, problem = thumbs(), problem_of(TaskKind.RATING)
    model = Bias().fit(examples, examples, 7)
    with pytest.raises(NotEnoughData, match=r"none of 48 ratings, the highest 1, reaches recommend.relevant_from \(4\)"):
        score_model(model, examples, RATING)
    terms = RATING.model_copy(update={"relevant_from": 1.0})
    assert problem.complete_terms(terms, examples) == terms
    scored = score_model(model, examples, terms)
    assert scored.metrics["recall_at_5"] > 0.0
    assert [str(one) for one in scored.populations] == [
        "24 users who rated in the label window",
        "24 users who rated in the label window, ratings of 1 or more being relevant",
    ]


@pytest.mark.parametrize(("relevant_from", "which", "remedy"), [(4.0, "none", "1"), (0.0, "all", "1")])
def test_a_threshold_outside_the_scale_is_refused(relevant_from: float, which: str, remedy: str) -> None:
    terms = RATING.model_copy(update={"relevant_from": relevant_from})
    with pytest.raises(ConfigurationError) as refusal:
        problem_of(TaskKind.RATING).complete_terms(terms, thumbs())
    assert f"recommend.relevant_from ({relevant_from:g}): {which} of the 48 ratings" in str(refusal.value)
    assert "from 0 to 1, reach it" in str(refusal.value) and f"relevant_from: {remedy}" in str(refusal.value)
    without_lists = terms.measured_by("rmse")
    assert problem_of(TaskKind.RATING).complete_terms(without_lists, thumbs()) == without_lists

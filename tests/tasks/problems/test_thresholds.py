"""The threshold of classes: chosen on validation rows or by costs, kept in the export, and used by every figure and answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.contracts.base import TaskKind
from tasks.contracts.training import Costs, ScoringTerms
from tasks.errors import ConfigurationError, NotEnoughData
from tasks.models import SERVED
from tasks.models.base import Examples, ServedModel, load_model, save_model
from tasks.models.bias import Bias
from tasks.models.logistic_regression import LogisticRegressionSpec
from tasks.models.popularity import Popularity
from tasks.models.prior import Prior, PriorModel
from tasks.problems import Round, problem_of, score_model
from tasks.problems.thresholds import choose_threshold, threshold_of_costs
from tasks.stages.inference.scoring import score_rows
from tasks.stages.training.rounds import measure_round
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


class Given(ServedModel):
    """Tells the probabilities that the rows carry."""

    kind = "given"

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {}, {}

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: dict[str, Any]) -> Given:
        return cls()

    def predict_rows(self, rows: pd.DataFrame) -> Floats:
        return rows["x"].to_numpy(np.float64)


def noise(seed: int, rows: int = 60, groups: int | None = None) -> Examples:
    random = np.random.default_rng(seed)
    table = pd.DataFrame({c.ROW_ID: [f"r{row:05d}" for row in range(rows)], c.TARGET: np.arange(rows) % 2})
    table["x"] = random.random(rows)
    if groups is not None:
        table[c.SPLIT_GROUP] = [f"g{row // 2 % groups}" for row in range(rows)]
    return Examples(rows=table)


def test_a_threshold_is_chosen_on_other_rows_than_those_that_measure_it() -> None:
    """Of noise the accuracy is 0.5: on the rows that choose the threshold it looks better, apart it does not."""
    terms = TERMS.measured_by("accuracy")
    apart, together = [], []
    for seed in range(60):
        model, examples = Given(), noise(seed)
        apart.append(PROBLEM.measure_apart(model, examples, terms, seed)["accuracy"])
        PROBLEM.calibrate(model, examples, terms)
        together.append(PROBLEM.score(model, examples, terms).metrics["accuracy"])
    assert np.mean(together) > 0.56, "the broken twin"
    assert abs(np.mean(apart) - 0.5) < 0.02
    one = Round(noise(1), Examples(), noise(2))
    trial = measure_round(one, Prior(), terms, 7)
    assert trial == PROBLEM.measure_apart(Prior().fit(one.train, Examples(), 7), one.judged, terms, 7)["accuracy"]


def test_halves_keep_groups_and_classes() -> None:
    halves = PROBLEM.halve(noise(3, groups=12), 7)
    assert len(halves) == 2
    for one, other in halves:
        assert one.rows is not None and other.rows is not None
        assert not set(one.rows[c.SPLIT_GROUP]) & set(other.rows[c.SPLIT_GROUP])
        assert len(one.rows) + len(other.rows) == 60 and one.rows[c.TARGET].nunique() == other.rows[c.TARGET].nunique() == 2
    single = noise(3, groups=1)
    assert PROBLEM.halve(single, 7) == []
    figures = PROBLEM.measure_apart(Given(), single, TERMS.measured_by("accuracy", "roc_auc"), 7)
    assert figures == PROBLEM.score(Given(), single, TERMS.measured_by("accuracy", "roc_auc")).metrics, "at 0.5"


def test_what_does_not_hang_on_the_threshold_is_of_all_rows() -> None:
    examples, terms = noise(4), TERMS.measured_by("roc_auc", "f1")
    figures = PROBLEM.measure_apart(Given(), examples, terms, 7)
    assert list(figures) == ["roc_auc", "f1"]
    assert figures["roc_auc"] == PROBLEM.score(Given(), examples, terms).metrics["roc_auc"]


def test_probabilities_of_lists_are_measured_on_other_users_than_those_that_calibrate_them() -> None:
    problem = problem_of(TaskKind.PROPENSITY)
    examples = checkerboard(TaskKind.PROPENSITY)
    assert examples.features is not None and examples.labels is not None
    halves = problem.halve(examples, 7)
    for one, other in halves:
        assert one.features is not None and other.features is not None and one.labels is not None
        mine, others = set(one.features.users[c.USER_ID]), set(other.features.users[c.USER_ID])
        assert not mine & others and mine | others == set(examples.features.users[c.USER_ID])
        assert set(one.labels[c.USER_ID]) <= mine and one.features.pairs is examples.features.pairs
    model = Popularity().fit(examples, examples, 7)
    terms = ScoringTerms(use_case="shop", task=TaskKind.PROPENSITY, metrics=("calibration_error", "ndcg_at_10"))
    figures = problem.measure_apart(model, examples, terms, 7)
    by_half = []
    for calibrates, judged in halves:
        problem.calibrate(model, calibrates, terms)
        by_half.append(problem.score(model, judged, terms).metrics["calibration_error"])
    assert figures["calibration_error"] == pytest.approx(np.mean(by_half), rel=1e-6)
    assert figures["ndcg_at_10"] == problem.score(model, examples, terms).metrics["ndcg_at_10"]

"""Raw scores -> probabilities: a known curve is found, and scores without information give a flat one."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.contracts.base import TaskKind
from tasks.contracts.training import ScoringTerms
from tasks.models.platt import fit_curve, sigmoid
from tasks.models.popularity import Popularity
from tasks.problems import problem_of, score_model
from tests.tasks.models.checkerboard import checkerboard


def test_a_known_curve_is_found() -> None:
    random = np.random.default_rng(3)
    raw = random.normal(50.0, 20.0, 40_000)
    label = (random.random(len(raw)) < sigmoid(0.05 * raw - 4.0)).astype(float)
    slope, intercept = fit_curve(raw, label)
    assert slope == pytest.approx(0.05, rel=0.05)
    assert intercept == pytest.approx(-4.0, rel=0.05)


@pytest.mark.parametrize(
    ("raw", "label", "share"),
    [
        ([1.0, 2.0, 3.0], [0.0, 0.0, 0.0], 1 / 5),
        ([1.0, 2.0, 3.0], [1.0, 1.0, 1.0], 4 / 5),
        ([2.0, 2.0, 2.0, 2.0], [1.0, 0.0, 0.0, 0.0], 2 / 6),
        ([1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 0.0, 0.0], 3 / 6),
        ([], [], 1 / 2),
    ],
    ids=["no label", "only labels", "all scores equal", "upside down", "nothing"],
)
def test_uninformative_scores_get_the_base_rate(raw: list[float], label: list[float], share: float) -> None:
    slope, intercept = fit_curve(np.array(raw), np.array(label))
    assert slope == 0.0
    assert sigmoid(np.array([intercept]))[0] == pytest.approx(share)


def test_calibration_keeps_the_order_and_lowers_the_error() -> None:
    examples = checkerboard(TaskKind.PROPENSITY)
    model = Popularity().fit(examples, examples, 7)
    terms = ScoringTerms(use_case="test", task=TaskKind.PROPENSITY, metrics=("ndcg_at_5", "calibration_error"), k=5)
    before = score_model(model, examples, terms.measured_by("ndcg_at_5"))
    problem_of(TaskKind.PROPENSITY).calibrate(model, examples, terms)
    after = score_model(model, examples, terms)
    assert after.metrics["ndcg_at_5"] == before.metrics["ndcg_at_5"]
    assert after.metrics["calibration_error"] < 0.05


@pytest.mark.parametrize("task", [TaskKind.RECOMMENDATION, TaskKind.RATING])
def test_other_tasks_are_not_calibrated(task: TaskKind) -> None:
    examples = checkerboard(task)
    model = Popularity().fit(examples, examples, 7)
    problem_of(task).calibrate(model, examples, ScoringTerms(use_case="test", task=task))
    assert model.calibration is None

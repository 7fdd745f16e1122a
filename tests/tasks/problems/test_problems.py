"""Each kind of task has one problem, and the problem agrees with the traits of its task."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.training import ScoringTerms
from tasks.errors import ConfigurationError
from tasks.metrics import allowed_metrics
from tasks.models.base import Examples
from tasks.problems import PROBLEMS, Problem, problem_of
from tasks.stages.training.plots import PLOTS
from tests.tasks.models.checkerboard import checkerboard

ALL = list(PROBLEMS.values())


@pytest.mark.parametrize("problem", ALL, ids=lambda problem: problem.task.value)
class TestEveryProblem:
    def test_its_plots_exist(self, problem: Problem) -> None:
        assert problem.plots and set(problem.plots) <= set(PLOTS)

    def test_it_agrees_with_its_task(self, problem: Problem) -> None:
        task = problem.task
        assert problem_of(task) is problem
        assert (problem.unit == "rows") == task.answers_rows == (problem.label_event is None)
        assert not (problem.keeps_lists and (task.answers_rows or task.rates_pairs))
        assert ("calibration_error" in allowed_metrics(task)) == task.has_probabilities

    def test_calibration_makes_probabilities(self, problem: Problem) -> None:
        assert not problem.calibrates or problem.task.has_probabilities

    def test_a_card_explains_a_missing_calibration(self, problem: Problem) -> None:
        assert (problem.wording.calibration is None) == bool(problem.wording.no_calibration)

    def test_rounds_measure_on_other_data(self, problem: Problem) -> None:
        rounds = problem.make_rounds([checkerboard(problem.task) for _ in range(3)], 2, seed=7)
        assert len(rounds) == 2
        assert all(one.train is not one.judged for one in rounds)


def test_only_interactions_need_earlier_windows() -> None:
    assert [problem.earlier_windows(3) for problem in ALL] == [2, 2, 2, 0]


def test_terms_of_rows_name_the_feature_columns() -> None:
    rows = pd.DataFrame({c.ROW_ID: ["1"], c.TARGET: [0], "stage": ["late"], "radius": [1.0]})
    terms = ScoringTerms(use_case="tumours", task=TaskKind.CLASSIFICATION)
    completed = problem_of(terms.task).complete_terms(terms, Examples(rows=rows))
    assert (completed.row_columns, completed.text_columns) == (("stage", "radius"), ("stage",))


def test_errors_of_a_label() -> None:
    predicted = np.array([0.2, 0.9])
    assert problem_of(TaskKind.CLASSIFICATION).measure_label(predicted, 1.0) == 0.5
    assert problem_of(TaskKind.RATING).measure_label(predicted, 0.5) == pytest.approx(np.sqrt((0.3**2 + 0.4**2) / 2))


def test_a_metric_of_another_task_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no metric 'rmse' for the task 'propensity'"):
        problem_of(TaskKind.PROPENSITY).get_metric("rmse")

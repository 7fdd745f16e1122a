"""Problems: one object for each kind of task, which holds all that differs between them.

To add a kind of task (regression, multiclass classification):

1. one member of `TaskKind` in `tasks.contracts.base`, with the form of its answers and whether they are probabilities,
2. one file here with a `Problem`,
3. one line in `PROBLEMS`.

Models and metrics then declare that they fit it, each in its own file. No other code compares members of `TaskKind`:
`tests/architecture/test_task_kinds.py` refuses it.
"""

from __future__ import annotations

from tasks.contracts.base import TaskKind
from tasks.contracts.training import ScoringTerms
from tasks.metrics import Scored
from tasks.models.base import Examples, ServedModel
from tasks.problems.base import Problem, Round
from tasks.problems.classification import Classification
from tasks.problems.ranking import Propensity, Recommendation
from tasks.problems.rating import Rating

PROBLEMS: dict[TaskKind, Problem] = {
    problem.task: problem
    for problem in (
        Recommendation(),
        Propensity(),
        Rating(),
        Classification(),
    )
}


def problem_of(task: TaskKind) -> Problem:
    """The problem of a kind of task."""
    return PROBLEMS[task]


def score_model(model: ServedModel, examples: Examples, terms: ScoringTerms) -> Scored:
    """Query a model about every unit of the examples, and measure its predictions by `terms.metrics`.

    Units are rows, or the users who have a label.

    Raises
    ------
    NotEnoughData : there is no label.
    ConfigurationError : a metric does not fit the task.
    """
    return problem_of(terms.task).score(model, examples, terms)


__all__ = ["PROBLEMS", "Problem", "Round", "problem_of", "score_model"]

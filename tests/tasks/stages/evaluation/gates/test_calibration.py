"""What `calibration` refuses."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.judging import Verdict
from tasks.contracts.training import Population
from tasks.metrics import UNIT
from tasks.stages.evaluation.gates import GATES
from tasks.stages.evaluation.paired import Answers
from tests.tasks.stages.evaluation.contexts import UNITS, answers, context, graded, rows
from tests.tasks.stages.evaluation.gate_examples import ContextPair, examples_of
from tests.tasks.stages.evaluation.synthetic_pipelines import SyntheticClassification, TwistedSpec

examples = examples_of("calibration", classification={"at_most": 0.08})


@examples.pairs
def make_pairs() -> list[ContextPair]:
    return [
        ({"at_most": 0.05}, context(promise_everybody(0.2)), context(promise_everybody(0.4))),
        (
            {"at_most": 0.08},
            context(graded(1.0), task=TaskKind.CLASSIFICATION),
            context(graded(3.0), task=TaskKind.CLASSIFICATION),
        ),
        (
            {"at_most": 0.5},
            context(graded(1.0), graded(1.0), task=TaskKind.CLASSIFICATION),
            context(graded(3.0), graded(1.0), task=TaskKind.CLASSIFICATION),
        ),
        (
            {"at_most": 0.5},
            context(graded(1.0), task=TaskKind.CLASSIFICATION),
            context(rows("model", np.full(60, np.nan), np.ones(60)), task=TaskKind.CLASSIFICATION),
        ),
    ]


def promise_everybody(probability: float) -> Answers:
    """A recommender that promises 400 known users one item each, and lists it to the 200 who come, 80 of whom buy it."""
    made = answers("challenger", "als", 0.4, prediction=probability, label=(np.arange(UNITS) < 80) * 1.0)
    users = [f"u{row:04d}" for row in range(2 * UNITS)]
    everybody = {c.USER_ID: users, c.PREDICTION: probability, c.LABEL: (np.arange(2 * UNITS) < 80) * 1.0}
    whom = Population(whom="known users, buyers or not", units=len(users), metrics=("probability",))
    evaluation = made.evaluation.model_copy(update={"populations": (whom,)})
    tables = pd.DataFrame({UNIT: users}), pd.DataFrame(everybody)
    return Answers(evaluation, made.units, made.predictions, probabilities=tables)


def test_everybody_is_judged_and_not_only_who_came() -> None:
    """Of those who came 0.4 buy, of all known users 0.2."""
    settings = {"kind": "calibration", "at_most": 0.05}
    gate = GATES.parse(settings, "gates")
    refused, passed = (gate.check(context(promise_everybody(one), promise_everybody(0.2))) for one in (0.4, 0.2))
    assert not refused.passed and "calibration error 0.2000 of 400 known users, buyers or not" in refused.reason
    assert passed.passed and passed.comparisons[0].units == 400, "each population has its own draws"
    slack = GATES.parse(settings | {"at_most": 0.5, "margin": 0.0}, "gates")
    assert not slack.check(context(promise_everybody(0.4), promise_everybody(0.2))).passed, "clearly worse than the champion"


@examples.mutation
def overconfident(pipeline: SyntheticClassification) -> Verdict:
    return pipeline.judge(spec=TwistedSpec(name="overconfident", fault="overconfident"))

"""What `calibration` refuses."""

from __future__ import annotations

import numpy as np

from tasks.contracts.base import TaskKind
from tasks.contracts.judging import Verdict
from tests.tasks.stages.evaluation.contexts import context, graded, rows
from tests.tasks.stages.evaluation.gate_examples import ContextPair, examples_of
from tests.tasks.stages.evaluation.synthetic_pipelines import SyntheticClassification, TwistedSpec

examples = examples_of("calibration", classification={"at_most": 0.08})


@examples.pairs
def make_pairs() -> list[ContextPair]:
    return [
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


@examples.mutation
def overconfident(pipeline: SyntheticClassification) -> Verdict:
    return pipeline.judge(spec=TwistedSpec(name="overconfident", fault="overconfident"))

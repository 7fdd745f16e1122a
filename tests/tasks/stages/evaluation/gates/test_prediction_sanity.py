"""What `prediction_sanity` refuses."""

from __future__ import annotations

import numpy as np

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.judging import Verdict
from tasks.metrics import USER_COVERAGE
from tests.tasks.stages.evaluation.contexts import BETTER, UNITS, context, with_predictions
from tests.tasks.stages.evaluation.gate_examples import ContextPair, examples_of
from tests.tasks.stages.evaluation.synthetic_pipelines import (
    USERS,
    Frames,
    SyntheticClassification,
    SyntheticShop,
    TwistedSpec,
    scores_of,
)

examples = examples_of("prediction_sanity", classification={}, shop={})


@examples.pairs
def make_pairs() -> list[ContextPair]:
    broken = (
        with_predictions({c.RAW_SCORE: [np.nan] + [0.5] * (UNITS - 1)}),
        with_predictions({c.PREDICTION: [np.inf] + [0.5] * (UNITS - 1)}),
        with_predictions({c.PREDICTION: [1.5] + [0.5] * (UNITS - 1)}),
        with_predictions({c.RAW_SCORE: 0.5}),
        with_predictions({USER_COVERAGE: 0.9}),
    )
    return [
        *(({}, context(BETTER), context(one)) for one in broken),
        (
            {"between": [0, 6]},
            context(with_predictions({c.PREDICTION: 4.5}), task=TaskKind.RATING),
            context(with_predictions({c.PREDICTION: 90.0}), task=TaskKind.RATING),
        ),
    ]


def add_outlier(parts: Frames) -> Frames:
    x = parts["holdout"]["x"].to_numpy().copy()
    x[0] = 10.0
    return parts | {"holdout": parts["holdout"].assign(x=x)}


@examples.mutation
def constant_predictions(pipeline: SyntheticClassification) -> Verdict:
    return pipeline.judge(spec=TwistedSpec(name="constant", fault="constant"), alone=True)


@examples.mutation
def a_nan_prediction(pipeline: SyntheticClassification) -> Verdict:
    return pipeline.judge(add_outlier, spec=TwistedSpec(name="nan", fault="nan"))


@examples.mutation
def no_answer_for_some(pipeline: SyntheticShop) -> Verdict:
    return pipeline.judge(np.where((np.arange(USERS) % 10 == 0)[:, None], -np.inf, scores_of(0.8)), "silent")


@examples.mutation
def a_probability_above_one(pipeline: SyntheticShop) -> Verdict:
    """One probability of one user is none."""
    scores = scores_of(0.8)
    scores[3, 2] = 1.7
    return pipeline.judge(scores, "above_one")

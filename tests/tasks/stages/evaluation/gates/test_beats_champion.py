"""What `beats_champion` refuses."""

from __future__ import annotations

import numpy as np

from tasks.contracts.judging import Verdict
from tests.tasks.stages.evaluation.contexts import BETTER, CHAMPION, EQUAL, WORSE, context
from tests.tasks.stages.evaluation.gate_examples import ContextPair, examples_of
from tests.tasks.stages.evaluation.synthetic_pipelines import Frames, SyntheticClassification

examples = examples_of(
    "beats_champion", classification={"metric": "log_loss", "effect": 0.05}, shop={"metric": "ndcg_at_3", "effect": 0.05}
)


@examples.pairs
def make_pairs() -> list[ContextPair]:
    return [
        ({"metric": "ndcg_at_10"}, context(BETTER, CHAMPION), context(WORSE, CHAMPION)),
        ({"metric": "ndcg_at_10"}, context(BETTER, None), context(EQUAL, CHAMPION)),
        (
            {"metric": "ndcg_at_10", "margin": 0.03, "accept": ["better", "not_worse"]},
            context(EQUAL, CHAMPION),
            context(WORSE, CHAMPION),
        ),
    ]


def change_unit(parts: Frames) -> Frames:
    return parts | {"holdout": parts["holdout"].assign(x=1000 * parts["holdout"]["x"])}


def add_noise(parts: Frames) -> Frames:
    rows = parts["train"]
    return parts | {"train": rows.assign(y=np.random.default_rng(5).permutation(rows["y"].to_numpy()))}


@examples.mutation
def another_unit(pipeline: SyntheticClassification) -> Verdict:
    """The holdout's x comes in thousandths."""
    return pipeline.judge(change_unit)


@examples.mutation
def worse_model(pipeline: SyntheticClassification) -> Verdict:
    """The challenger learns from a column without information."""
    return pipeline.judge(add_noise, champion_knows=True)

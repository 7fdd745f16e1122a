"""What `beats_champion` refuses."""

from __future__ import annotations

import numpy as np

from tasks.contracts.judging import JudgedHoldout, PastJudging, Spending, Verdict
from tasks.stages.evaluation.alpha import spend
from tasks.stages.evaluation.gates import GATES
from tests.tasks.stages.evaluation.contexts import BETTER, CHAMPION, EQUAL, WORSE, answers, context
from tests.tasks.stages.evaluation.gate_examples import ContextPair, examples_of
from tests.tasks.stages.evaluation.synthetic_pipelines import (
    AS_OF,
    CHAMPION_AS_OF,
    Frames,
    SyntheticClassification,
    SyntheticShop,
    scores_of,
)

SMALL_GAIN = 0.5  # of the users whose preferences are known; the champion knows those of 0.4

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


@examples.mutation
def worse_than_a_former_champion(pipeline: SyntheticShop) -> Verdict:
    """Better than the champion, which is much worse than one before it."""
    return pipeline.judge(scores_of(0.6), "recovers_a_little", anchor=scores_of(1.0))


@examples.mutation
def judged_by_the_same_days_again(pipeline: SyntheticShop) -> Verdict:
    """A small gain, after nine judgings of the same holdout."""
    day = JudgedHoldout(as_of=AS_OF, first_day=CHAMPION_AS_OF, end=AS_OF)
    past: list[PastJudging] = []
    for _ in range(9):
        past.append(PastJudging(holdout=day, alpha=spend(day, past, 0.05, has_champion=True).alpha, found_better=False))
    return pipeline.judge(scores_of(SMALL_GAIN), "gains_little", spending=spend(day, past, 0.05, has_champion=True))


def test_a_small_gain_passes_the_first_judging() -> None:
    """The broken twin of the mutation: without the earlier judgings the same gain is better."""
    gate = GATES.parse({"kind": "beats_champion", "metric": "ndcg_at_10"}, "gates")
    champion, challenger = CHAMPION, answers("challenger", "als", 0.43, seed=2)
    first = Spending(times=1, alpha=0.0125, spent=0.0125, wealth=0.0125, new_share=1.0)
    tenth = Spending(times=10, alpha=0.00002, spent=0.025, wealth=0.00002, new_share=0.0)
    assert gate.check(context(challenger, champion, spending=first)).passed
    assert not gate.check(context(challenger, champion, spending=tenth)).passed

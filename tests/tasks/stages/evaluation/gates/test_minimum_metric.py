"""What `minimum_metric` refuses."""

from __future__ import annotations

from tasks.contracts.judging import Verdict
from tests.tasks.stages.evaluation.contexts import BASELINE, BETTER, EQUAL, WORSE, answers, context
from tests.tasks.stages.evaluation.gate_examples import ContextPair, examples_of
from tests.tasks.stages.evaluation.synthetic_pipelines import Frames, SyntheticClassification, shuffle_labels

examples = examples_of(
    "minimum_metric",
    classification={"metric": "log_loss", "over_baseline": "prior"},
    shop={"metric": "ndcg_at_3", "over_baseline": "guess"},
)


@examples.pairs
def make_pairs() -> list[ContextPair]:
    return [
        ({"metric": "ndcg_at_10", "at_least": 0.4}, context(BETTER), context(WORSE)),
        ({"metric": "ndcg_at_10", "at_most": 0.4}, context(WORSE), context(BETTER)),
        (
            {"metric": "ndcg_at_10", "over_baseline": "popularity"},
            context(BETTER, baseline=BASELINE),
            context(EQUAL, baseline=BASELINE),
        ),
        ({"metric": "ndcg_at_10", "over_baseline": "popularity"}, context(BETTER, baseline=BASELINE), context(BETTER)),
        (
            {"metric": "ndcg_at_10", "over_baseline": "popularity"},
            context(BETTER, baseline=BASELINE),
            context(answers("challenger", "popularity", 0.9)),
        ),
    ]


def swap_columns(parts: Frames) -> Frames:
    return parts | {"holdout": parts["holdout"].rename(columns={"x": "site", "site": "x"})}


@examples.mutation
def shuffled_labels(pipeline: SyntheticClassification) -> Verdict:
    return pipeline.judge(shuffle_labels)


@examples.mutation
def swapped_columns(pipeline: SyntheticClassification) -> Verdict:
    """In the holdout x and site have changed places."""
    return pipeline.judge(swap_columns)

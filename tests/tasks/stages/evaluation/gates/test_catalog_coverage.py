"""What `catalog_coverage` refuses."""

from __future__ import annotations

import numpy as np

from tasks.contracts.judging import Verdict
from tests.tasks.stages.evaluation.contexts import BETTER, context, holdout, lists
from tests.tasks.stages.evaluation.gate_examples import ContextPair, examples_of
from tests.tasks.stages.evaluation.synthetic_pipelines import ITEMS, POPULAR, USERS, SyntheticShop, scores_of

examples = examples_of("catalog_coverage", shop={"metric": "catalog_coverage_at_3", "at_least": 0.4, "popularity_at_most": 1.5})


@examples.pairs
def make_pairs() -> list[ContextPair]:
    return [
        ({"metric": "catalog_coverage_at_2", "at_least": 0.95}, context(lists("a", True)), context(lists("a", False))),
        ({"metric": "catalog_coverage_at_2", "at_least": 0.5}, context(lists("a", True)), context(BETTER)),
        (
            {"metric": "catalog_coverage_at_2", "at_least": 0.5, "popularity_at_most": 1.5},
            context(lists("a", True), lists("b", True), read_holdout=holdout),
            context(lists("a", False), lists("b", True), read_holdout=holdout),
        ),
    ]


@examples.mutation
def the_same_items_for_all(pipeline: SyntheticShop) -> Verdict:
    scores = np.tile(np.linspace(0.9, 0.1, ITEMS), (USERS, 1)) + 0.001 * scores_of(0.0)
    return pipeline.judge(scores, "same")


@examples.mutation
def popular_items_only(pipeline: SyntheticShop) -> Verdict:
    scores = np.where(np.arange(ITEMS) < 2 * POPULAR, scores_of(0.9), 0.001 * scores_of(0.0))
    return pipeline.judge(scores, "popular")

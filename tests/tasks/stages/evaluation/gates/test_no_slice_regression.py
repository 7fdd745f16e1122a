"""What `no_slice_regression` refuses."""

from __future__ import annotations

import numpy as np

from tasks.contracts.judging import Verdict
from tasks.models.base import Examples
from tests.tasks.stages.evaluation.contexts import (
    BETTER,
    CHAMPION,
    COUNTRIES,
    NEW,
    TABLE,
    context,
    holdout,
    lists,
    shifted,
)
from tests.tasks.stages.evaluation.gate_examples import ContextPair, examples_of
from tests.tasks.stages.evaluation.synthetic_pipelines import (
    IS_NEW_ITEM,
    IS_NEW_USER,
    SyntheticClassification,
    SyntheticShop,
    TwistedSpec,
    scores_of,
)

examples = examples_of(
    "no_slice_regression",
    classification={"metrics": {"log_loss": 0.02}, "slices": ["site"]},
    shop={"metrics": {"ndcg_at_3": 0.05, "recall_at_3": 0.05}, "min_units": 30},
)


@examples.pairs
def make_pairs() -> list[ContextPair]:
    return [
        (
            {"metrics": {"ndcg_at_10": 0.01}, "slices": ["new_users", "light_users", "heavy_users"]},
            context(BETTER, CHAMPION, read_holdout=holdout),
            context(shifted(0.50, NEW, -0.2), CHAMPION, read_holdout=holdout),
        ),
        (
            {"metrics": {"ndcg_at_10": 0.01}, "slices": ["segment"]},
            context(BETTER, CHAMPION, read_holdout=holdout),
            context(shifted(0.50, (COUNTRIES == "France") & ~NEW, -0.25), CHAMPION, read_holdout=holdout),
        ),
        (
            {"metrics": {"recall_at_2": 0.01}, "slices": ["new_items"]},
            context(lists("challenger", True), lists("champion", True), read_holdout=holdout),
            context(lists("challenger", False), lists("champion", True), read_holdout=holdout),
        ),
        (
            {"metrics": {"ndcg_at_10": 0.01}, "slices": ["segment"]},
            context(BETTER, None),
            context(BETTER, CHAMPION, read_holdout=lambda: Examples(rows=TABLE)),
        ),
    ]


@examples.mutation
def better_on_average_worse_on_a_site(pipeline: SyntheticClassification) -> Verdict:
    return pipeline.judge(spec=TwistedSpec(name="forgets_a_site", fault="forgets_a_site"))


@examples.mutation
def worse_for_new_users(pipeline: SyntheticShop) -> Verdict:
    return pipeline.judge(scores_of(0.95, users=~IS_NEW_USER), "no_new_users")


@examples.mutation
def worse_for_new_items(pipeline: SyntheticShop) -> Verdict:
    return pipeline.judge(np.where(IS_NEW_ITEM, 0.0001, scores_of(0.9)), "no_new_items")


@examples.mutation
def loses_new_users_since_a_former_champion(pipeline: SyntheticShop) -> Verdict:
    """No worse than the champion anywhere; a former champion knew every new user."""
    return pipeline.judge(scores_of(0.8), "forgot_new_users", anchor=scores_of(1.0, users=IS_NEW_USER, seed=3))

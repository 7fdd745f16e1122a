"""What `suspicious_improvement` refuses."""

from __future__ import annotations

import numpy as np

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.judging import Verdict
from tests.tasks.stages.evaluation.contexts import context, measured
from tests.tasks.stages.evaluation.gate_examples import ContextPair, examples_of
from tests.tasks.stages.evaluation.synthetic_pipelines import Frames, SyntheticClassification, SyntheticShop, true_probabilities

examples = examples_of(
    "suspicious_improvement",
    classification={"metric": "roc_auc", "beyond": 0.98, "over_champion": 0.3},
    shop={"metric": "ndcg_at_3", "beyond": 0.95},
)


@examples.pairs
def make_pairs() -> list[ContextPair]:
    return [
        (
            {"metric": "ndcg_at_10", "beyond": 0.9},
            context(measured("a", ndcg_at_10=0.8)),
            context(measured("a", ndcg_at_10=0.97)),
        ),
        (
            {"metric": "log_loss", "beyond": 0.01},
            context(measured("a", log_loss=0.2), task=TaskKind.CLASSIFICATION),
            context(measured("a", log_loss=0.001), task=TaskKind.CLASSIFICATION),
        ),
        (
            {"metric": "ndcg_at_10", "over_champion": 0.1},
            context(measured("a", ndcg_at_10=0.45), measured("b", ndcg_at_10=0.4)),
            context(measured("a", ndcg_at_10=0.55), measured("b", ndcg_at_10=0.4)),
        ),
        (
            {"metric": "ndcg_at_10", "over_baseline": 0.3},
            context(measured("a", ndcg_at_10=0.45), baseline=measured("b", ndcg_at_10=0.2)),
            context(measured("a", ndcg_at_10=0.55), baseline=measured("b", ndcg_at_10=0.2)),
        ),
    ]


def leak_label(parts: Frames) -> Frames:
    noise = np.random.default_rng(4)
    return {part: rows.assign(y=rows[c.TARGET] + 0.05 * noise.normal(size=len(rows))) for part, rows in parts.items()}


@examples.mutation
def leaked_label(pipeline: SyntheticClassification) -> Verdict:
    return pipeline.judge(leak_label)


@examples.mutation
def train_test_bleed(pipeline: SyntheticShop) -> Verdict:
    return pipeline.judge(true_probabilities(), "bleed")

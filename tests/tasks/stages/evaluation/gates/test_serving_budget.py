"""What `serving_budget` refuses."""

from __future__ import annotations

from tasks.contracts.judging import Verdict
from tests.tasks.stages.evaluation.contexts import served
from tests.tasks.stages.evaluation.gate_examples import ContextPair, examples_of
from tests.tasks.stages.evaluation.synthetic_pipelines import BUDGET_MS, SyntheticClassification, TwistedSpec

BUDGET = {"p99_ms": BUDGET_MS, "megabytes": 1, "requests": 20}
examples = examples_of(
    "serving_budget",
    classification=BUDGET,
    shop=BUDGET,
    needs_endpoint=True,
)


@examples.pairs
def make_pairs() -> list[ContextPair]:
    return [
        ({"p99_ms": 20, "megabytes": 5}, served(), broken)
        for broken in (
            served(seconds=0.05),
            served(megabytes=6.0),
            served(columns=("x", "z")),
            served(status=503),
            served(opens=False),
        )
    ]


@examples.mutation
def slow_model(pipeline: SyntheticClassification) -> Verdict:
    return pipeline.judge(spec=TwistedSpec(name="slow", fault="slow"))


@examples.mutation
def heavy_model(pipeline: SyntheticClassification) -> Verdict:
    return pipeline.judge(spec=TwistedSpec(name="heavy", fault="heavy"))

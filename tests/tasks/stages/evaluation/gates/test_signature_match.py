"""What `signature_match` refuses."""

from __future__ import annotations

from tasks import columns as c
from tasks.contracts.judging import Verdict
from tests.tasks.stages.evaluation.contexts import LEARNED, TABLE, served
from tests.tasks.stages.evaluation.gate_examples import ContextPair, examples_of
from tests.tasks.stages.evaluation.synthetic_pipelines import Frames, SyntheticClassification, SyntheticShop, scores_of

examples = examples_of("signature_match", classification={}, shop={})


@examples.pairs
def make_pairs() -> list[ContextPair]:
    return [
        ({}, served(), broken)
        for broken in (
            served(signature={"x": "double"}),
            served(signature={"y": "double", "x": "double"}),
            served(signature={"x": "double", "y": "string"}),
            served(table=TABLE.rename(columns={"y": "z"})),
            served(table=TABLE[[c.ROW_ID, c.TARGET, "y", "x"]]),
            served(table=TABLE.astype({"y": str})),
            served(columns=()),
            served(frames={"the Spark frame": LEARNED | {"y": "float"}}),
            served(frames={"the training frame": LEARNED | {"z": "double"}}),
            served(table=TABLE.astype({"y": "int64"})),
        )
    ]


def add_column(parts: Frames) -> Frames:
    return parts | {"holdout": parts["holdout"].assign(z=1.0)}


@examples.mutation
def a_column_more(pipeline: SyntheticClassification) -> Verdict:
    """The holdout has a column that the model did not train on."""
    return pipeline.judge(add_column)


@examples.mutation
def other_signature(pipeline: SyntheticShop) -> Verdict:
    return pipeline.judge(scores_of(0.8), "other_signature", input_column="customer")

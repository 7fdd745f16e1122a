"""Every mutation that the pipeline must stop, with the one guard that must stop it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from tests.proof import data_mutations, promotion_mutations
from tests.proof.proof import Mutation, Workbench
from tests.tasks.stages.evaluation import gate_examples
from tests.tasks.stages.evaluation.gate_examples import SHOP, GateExamples, find_gate_examples, pipeline_of
from tests.tasks.stages.evaluation.synthetic_pipelines import scores_of


def _honest_classification(place: Workbench) -> object:
    return replace(place.classification, with_endpoint=True).judge()


def _honest_shop(place: Workbench) -> object:
    return replace(place.shop, with_endpoint=True).judge(scores_of(0.8), "honest")


def _spoil(spoil: gate_examples.Mutation, name: str, needs_endpoint: bool, place: Workbench) -> object:
    pipeline = place.shop if name == SHOP else place.classification
    return spoil(replace(pipeline, with_endpoint=needs_endpoint))


def mutations_of(examples: GateExamples) -> list[Mutation]:
    """The mutations that the test file of a gate registers."""
    found = []
    for name, spoil in examples.mutations.items():
        pipeline = pipeline_of(spoil)
        honest = _honest_shop if pipeline == SHOP else _honest_classification
        act = partial(_spoil, spoil, pipeline, examples.needs_endpoint)
        found.append(Mutation(name, f"judge/{examples.kind}", act, honest))
    return found


MUTATIONS: tuple[Mutation, ...] = (
    *data_mutations.MUTATIONS,
    *(mutation for examples in find_gate_examples().values() for mutation in mutations_of(examples)),
    *promotion_mutations.MUTATIONS,
)

"""The examples of each kind of gate: contexts that it passes and refuses, and mutations of whole pipelines that it stops.

Each kind has one file in `tests/tasks/stages/evaluation/gates`, which registers them here. To add a gate, add its file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_type_hints

from tasks.contracts.judging import Verdict
from tasks.stages.evaluation.gates.base import Context
from tests.proof.examples import import_examples

PACKAGE = "tests.tasks.stages.evaluation.gates"
CLASSIFICATION, SHOP = "classification", "shop"
Settings = Mapping[str, Any]
ContextPair = tuple[dict[str, Any], Context, Context]  # settings of the gate, a context that it passes, one that it refuses
Mutation = Callable[[Any], Verdict]
M = TypeVar("M", bound=Mutation)


@dataclass
class GateExamples:
    """The examples of one kind.

    entries : pipeline -> the gate's settings there; a pipeline that is not named does not have the gate.
    needs_endpoint : it starts an endpoint for each challenger, which takes seconds.
    """

    kind: str
    entries: Mapping[str, Settings]
    needs_endpoint: bool = False
    make_pairs: Callable[[], list[ContextPair]] = list
    mutations: dict[str, Mutation] = field(default_factory=dict)

    def pairs(self, make: Callable[[], list[ContextPair]]) -> Callable[[], list[ContextPair]]:
        """Decorator: the function makes the pairs of contexts."""
        self.make_pairs = make
        return make

    def mutation(self, spoil: M) -> M:
        """Decorator: the function judges a spoilt pipeline of the class that its argument names; its name is the mutation's."""
        self.mutations[spoil.__name__] = spoil
        return spoil


_FOUND: dict[str, GateExamples] = {}


def examples_of(
    kind: str, *, classification: Settings | None = None, shop: Settings | None = None, needs_endpoint: bool = False
) -> GateExamples:
    """Register the examples of a kind, with the gate's settings in the synthetic pipelines."""
    entries = {name: one for name, one in ((CLASSIFICATION, classification), (SHOP, shop)) if one is not None}
    _FOUND[kind] = GateExamples(kind, entries, needs_endpoint)
    return _FOUND[kind]


def find_gate_examples(*packages: str) -> dict[str, GateExamples]:
    """Kind -> its examples, from the test files of these packages; by default those of the shipped gates."""
    import_examples(packages or (PACKAGE,))
    return dict(_FOUND)


def pipeline_of(mutation: Mutation) -> str:
    """The pipeline that a mutation spoils."""
    name: str = get_type_hints(mutation)["pipeline"].name
    return name

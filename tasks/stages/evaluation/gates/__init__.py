"""The registry of gates. Each is a class with a `kind`.

To add one: a module of this package with a subclass of `Gate`, its line in `GATES`, and
`tests/tasks/stages/evaluation/gates/test_<kind>.py` with what it refuses. Tests, proofs and the table of documentation find
it there.
"""

from tasks.kinds import KindRegistry
from tasks.stages.evaluation.gates.base import Gate

GATES = KindRegistry.of_modules(
    "gate",
    Gate,  # type: ignore[type-abstract]  # only its subclasses are collected
    __name__,
    (
        "champion",
        "no_slice_regression",
        "answers",
        "freshness",
        "serving",
    ),
)

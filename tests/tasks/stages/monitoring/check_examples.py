"""The broken twin of each kind of drift check: a change of calm windows that violates the check.

Each kind has one file in `tests/tasks/stages/monitoring/checks`, which registers its twin here. To add a check, add its file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.proof.examples import import_examples
from tests.tasks.stages.monitoring.samples import Windows

PACKAGE = "tests.tasks.stages.monitoring.checks"
Break = Callable[[Windows], Windows]


@dataclass(frozen=True)
class BrokenTwin:
    """The settings of a check, and a change that violates it."""

    config: Mapping[str, Any]
    broken: Break


_FOUND: dict[str, BrokenTwin] = {}


def broken_twin(kind: str, **config: Any) -> Callable[[Break], Break]:
    """Decorator: the function changes calm windows such that a check with these settings is violated."""

    def register(change: Break) -> Break:
        _FOUND[kind] = BrokenTwin(config, change)
        return change

    return register


def find_check_examples(*packages: str) -> dict[str, BrokenTwin]:
    """Kind -> its broken twin, from the test files of these packages; by default those of the shipped checks."""
    import_examples(packages or (PACKAGE,))
    return dict(_FOUND)

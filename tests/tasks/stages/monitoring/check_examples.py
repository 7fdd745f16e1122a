"""The broken twin of each kind of drift check: how calm windows become such that the check must object.

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
class Twin:
    """The settings of a check, and the change that it must object to."""

    config: Mapping[str, Any]
    broken: Break


_FOUND: dict[str, Twin] = {}


def broken_twin(kind: str, **config: Any) -> Callable[[Break], Break]:
    """Decorator: the function makes calm windows such that a check with these settings must object."""

    def register(change: Break) -> Break:
        _FOUND[kind] = Twin(config, change)
        return change

    return register


def find_check_examples(*packages: str) -> dict[str, Twin]:
    """Kind -> its broken twin, from the test files of these packages; by default those of the shipped checks."""
    import_examples(packages or (PACKAGE,))
    return dict(_FOUND)

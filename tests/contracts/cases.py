"""What the contract tests need to know of a kind of model. The test file of its module states it in `CASES`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from tasks.models.base import ModelSpec


@dataclass(frozen=True)
class Case:
    """Settings for speed. small : on the checkerboard. quick : on large data, with limits of a small machine."""

    small: Mapping[str, Any] = field(default_factory=dict)
    quick: Mapping[str, Any] = field(default_factory=dict)


def case_of(kind: str, spec: type[ModelSpec]) -> Case:
    """The case of a kind, from `tests.tasks.models.test_<module>` for a spec of `tasks.models.<module>`.

    Raises
    ------
    ModuleNotFoundError : the module of the kind has no test file.
    """
    package, _, module = spec.__module__.rpartition(".")
    cases: dict[str, Case] = getattr(import_module(f"tests.{package}.test_{module}"), "CASES", {})
    return cases.get(kind, Case())

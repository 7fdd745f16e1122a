"""Guards: steps on the way from a raw file to the champion that refuse. Each is declared where it is defined.

`tests/proof` lists the declared guards and demands for each an example that it refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from tasks.errors import TitleholderError

Step = TypeVar("Step", bound=Callable[..., Any])


@dataclass(frozen=True)
class Guard:
    """One step, and the errors with which it refuses."""

    step: Callable[..., Any]
    errors: tuple[type[TitleholderError], ...]


GUARDS: dict[str, Guard] = {}  # name of the step -> its guard; filled while the stages are imported


def guard(*errors: type[TitleholderError]) -> Callable[[Step], Step]:
    """Declare that a step refuses with these errors. The step itself stays as it is.

    A server that is down guards nothing, so ServiceUnavailable does not belong here.
    """

    def declare(step: Step) -> Step:
        name = step.__name__
        if name in GUARDS and GUARDS[name].step.__module__ != step.__module__:
            raise ValueError(f"two guards are called '{name}': in {GUARDS[name].step.__module__} and {step.__module__}")
        GUARDS[name] = Guard(step, errors)
        return step

    return declare

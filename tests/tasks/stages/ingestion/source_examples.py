"""The example of each kind of source: a small folder of its files, and faults that it refuses.

Each kind has a test file in `tests/tasks/stages/ingestion`, which registers its example here. To add a source, add its file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tasks.contracts.base import Window
from tests.proof.examples import import_examples

PACKAGE = "tests.tasks.stages.ingestion"
Sample = Callable[[Path], tuple[Path | None, Window]]
S = TypeVar("S", bound=Sample)
Fault = tuple[str, str, str]  # a file of the sample, a text in it (empty: all of it), and what replaces that


@dataclass(frozen=True)
class SourceExample:
    """The example of one kind.

    make : writes the files into a folder, and returns the folder that the source reads (None: it reads none) and the window.
    settings : what the source needs besides its kind.
    faults : name -> a change of the sample that the source must refuse; none for a source that reads no files.
    """

    make: Sample
    settings: Mapping[str, Any] = field(default_factory=dict)
    faults: Mapping[str, Fault] = field(default_factory=dict)


_FOUND: dict[str, SourceExample] = {}
_BY_SERVER: set[str] = set()


def sample(kind: str, *, faults: Mapping[str, Fault] | None = None, **settings: Any) -> Callable[[S], S]:
    """Decorator: the function makes the sample of a kind."""

    def register(make: S) -> S:
        _FOUND[kind] = SourceExample(make, settings, faults or {})
        return make

    return register


def needs_server(kind: str) -> None:
    """Declare that a kind reads from a server, so that its own test file holds its contract."""
    _BY_SERVER.add(kind)


def find_source_examples(*packages: str) -> dict[str, SourceExample]:
    """Kind -> its example, from the test files of these packages; by default those of the shipped sources."""
    import_examples(packages or (PACKAGE,))
    return dict(_FOUND)


def kinds_of_servers() -> set[str]:
    """The kinds that read from a server."""
    import_examples((PACKAGE,))
    return set(_BY_SERVER)

"""Examples are registered by the test file of each kind, and found by importing these files."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path


def import_examples(packages: Iterable[str]) -> None:
    """Import every test file of the packages; each registers the examples of its kind while it is imported."""
    for package in packages:
        for folder in import_module(package).__path__:
            for path in sorted(Path(folder).glob("test_*.py")):
                import_module(f"{package}.{path.stem}")

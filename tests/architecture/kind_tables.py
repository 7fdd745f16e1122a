"""Tables of documentation that are made from the classes of kinds.

`python -m tests.architecture.kind_tables` writes them between the marks in the documents, and a test compares them.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

from tasks.kinds import KindRegistry, Spec
from tasks.settings import ROOT
from tasks.stages.evaluation.gates import GATES
from tasks.stages.monitoring.checks import CHECKS

# document, registry, head of the second column, settings that every kind has
TABLES: tuple[tuple[str, KindRegistry[Any], str, set[str]], ...] = (
    ("docs/gates.md", GATES, "passes if", {"kind", "mode"}),
    ("docs/monitoring.md", CHECKS, "what it checks", {"kind"}),
)


def summary_of(spec: type[Spec]) -> str:
    """The first sentence of a class's docstring, which is its line in the table."""
    text = " ".join((inspect.getdoc(spec) or "").split("\n\n")[0].split())
    return text.removesuffix(".")


def make_table(registry: KindRegistry[Any], head: str, common: set[str]) -> str:
    """One line for each kind: its name, its summary and its settings."""
    lines = [f"| `kind` | {head} | settings |", "|---|---|---|"]
    for kind, spec in registry.kinds.items():
        settings = ", ".join(f"`{name}`" for name in spec.model_fields if name not in common)
        lines.append(f"| `{kind}` | {summary_of(spec)} | {settings} |")
    return "\n".join(lines)


def fill_in(text: str, registry: KindRegistry[Any], head: str, common: set[str]) -> str:
    """The document with its table between the marks.

    Raises
    ------
    ValueError : the document has no marks for this registry.
    """
    begin, end = f"<!-- kinds of {registry.what}: made by tests/architecture/kind_tables.py -->", "<!-- end -->"
    pattern = re.compile(f"{re.escape(begin)}\n.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"expected the marks {begin} and {end}; add them where the table belongs")
    return pattern.sub(lambda _: f"{begin}\n{make_table(registry, head, common)}\n{end}", text)


def write_tables(root: Path = ROOT) -> list[str]:
    """Write all tables; the documents that changed."""
    changed = []
    for name, registry, head, common in TABLES:
        path = root / name
        before = path.read_text()
        after = fill_in(before, registry, head, common)
        if after != before:
            path.write_text(after)
            changed.append(name)
    return changed


if __name__ == "__main__":
    sys.stdout.write("".join(f"{name}\n" for name in write_tables()))

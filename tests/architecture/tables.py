"""Tables in documents that follow from the code. `python -m tests.architecture.tables` writes them, a test compares them.

A table is between `<!-- table: name -->` and `<!-- end -->`. To add one: a function that returns its lines, and its line in
`TABLES`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from tasks.kinds import KindRegistry
from tasks.metrics.families import FAMILIES
from tasks.models import MODELS
from tasks.models.base import ModelSpec, SparkTuned, WarmStart
from tasks.settings import ROOT
from tasks.stages.evaluation.gates import GATES
from tasks.stages.monitoring.checks import CHECKS

MARKED = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def models() -> list[str]:
    """Kind, tasks, first line of the docstring, own settings, limit, warm start, Spark's tuners."""
    header = ["kind", "for", "what it is", "settings", "refuses above", "warm start", "Spark's tuners"]
    rows = (
        [
            f"`{kind}`",
            ", ".join(sorted(spec.tasks)),
            _first_line(spec),
            ", ".join(f"`{name}`" for name in _own_settings(spec)),
            f"`{spec.limit}`" if spec.limit else "",
            "yes" if issubclass(spec, WarmStart) else "",
            ", ".join(sorted(spec.spark_tasks)) if issubclass(spec, SparkTuned) else "",
        ]
        for kind, spec in MODELS.kinds.items()
    )
    return _table(header, rows)


def metrics() -> list[str]:
    """Name, tasks, direction, unit, first line of the docstring."""
    rows = (
        [
            f"`{family.label}`",
            ", ".join(family.tasks),
            "higher" if family.greater_is_better else "lower",
            family.unit,
            _first_line(family.function),
        ]
        for family in FAMILIES.values()
    )
    return _table(["metric", "for", "better when", "unit", "definition"], rows)


def kinds(registry: KindRegistry[Any], head: str, common: Collection[str]) -> list[str]:
    """Kind, first line of the docstring under `head`, and the settings without those `common` to all kinds."""
    rows = (
        [f"`{kind}`", _first_line(spec), ", ".join(f"`{name}`" for name in spec.model_fields if name not in common)]
        for kind, spec in registry.kinds.items()
    )
    return _table(["kind", head, "settings"], rows)


TABLES: dict[str, Callable[[], list[str]]] = {
    "models": models,
    "metrics": metrics,
    "gates": partial(kinds, GATES, "passes if", ("kind", "mode")),
    "checks": partial(kinds, CHECKS, "what it checks", ("kind",)),
}


def written(text: str) -> str:
    """A document whose tables match the code."""
    return MARKED.sub(lambda found: found[1] + "\n".join(TABLES[found[2]]()) + "\n" + found[3], text)


def documents() -> list[Path]:
    """The documents that hold a table."""
    return [path for path in sorted((ROOT / "docs").rglob("*.md")) if MARKED.search(path.read_text())]


def _own_settings(spec: type[ModelSpec]) -> list[str]:
    """The settings that the classes of the kind's own module add, the most general class first."""
    own = {name for cls in spec.__mro__ if cls.__module__ == spec.__module__ for name in vars(cls).get("__annotations__", ())}
    return [name for name in spec.model_fields if name in own and name != "kind"]


def _first_line(thing: Callable[..., object]) -> str:
    """The summary of a docstring, on one line and without a vertical bar."""
    summary = (thing.__doc__ or "").strip().partition("\n\n")[0]
    return re.sub(r"\s+", " ", summary).replace("|", "\\|")


def _table(header: list[str], rows: Iterable[list[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


if __name__ == "__main__":
    for document in documents():
        document.write_text(written(document.read_text()))
        sys.stdout.write(f"{document.relative_to(ROOT)}\n")

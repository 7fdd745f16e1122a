"""All guards on the way from a raw file to the champion, collected from their declarations.

A name is `<step>` or `<step>/<guard>`: `ingest/invoice_files`, `validate/ratings.user_known`, `judge/freshness`, `promote`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

from tasks import stages
from tasks.guards import GUARDS, Guard
from tasks.settings import ROOT
from tasks.stages.evaluation.gates import GATES
from tasks.stages.ingestion.sources import SOURCES
from tasks.stages.validation.suite import load_suite


@cache
def import_stages() -> None:
    """Import every module of the stages, so that all guards are declared."""
    for module in pkgutil.walk_packages(stages.__path__, f"{stages.__name__}."):
        import_module(module.name)


def declared_guards() -> dict[str, Guard]:
    """Step -> its guard, of all modules of the stages."""
    import_stages()
    return dict(GUARDS)


def find_steps() -> dict[str, Callable[..., Any]]:
    """The steps that are declared as guards."""
    return {name: guard.step for name, guard in declared_guards().items()}


def find_guards() -> list[str]:
    """The names of all guards."""
    suites = sorted(path.stem for path in (ROOT / "expectations").glob("*.yaml"))
    rules = [f"{suite}.{rule.rule}" for suite in suites for rule in load_suite(suite, ROOT / "expectations").rules]
    return [
        *find_steps(),
        *(f"ingest/{kind}" for kind, source in SOURCES.kinds.items() if source.refuses_files),
        *(f"validate/{name}" for name in (*suites, *rules)),
        *(f"judge/{kind}" for kind in GATES.kinds),
    ]

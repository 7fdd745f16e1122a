"""All guards on the way from a raw file to the title, found where they are declared. None is listed by hand.

A name is `<step>` or `<step>/<guard>`: `ingest/invoice_files`, `validate/ratings.viewer_known`, `judge/freshness`, `promote`.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from types import FunctionType

from tasks.settings import ROOT
from tasks.stages.evaluation.gates import GATES
from tasks.stages.ingestion.sources import SOURCES
from tasks.stages.validation.suite import load_suite

JOBS = ("features", "training", "promotion", "review")  # of tasks/jobs: the way from a raw file to the champion
PASSES_BY_ITSELF = "ServiceUnavailable"  # a server that is down guards nothing


def find_steps() -> dict[str, FunctionType]:
    """The functions of stages that jobs call and that declare under which conditions they refuse."""
    found: dict[str, FunctionType] = {}
    for name in JOBS:
        job = importlib.import_module(f"tasks.jobs.{name}")
        for node in ast.walk(ast.parse(inspect.getsource(job))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                stage = getattr(job, node.value.id, None)
                if _is_stage(stage) and inspect.isfunction(verb := getattr(stage, node.attr)):
                    found[node.attr] = verb
    return {name: verb for name, verb in found.items() if refusals(verb) - {PASSES_BY_ITSELF}}


def refusals(verb: FunctionType) -> set[str]:
    """The errors that a verb's docstring names."""
    _, _, raises = (inspect.getdoc(verb) or "").partition("Raises\n------\n")
    return {line.split(" :")[0].strip() for line in raises.splitlines() if " : " in line and not line.startswith(" ")}


def _is_stage(module: object) -> bool:
    return inspect.ismodule(module) and module.__name__.startswith("tasks.stages.")


def find_guards() -> list[str]:
    """The names of all guards."""
    suites = sorted(path.stem for path in (ROOT / "expectations").glob("*.yaml"))
    rules = [f"{suite}.{rule.rule}" for suite in suites for rule in load_suite(suite, ROOT / "expectations").rules]
    doors = [kind for kind, source in SOURCES.kinds.items() if _can_refuse(source)]
    return [
        *find_steps(),
        *(f"ingest/{kind}" for kind in doors),
        *(f"validate/{name}" for name in (*suites, *rules)),
        *(f"judge/{kind}" for kind in GATES.kinds),
    ]


def _can_refuse(source: type) -> bool:
    """Whether a source has a door: one that ships inside a library reads no file that could be wrong."""
    return "check_folder" in inspect.getsource(inspect.getmodule(source) or source)

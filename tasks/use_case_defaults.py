"""What a use case has where its file says nothing. The log of each run prints it."""

from __future__ import annotations

from typing import Any

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.problems import problem_of
from tasks.problems.base import Problem


def add_defaults(document: dict[str, Any]) -> dict[str, Any]:
    """A use case's document with the sections that its task makes for it. What it states itself stays.

    A document without a task of ours comes back as it is: the parser reports what is wrong.
    """
    task = document.get("task")
    if not isinstance(task, str) or task not in set(TaskKind):
        return document
    problem = problem_of(TaskKind(task))
    filled = {"title": _title_of(document.get("name")), "features": {}, "split": _split_of(problem, document)} | document
    filled.setdefault("candidates", [{"kind": kind} for kind in problem.defaults.candidates])
    primary, *report = problem.defaults.metrics
    filled["metrics"] = _merge({"primary": primary, "report": report}, filled.get("metrics"))
    filled["validation"] = _merge({"suite": problem.defaults.suite}, filled.get("validation"))
    filled["gates"] = _merge({"checks": _gates_of(problem, filled)}, filled.get("gates"))
    filled["drift"] = _merge({"checks": _checks_of(problem)}, filled.get("drift"))
    return filled


def _merge(defaults: dict[str, Any], stated: Any) -> Any:
    """A section with the keys that it does not state."""
    return {**defaults, **(stated or {})} if isinstance(stated, dict | None) else stated


def _title_of(name: Any) -> str:
    return str(name or "").replace("_", " ").strip().capitalize() or "Untitled"


def _split_of(problem: Problem, document: dict[str, Any]) -> dict[str, Any]:
    """By days; rows without a time of their own by shares of each class."""
    if not problem.task.answers_rows:
        return {"kind": "by_time"}
    source = document.get("source")
    stated = [source.get(key) for key in ("columns", "cells")] if isinstance(source, dict) else []
    has_times = any(isinstance(names, dict) and c.EVENT_AT in names for names in stated)
    return {"kind": "by_time", "holdout_share": 0.25, "validation_share": 0.2} if has_times else {"kind": "stratified"}


def _gates_of(problem: Problem, filled: dict[str, Any]) -> list[dict[str, Any]]:
    """The gates that fit the candidates and the primary metric of a document."""
    default = problem.defaults
    primary = filled["metrics"].get("primary") if isinstance(filled["metrics"], dict) else None
    effect = default.effect if primary == default.metrics[0] else None
    sizes = {} if effect is None else {"effect": effect}
    gates: list[dict[str, Any]] = [
        {"kind": "prediction_sanity"},
        {"kind": "minimum_metric", "metric": primary, "over_baseline": _find_baseline(problem, filled["candidates"])},
        {"kind": "beats_champion", "metric": primary, **sizes},
        {"kind": "serving_budget", "p99_ms": 250, "megabytes": 500},
        {"kind": "signature_match"},
    ]
    if problem.task.has_probabilities:
        gates.append({"kind": "calibration", "at_most": 0.1, "margin": 0.02})
    if not problem.task.answers_rows:
        gates.append({"kind": "freshness", "missing_days": 7})
        if effect is not None:
            gates.append({"kind": "no_slice_regression", "metrics": {primary: effect}})
    return gates


def _find_baseline(problem: Problem, candidates: Any) -> str:
    """The name of the trivial candidate, of the first one where there is none."""
    entries = [one for one in candidates if isinstance(one, dict)] if isinstance(candidates, list) else []
    trivial = problem.defaults.candidates[0]
    chosen = next((one for one in entries if one.get("kind") == trivial), entries[0] if entries else {"kind": trivial})
    return str(chosen.get("name") or chosen.get("kind"))


def _checks_of(problem: Problem) -> list[dict[str, Any]]:
    """Drift checks that need no column of the data by name, beside the item."""
    if problem.task.answers_rows:
        return [
            {"kind": "label_drift", "column": c.TARGET, "method": "jensenshannon", "threshold": 0.2},
            {"kind": "prediction_drift", "method": "jensenshannon", "threshold": 0.3},
        ]
    return [
        {"kind": "column_drift", "columns": [c.ITEM_ID], "method": "jensenshannon", "threshold": 0.3},
        {"kind": "missing_values", "columns": [c.USER_ID, c.ITEM_ID], "threshold": 0.3},
        {"kind": "missing_days"},
        {"kind": "volume"},
        {"kind": "doubled_rows"},
    ]

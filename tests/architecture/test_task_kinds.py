"""No code outside `tasks.contracts` and `tasks.problems` branches on a member of `TaskKind`."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tasks.contracts.base import TaskKind
from tasks.problems import PROBLEMS
from tasks.settings import ROOT

SOURCES = ("tasks", "serving", "dags", "titleholder")
ALLOWED = ("tasks/contracts/", "tasks/problems/")


def find_branches(source: str) -> Iterator[str]:
    """The line of every comparison with a member, every mapping keyed by members, and every `match` on them."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            found = any(_has_member(side) for side in (node.left, *node.comparators))
        elif isinstance(node, ast.Dict):
            found = any(_has_member(key) for key in node.keys if key is not None)
        elif isinstance(node, ast.MatchValue):
            found = _has_member(node.value)
        else:
            found = isinstance(node, ast.Attribute) and node.attr == "is_tabular"
        if found:
            yield f"line {getattr(node, 'lineno', '?')}: {ast.unparse(node)[:80]}"


def _has_member(node: ast.expr) -> bool:
    return any(
        isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name) and one.value.id == "TaskKind"
        for one in ast.walk(node)
    )


def test_no_branch_on_a_kind_of_task() -> None:
    found = [
        f"{path.relative_to(ROOT)} {branch}"
        for folder in SOURCES
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not str(path.relative_to(ROOT)).startswith(ALLOWED)
        for branch in find_branches(path.read_text())
    ]
    assert found == [], "call the task's Problem, or a property of TaskKind"


@pytest.mark.parametrize(
    "source",
    [
        "task is TaskKind.RATING",
        "task in {TaskKind.RATING, TaskKind.PROPENSITY}",
        "{TaskKind.RATING: 1}[task]",
        "match task:\n    case TaskKind.RATING:\n        pass",
        "terms.task.is_tabular",
    ],
)
def test_a_branch_is_found(source: str) -> None:
    assert list(find_branches(source))


def test_a_declaration_is_no_branch() -> None:
    assert not list(find_branches("tasks = frozenset({TaskKind.RATING})\nscore(TaskKind.RATING)"))


def test_every_kind_of_task_has_a_problem() -> None:
    assert set(PROBLEMS) == set(TaskKind)
    assert all(problem.task is task for task, problem in PROBLEMS.items())

"""The examples in the docstrings of metrics run, and every metric states its parameters and has an example."""

from __future__ import annotations

import doctest
import inspect
from importlib import import_module

import numpy as np
import pytest

from tasks.metrics import ranking
from tasks.metrics.families import FAMILIES, LISTS, Family, Shape, metric
from tasks.metrics.names import MODULES


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(name: str) -> None:
    module = import_module(f"tasks.metrics.{name}")
    output: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    for one in doctest.DocTestFinder().find(module, extraglobs={"np": np}):
        runner.run(one, out=output.append)
    assert runner.summarize(verbose=False).attempted > 0
    assert not output, "".join(output)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_parameters_and_an_example_are_documented(family: Family) -> None:
    text = family.function.__doc__ or ""
    assert "    Parameters\n    ----------\n" in text
    assert "    Examples\n    --------\n    >>> " in text


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_the_parameters_fit_the_shape(family: Family) -> None:
    expected = {
        Shape.HITS: ("hits", "relevant"),
        Shape.LISTS: ("items", "hits", "catalogue"),
        Shape.CATALOGUE: ("positions", "items"),
        Shape.PAIRS: ("prediction", "label"),
        Shape.ROWS: ("prediction", "label"),
        Shape.CLASSES: ("chosen", "label"),
        Shape.WHOLE: ("prediction", "label", "weights"),
    }
    assert tuple(inspect.signature(family.function).parameters) == expected[family.shape]


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="'ndcg_at' is registered twice"):
        metric("ndcg_at", Shape.HITS, tasks=LISTS, greater_is_better=True)(ranking.ndcg)

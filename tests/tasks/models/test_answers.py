"""Valid answers pass, and each way to be invalid is described."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.training import ScoringTerms
from tasks.models.answers import find_list_fault, find_probability_fault, find_rating_fault
from tests.tasks.models.checkerboard import checkerboard, features_of, tables, user

TERMS = ScoringTerms(use_case="shop", task=TaskKind.PROPENSITY, k=2)


@pytest.mark.parametrize(
    ("items", "scores", "fault"),
    [
        (("a", "b"), (1.0, 0.5), ""),
        (("a",), (1.0,), ""),
        ((), (), "got 0 items"),
        (("a", "b", "c"), (1.0, 0.5, 0.1), "got 3 items"),
        (("a", "a"), (1.0, 0.5), "got an item twice"),
        (("a", "b"), (1.0, float("nan")), "got a score that is not finite"),
    ],
)
def test_lists(items: tuple[str, ...], scores: tuple[float, ...], fault: str) -> None:
    found = find_list_fault(user(0), items, scores, TERMS, features_of(checkerboard(TaskKind.PROPENSITY)))
    assert found == (f"expected 1 to 2 different items with finite scores for user 'u00', {fault}" if fault else "")


def test_a_user_who_met_all_items_gets_none() -> None:
    met = pd.DataFrame({c.USER_ID: ["ann"], c.ITEM_ID: ["mug"], c.LABEL: [1.0]})
    features = tables(met, TaskKind.PROPENSITY)
    assert find_list_fault("ann", (), (), TERMS.model_copy(update={"exclude_seen": True}), features) == ""
    assert find_list_fault("ann", (), (), TERMS, features).endswith("got 0 items")


def test_probabilities() -> None:
    assert find_probability_fault(np.array([0.0, 1.0]), ["a", "b"]) == ""
    expected = "expected a probability for each of 2 rows, got "
    assert find_probability_fault(np.zeros(3), ["a", "b"]) == f"{expected}an array of shape (3,)"
    for value in (1.5, -0.1, np.nan):
        fault = f"{expected}1 other values, first {value:g} for row b"
        assert find_probability_fault(np.array([0.5, value]), ["a", "b"]) == fault


def test_ratings() -> None:
    assert find_rating_fault(np.array([4.0, 9.0]), 2) == ""
    expected = "expected a finite rating for each of 2 pairs, got "
    assert find_rating_fault(np.zeros(1), 2) == f"{expected}an array of shape (1,)"
    assert find_rating_fault(np.array([1.0, np.inf]), 2) == f"{expected}1 that are not finite"

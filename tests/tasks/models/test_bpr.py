"""BPR: scores of trained users are products of vectors, and other users are folded in."""

from __future__ import annotations

import numpy as np

from tasks.models.base import Examples
from tasks.models.bpr import Bpr, BprModel
from tests.contracts.cases import Case
from tests.tasks.models.checkerboard import tastes

CASES = {"bpr": Case(quick={"factors": 4, "iterations": 2})}


def test_trained_users_keep_their_vectors() -> None:
    features = tastes(60, 40)
    model = Bpr(factors=6, iterations=5).fit(Examples(features), Examples(features), 7)
    assert isinstance(model, BprModel)
    row = 17
    scores, path = model.score_items(str(model.users[row]), features)
    known = [features.item_position[str(item)] for item in model.items]
    assert path == "model"
    np.testing.assert_allclose(scores[known], model.factors @ model.user_factors[row], rtol=1e-6)


def test_other_users_get_a_vector_of_the_usual_length() -> None:
    features = tastes(60, 40)
    model = Bpr(factors=6, iterations=5).fit(Examples(features), Examples(features), 7)
    assert isinstance(model, BprModel)
    vector = model._fold_in(np.array([3, 5]), np.ones(2))
    expected = float(np.linalg.norm(model.user_factors[:, :-1], axis=1).mean())
    np.testing.assert_allclose(np.linalg.norm(vector[:-1]), expected, rtol=1e-5)
    assert vector[-1] == 1.0, "the factor of the items' biases"

"""The propensity regression: its scores, and the weights of its candidates."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.models.base import Examples
from tasks.models.propensity_regression import PropensityRegression, PropensityRegressionModel
from tests.tasks.models.checkerboard import ITEMS, checkerboard, features_of, missing_item, tables, user


def test_repeat_purchases_are_learned() -> None:
    """Each customer buys the same items again; all other items are equally popular."""
    known = features_of(checkerboard(TaskKind.PROPENSITY))
    labels = known.pairs[[c.USER_ID, c.ITEM_ID]].assign(label=1.0)
    examples = Examples(known, labels)
    model = PropensityRegression().fit(examples, examples, 7)
    for number, answer in enumerate(model.recommend([user(0), user(1)], known, k=ITEMS // 2 - 1)):
        assert {int(item[1:]) % 2 for item in answer.items} == {number}
        assert missing_item(number) not in answer.items
    (cold,) = model.recommend(["nobody"], known, k=3)
    assert (cold.path, len(cold.items)) == ("popular", 3)


def test_served_scores_equal_those_of_training() -> None:
    """The three vectors of the served model add up to the stacked features of training."""
    examples = checkerboard(TaskKind.PROPENSITY)
    known = features_of(examples)
    model = PropensityRegression().fit(examples, examples, 7)
    assert isinstance(model, PropensityRegressionModel)
    names = np.repeat(np.array([user(3), "nobody"], dtype=object), len(known.item_ids))
    places = np.tile(np.arange(len(known.item_ids)), 2)
    expected = model.design.stack(known, names, places) @ model.weights + model.intercept
    users = model.design.bounds[0]
    assert users == len(model.design.items)
    scores = np.concatenate([model.score_items(user(3), known)[0], model.score_items("nobody", known)[0]])
    np.testing.assert_allclose(scores, expected, atol=1e-9)


def test_random_candidates_represent_the_catalogue() -> None:
    """Each customer buys one new item of a large catalogue, and one item again: known items are the better prediction.

    Without weights, the new items among the candidates are mostly bought ones, and would rank first.
    """
    size, catalogue = 60, 600
    met = [(f"u{n:02d}", f"i{item:03d}", 5.0) for n in range(size) for item in range(n % 5, 50, 5)]
    met += [("collector", f"i{item:03d}", 5.0) for item in range(catalogue)]
    labels = [(f"u{n:02d}", f"i{item:03d}", 1.0) for n in range(size) for item in (n % 5, n % 5 + 5, 50 + n * 9)]
    columns = [c.USER_ID, c.ITEM_ID, c.LABEL]
    known = tables(pd.DataFrame(met, columns=columns), TaskKind.PROPENSITY)
    examples = Examples(known, pd.DataFrame(labels, columns=columns))
    model = PropensityRegression(popular_items=0, random_items=2).fit(examples, examples, 7)
    (answer,) = model.recommend(["u03"], known, k=10)
    assert set(answer.items) == {f"i{item:03d}" for item in range(3, 50, 5)}

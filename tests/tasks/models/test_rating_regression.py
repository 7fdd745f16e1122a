"""The rating regression: means of users who rate at their own level."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.training import ScoringTerms
from tasks.models.base import Examples
from tasks.models.rating_regression import RatingRegression
from tasks.problems import score_model
from tests.tasks.models.checkerboard import features_of, tables


def test_means_of_many_ratings_are_trusted() -> None:
    """Users rate at their own level: the mean of a user is the rating of every item."""
    random = np.random.default_rng(1)
    level = {f"u{n:02d}": float(n % 5 + 1) for n in range(40)}
    rows = [(name, f"i{random.integers(30):02d}", value) for name, value in level.items() for _ in range(20)]
    met = pd.DataFrame(rows, columns=[c.USER_ID, c.ITEM_ID, c.LABEL]).drop_duplicates([c.USER_ID, c.ITEM_ID])
    labels = pd.DataFrame([(name, "i00", value) for name, value in level.items()], columns=met.columns)
    examples = Examples(tables(met, TaskKind.RATING), labels)
    model = RatingRegression().fit(examples, examples, 7)
    error = score_model(model, examples, ScoringTerms(use_case="test", task=TaskKind.RATING, metrics=("rmse",), k=5)).metrics[
        "rmse"
    ]
    assert error < 0.3
    cold = model.predict_ratings(pd.DataFrame({c.USER_ID: ["new"], c.ITEM_ID: ["new"]}), features_of(examples))
    assert 1.0 <= cold[0] <= 5.0

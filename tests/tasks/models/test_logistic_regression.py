"""Logistic regression: agreement with scikit-learn, and missing columns."""

from __future__ import annotations

import numpy as np
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.errors import ModelError
from tasks.models.logistic_regression import LogisticRegressionSpec
from tests.tasks.models.checkerboard import checkerboard


def test_logistic_regression_agrees_with_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    examples = checkerboard(TaskKind.CLASSIFICATION)
    assert examples.rows is not None
    names = ["mean radius", "mean texture", "worst area"]
    values = examples.rows[names].fillna(examples.rows[names].mean())
    theirs = make_pipeline(StandardScaler(), LogisticRegression(C=0.5, max_iter=2000)).fit(values, examples.rows[c.TARGET])
    ours = LogisticRegressionSpec(regularization=2.0).fit(examples, examples, 7)
    np.testing.assert_allclose(ours.predict_rows(examples.rows), theirs.predict_proba(values)[:, 1], atol=1e-6)


def test_a_missing_column_is_named() -> None:
    examples = checkerboard(TaskKind.CLASSIFICATION)
    assert examples.rows is not None
    model = LogisticRegressionSpec().fit(examples, examples, 7)
    with pytest.raises(ModelError, match="needs the columns worst area, which the features lack"):
        model.predict_rows(examples.rows.drop(columns="worst area"))

"""Steps before a classifier: agreement with scikit-learn's pipeline, and export of every kind with steps."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.training import ScoringTerms
from tasks.errors import NotEnoughData
from tasks.models import MODELS, SERVED
from tasks.models.base import Examples, SparkTuned, load_model, save_model
from tasks.models.logistic_regression import LogisticRegressionSpec
from tasks.models.steps import SteppedSpec
from tests.contracts.cases import case_of

STEPPED = sorted(  # the steps are the same for all kinds; contract tests cover Spark's, because they have a session
    kind for kind, spec in MODELS.kinds.items() if issubclass(spec, SteppedSpec) and not issubclass(spec, SparkTuned)
)
STEPS: dict[str, dict[str, Any]] = {
    "products": {"degree": 2},
    "best": {"best_columns": 2},
    "components": {"components": 2},
    "all": {"degree": 3, "best_columns": 12, "components": 5},
}


def values(size: int = 160) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(4)
    drawn = random.normal(size=(size, 4)) + random.normal(size=(size, 1))
    scaled = (drawn - drawn.mean(axis=0)) / drawn.std(axis=0)
    return scaled, (scaled[:, 0] * scaled[:, 1] > 0).astype(np.int64)


def frame(size: int = 160) -> pd.DataFrame:
    drawn, target = values(size)
    ids: dict[str, Any] = {c.ROW_ID: [f"r{row:03d}" for row in range(len(target))], c.TARGET: target}
    return pd.DataFrame(drawn * 3.0 + 1.0, columns=list("abcd")).assign(**ids)


@pytest.mark.parametrize("settings", STEPS.values(), ids=STEPS)
def test_steps_agree_with_scikit_learn(settings: dict[str, Any]) -> None:
    drawn, target = values()
    spec = LogisticRegressionSpec(**settings)
    steps = spec.learn_steps(drawn, target)
    parts = [PolynomialFeatures(spec.degree, include_bias=False), StandardScaler()]
    parts += [SelectKBest(f_classif, k=spec.best_columns)] if spec.best_columns else []
    parts += [PCA(spec.components, svd_solver="full")] if spec.components else []
    theirs = make_pipeline(*parts).fit(drawn, target)
    fresh = np.random.default_rng(5).normal(size=(30, 4))
    assert steps is not None
    np.testing.assert_allclose(steps.apply(fresh), theirs.transform(fresh), rtol=0, atol=1e-9)


def test_products_learn_an_interaction() -> None:
    rows = frame(600)
    target = rows[c.TARGET].to_numpy() == 1

    def share_right(**settings: Any) -> float:
        model = LogisticRegressionSpec(**settings).fit(Examples(rows=rows[:400]), Examples(), 7)
        return float(((model.predict_rows(rows[400:]) > 0.5) == target[400:]).mean())

    assert share_right() < 0.7
    assert share_right(degree=2, regularization=0.01) > 0.9


@pytest.mark.parametrize("kind", STEPPED)
def test_a_loaded_model_predicts_the_same(kind: str, tmp_path: Path) -> None:
    spec = MODELS.parse({"kind": kind, **case_of(kind, MODELS.kinds[kind]).small, **STEPS["all"]}, "test")
    model = spec.fit(Examples(rows=frame()), Examples(), 7)
    terms = ScoringTerms(use_case="steps", task=TaskKind.CLASSIFICATION)
    digest = save_model(model, tmp_path / "model", terms)
    loaded, _ = load_model(tmp_path / "model", digest, SERVED)
    assert "step_mapping" in loaded.state()[1]
    np.testing.assert_array_equal(loaded.predict_rows(frame()), model.predict_rows(frame()))


def test_without_steps_no_steps_are_exported() -> None:
    model = LogisticRegressionSpec().fit(Examples(rows=frame()), Examples(), 7)
    assert set(model.state()[1]) == {"means", "weights"}


def test_a_constant_column_is_selected_last() -> None:
    drawn, target = values()
    drawn[:, 2] = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        steps = LogisticRegressionSpec(best_columns=3).learn_steps(drawn, target)
    assert steps is not None and not steps.mapping[2].any() and steps.mapping.any(axis=1).sum() == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"best_columns": 9}, "9 is more than the 4 there are"), ({"components": 5}, "5 is more than 160 rows of 4")],
)
def test_more_columns_than_exist_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(NotEnoughData, match=message):
        LogisticRegressionSpec(**settings).learn_steps(*values())

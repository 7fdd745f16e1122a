"""Known answers, limits, and agreement with scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sklearn

from tasks.metrics import classification, ranking, rating
from tasks.metrics.families import FAMILIES
from tasks.settings import ROOT

RANKING = [
    ranking.precision,
    ranking.recall,
    ranking.ndcg,
    ranking.average_precision,
    ranking.reciprocal_rank,
    ranking.hit_rate,
]
PARTS = {
    classification.accuracy: sklearn.accuracy_score,
    classification.precision: sklearn.precision_score,
    classification.recall: sklearn.recall_score,
    classification.f1: sklearn.f1_score,
}


@pytest.mark.parametrize("metric", RANKING)
def test_ranking_limits(metric: Any) -> None:
    hits, relevant = np.array([[1.0, 1.0], [0.0, 0.0]]), np.array([2.0, 3.0])
    assert metric(hits, relevant).tolist() == [1.0, 0.0]
    assert metric(np.zeros((1, 2)), np.zeros(1)).tolist() == [0.0], "no division by zero"


def test_ranking_known_answers() -> None:
    hits, relevant = np.array([[0.0, 1.0, 1.0]]), np.array([4.0])
    ideal = 1 + 1 / np.log2(3) + 0.5
    assert ranking.precision(hits, relevant) == pytest.approx(2 / 3)
    assert ranking.recall(hits, relevant) == pytest.approx(0.5)
    assert ranking.ndcg(hits, relevant) == pytest.approx((1 / np.log2(3) + 0.5) / ideal)
    assert ranking.average_precision(hits, relevant) == pytest.approx((1 / 2 + 2 / 3) / 4)
    assert ranking.reciprocal_rank(hits, relevant) == pytest.approx(0.5)
    assert ranking.catalog_coverage(np.array([0, 1, 1]), 4) == 0.5
    assert ranking.catalog_coverage(np.array([], dtype=np.int64), 4) == 0.0


def test_ndcg_agrees_with_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    labels = (generator.random((40, 30)) < 0.2).astype(float)
    labels[:, 0] = 1.0
    scores = generator.random((40, 30))
    top = np.argsort(-scores, axis=1)[:, :10]
    ours = ranking.ndcg(np.take_along_axis(labels, top, axis=1), labels.sum(axis=1)).mean()
    assert ours == pytest.approx(sklearn.ndcg_score(labels, scores, k=10))


def test_lists_agree_with_scikit_learn() -> None:
    """Of one relevant item each: the share that has it on top, and the inverse of its rank. Of several: average precision."""
    generator = np.random.default_rng(0)
    scores, classes = generator.random((50, 20)), generator.integers(0, 20, 50)
    order, one = np.argsort(-scores, axis=1), np.ones(50)
    labels = np.eye(20)[classes]
    hits = np.take_along_axis(labels, order, axis=1)
    expected = sklearn.top_k_accuracy_score(classes, scores, k=5, labels=np.arange(20))
    assert ranking.hit_rate(hits[:, :5], one).mean() == pytest.approx(expected)
    assert ranking.recall(hits[:, :5], one).mean() == pytest.approx(expected)
    assert ranking.reciprocal_rank(hits, one).mean() == pytest.approx(
        sklearn.label_ranking_average_precision_score(labels, scores)
    )
    labels = (generator.random((50, 20)) < 0.3).astype(float)
    labels[:, 3] = 1.0
    hits = np.take_along_axis(labels, order, axis=1)
    theirs = [sklearn.average_precision_score(row, score) for row, score in zip(labels, scores, strict=True)]
    assert ranking.average_precision(hits, labels.sum(axis=1)) == pytest.approx(theirs)
    theirs = [sklearn.precision_score(row, score >= np.sort(score)[-5]) for row, score in zip(labels, scores, strict=True)]
    assert ranking.precision(hits[:, :5], labels.sum(axis=1)) == pytest.approx(theirs)


def _sample(ties: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    label = (generator.random(300) < 0.3).astype(float)
    prediction = np.clip(0.3 * label + 0.7 * generator.random(300), 0, 1)
    return (prediction.round(1) if ties else prediction), label, generator.integers(0, 4, (5, 300)).astype(float)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(classification.roc_auc, sklearn.roc_auc_score), (classification.pr_auc, sklearn.average_precision_score)],
)
def test_curves_agree_with_scikit_learn_under_every_weighting(ours: Any, theirs: Any, ties: bool) -> None:
    prediction, label, weights = _sample(ties)
    expected = [theirs(label, prediction, sample_weight=row) for row in weights]
    assert ours(prediction, label, weights) == pytest.approx(expected)


@pytest.mark.parametrize("ours", PARTS)
def test_counts_agree_with_scikit_learn(ours: Any) -> None:
    prediction, label, _ = _sample(ties=True)
    chosen = (prediction >= 0.4).astype(float)
    part, weight = ours(chosen, label)
    assert part.sum() / weight.sum() == pytest.approx(PARTS[ours](label, chosen))


def test_losses_agree_with_scikit_learn() -> None:
    prediction, label, _ = _sample(ties=False)
    assert classification.log_loss(prediction, label)[0].mean() == pytest.approx(sklearn.log_loss(label, prediction))
    assert classification.brier(prediction, label)[0].mean() == pytest.approx(sklearn.brier_score_loss(label, prediction))
    assert rating.squared_error(prediction, label).mean() == pytest.approx(sklearn.mean_squared_error(label, prediction))
    assert rating.absolute_error(prediction, label).mean() == pytest.approx(sklearn.mean_absolute_error(label, prediction))


def test_classification_limits() -> None:
    label, once = np.array([0.0, 0.0, 1.0, 1.0]), np.ones((1, 4))
    for curve in (classification.roc_auc, classification.pr_auc):
        assert curve(label, label, once) == 1.0
    assert classification.roc_auc(1 - label, label, once) == 0.0
    assert classification.roc_auc(np.full(4, 0.5), label, once) == 0.5
    assert np.isnan(classification.roc_auc(label, np.ones(4), once)), "one class only"
    assert np.isnan(classification.roc_auc(np.array([np.nan, 0, 0, 1]), label, once))
    assert classification.log_loss(1 - label, label)[0].max() == pytest.approx(36.04, abs=0.01)
    assert classification.precision(np.zeros(4), label)[1].sum() == 0.0


def test_calibration_error() -> None:
    label, once = np.array([0.0, 0.0, 0.0, 1.0]), np.ones((1, 4))
    assert classification.calibration_error(label, label, once) == 0.0
    assert classification.calibration_error(1 - label, label, once) == 1.0
    assert classification.calibration_error(np.full(4, 0.25), label, once) == pytest.approx(0.0), "equal answers share a bin"
    assert classification.calibration_error(np.full(4, 0.75), label, once) == pytest.approx(0.5)
    generator = np.random.default_rng(1)
    honest = generator.random(20_000)
    truth = (generator.random(20_000) < honest).astype(float)
    assert classification.calibration_error(honest, truth, np.ones((1, 20_000)))[0] < 0.02
    assert classification.calibration_error(honest**3, truth, np.ones((1, 20_000)))[0] > 0.2


def test_calibration_error_agrees_with_scikit_learn() -> None:
    from sklearn.calibration import calibration_curve

    generator = np.random.default_rng(8)
    prediction = generator.random(1000)
    label = (generator.random(1000) < prediction**2).astype(float)
    true, predicted = calibration_curve(label, prediction, n_bins=10, strategy="quantile")
    gaps, once = np.abs(true - predicted), np.ones((1, 1000))
    assert classification.calibration_error(prediction, label, once) == pytest.approx(gaps.mean(), abs=2e-3)
    assert classification.squared_calibration_error(prediction, label, once) == pytest.approx((gaps**2).mean(), abs=1e-3)


def test_r2_agrees_with_scikit_learn_under_every_weighting() -> None:
    generator = np.random.default_rng(4)
    label = generator.integers(1, 6, 200).astype(float)
    prediction, weights = label + generator.normal(0, 1, 200), generator.integers(0, 4, (3, 200)).astype(float)
    expected = [sklearn.r2_score(label, prediction, sample_weight=row) for row in weights]
    assert rating.r2(prediction, label, weights) == pytest.approx(expected)
    once = np.ones((1, 200))
    assert rating.r2(label, label, once) == pytest.approx(1.0)
    assert rating.r2(np.full(200, label.mean()), label, once) == pytest.approx(0.0)
    assert np.isnan(rating.r2(prediction, np.full(200, 3.0), once)), "nothing to explain"


def test_gain_at_top_decile() -> None:
    label, once = np.r_[np.ones(10), np.zeros(90)], np.ones((1, 100))
    assert classification.gain_at_top_decile(label, label, once) == pytest.approx(1.0)
    assert classification.gain_at_top_decile(1 - label, label, once) == pytest.approx(0.0)
    assert classification.gain_at_top_decile(np.full(100, 0.3), label, once) == pytest.approx(0.1), "ties: as by chance"
    half = np.r_[np.ones(5), np.full(5, 0.1), np.full(90, 0.5)]
    assert classification.gain_at_top_decile(half, label, once) == pytest.approx(0.5)
    prediction, label, weights = _sample(ties=False)
    repeated = [np.repeat(np.arange(300), row.astype(int)) for row in weights]
    plain = [classification.gain_at_top_decile(prediction[r], label[r], np.ones((1, len(r))))[0] for r in repeated]
    assert classification.gain_at_top_decile(prediction, label, weights) == pytest.approx(plain), "a weight is so many rows"
    assert np.isnan(classification.gain_at_top_decile(prediction, np.zeros(300), weights)).all()


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.influence])
def test_the_influence_is_the_derivative_by_the_weight(name: str, ties: bool) -> None:
    """The gain at the top decile has steps, whose mean alone can be known."""
    generator, many = np.random.default_rng(5), 300
    signal = generator.normal(size=many)
    label = (generator.random(many) < 1 / (1 + np.exp(-signal))).astype(float)
    prediction = (1 / (1 + np.exp(-signal - generator.normal(0, 0.5, many)))).round(1 if ties else 9)
    family, step = FAMILIES[name], 1e-4 * np.eye(many)
    assert family.influence is not None
    found = family.influence(prediction, label)
    up, down = (family.function(prediction, label, 1 + sign * step) for sign in (1, -1))
    expected = (up - down) / 2e-4 * many
    if name == "gain_at_top_decile":
        assert np.corrcoef(found, expected)[0, 1] > 0.6
    else:
        assert found == pytest.approx(expected, abs=1e-6)
    assert found.mean() == pytest.approx(0, abs=1e-9)
    assert np.isnan(family.influence(prediction, np.zeros(many))).all(), "one class only"


ASKED_FOR = {
    "rmse",
    "mae",
    "r2",
    "accuracy",
    "precision",
    "recall",
    "f1",
    "roc_auc",
    "pr_auc",
    "log_loss",
    "brier",
    "calibration_error",
    "precision_at",
    "recall_at",
    "map_at",
    "ndcg_at",
    "mrr_at",
    "hit_rate_at",
    "catalog_coverage_at",
    "novelty_at",
    "diversity_at",
    "popularity_bias_at",
    "gain_at_top_decile",
    "revenue_at",
}


def test_metrics_have_a_formula_and_are_documented() -> None:
    assert set(FAMILIES) >= ASKED_FOR
    document = (ROOT / "docs" / "models.md").read_text()
    for name, family in FAMILIES.items():
        assert len(family.function.__doc__ or "") > 40, name
        assert f"`{family.label}`" in document, name

"""Metrics of what is in the lists: known answers and limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.training import ScoringTerms
from tasks.metrics import get_metric, lists
from tasks.metrics.lists import Catalogue
from tasks.models.popularity import Popularity
from tasks.problems import score_model
from tests.tasks.models.checkerboard import checkerboard

# Four items: all users met 0; users 0 and 1 met 1; no user met 3.
CATALOGUE = Catalogue(
    users=np.array([0, 0, 1, 1, 2, 2, 3]), items=np.array([0, 1, 0, 1, 0, 2, 0]), size=4, prices=np.array([1.0, 2.0, 4.0, 8.0])
)
NOTHING = np.full((1, 2), -1)


@pytest.mark.parametrize("metric", [lists.novelty, lists.diversity, lists.popularity_bias, lists.revenue])
def test_an_empty_list_counts_as_zero(metric: Callable[..., Any]) -> None:
    assert metric(NOTHING, np.zeros((1, 2)), CATALOGUE).tolist() == [0.0]
    empty = Catalogue(np.empty(0, np.int64), np.empty(0, np.int64), 0, np.empty(0))
    assert metric(NOTHING, np.zeros((1, 2)), empty).tolist() == [0.0]


def test_novelty_is_surprise_in_bits() -> None:
    found = lists.novelty(np.array([[0, -1], [3, -1], [1, 3]]), np.zeros((3, 2)), CATALOGUE)
    assert found == pytest.approx([0.0, np.log2(5), (np.log2(5 / 3) + np.log2(5)) / 2])


def test_popularity_bias_is_a_share_of_the_catalogue() -> None:
    assert lists.popularity_bias(np.array([[0, -1], [3, -1]]), np.zeros((2, 2)), CATALOGUE) == pytest.approx([0.875, 0.125])
    everything = lists.popularity_bias(np.array([[0, 1, 2, 3]]), np.zeros((1, 4)), CATALOGUE)
    assert everything == pytest.approx([0.5]), "the whole catalogue is not biased"


def test_diversity_is_one_minus_the_mean_cosine() -> None:
    alike = 2 / np.sqrt(4 * 2)  # two users met both 0 and 1
    found = lists.diversity(np.array([[0, 1], [1, 2], [1, -1], [3, 2]]), np.zeros((4, 2)), CATALOGUE)
    assert found == pytest.approx([1 - alike, 1.0, 0.0, 1.0])
    vectors = np.zeros((4, 4))
    vectors[CATALOGUE.items, CATALOGUE.users] = 1.0
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1.0)
    cosines = [vectors[a] @ vectors[b] for a, b in ((0, 1), (0, 2), (1, 2))]
    assert lists.diversity(np.array([[0, 1, 2]]), np.zeros((1, 3)), CATALOGUE) == pytest.approx([1 - np.mean(cosines)])


def test_revenue_counts_hits_only() -> None:
    found = lists.revenue(np.array([[0, 2], [3, 1], [3, -1]]), np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0]]), CATALOGUE)
    assert found == pytest.approx([2.5, 1.0, 4.0])


def test_a_model_is_scored_by_list_metrics() -> None:
    names = ("novelty_at_3", "diversity_at_3", "popularity_bias_at_3", "revenue_at_3", "precision_at_3")
    examples = checkerboard(TaskKind.PROPENSITY)
    scored = score_model(
        Popularity().fit(examples, examples, 7),
        examples,
        ScoringTerms(use_case="test", task=TaskKind.PROPENSITY, metrics=names, k=3),
    )
    assert scored.metrics["revenue_at_3"] == pytest.approx(2.5 * scored.metrics["precision_at_3"]), "all cost 2.5"
    assert scored.metrics["novelty_at_3"] > 0.0
    assert 0.0 <= scored.metrics["diversity_at_3"] <= 1.0
    assert scored.metrics["popularity_bias_at_3"] >= 0.5
    assert scored.units["novelty_at_3__weight"].tolist() == [1.0] * len(scored.units)
    for name in names:
        assert get_metric(name, TaskKind.PROPENSITY).resamples


def test_missing_prices_count_as_zero() -> None:
    features = checkerboard(TaskKind.PROPENSITY).features
    assert features is not None
    priceless = type(features)(features.users, features.items.drop(columns="item_mean_price"), features.pairs)
    assert Catalogue.of(priceless).prices.sum() == 0.0
    assert len(Catalogue.of(features).met) == len(pd.unique(features.items[c.ITEM_ID]))

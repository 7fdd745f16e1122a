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
from tasks.models.base import Examples
from tasks.models.popularity import Popularity
from tasks.problems import score_model
from tests.tasks.models.checkerboard import aged, checkerboard, features_of

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


LIST_METRICS = ("catalog_coverage_at_3", "novelty_at_3", "popularity_bias_at_3", "diversity_at_3")


@pytest.mark.parametrize("dead", [0, 3000, 12_000])
def test_no_list_metric_depends_on_how_old_a_shop_is(dead: int) -> None:
    """The same lists, while 0, 3,000 and 12,000 items are sold no more. Coverage was 0.754, 0.075 and 0.020 of all."""
    young = checkerboard(TaskKind.PROPENSITY)
    terms = ScoringTerms(use_case="test", task=TaskKind.PROPENSITY, metrics=LIST_METRICS, k=3)
    model = Popularity().fit(young, young, 7)
    expected = score_model(model, young, terms)
    old = Examples(features=aged(features_of(young), dead), labels=young.labels)
    found = score_model(model, old, terms)
    assert found.predictions[c.ITEM_ID].tolist() == expected.predictions[c.ITEM_ID].tolist()
    assert found.metrics == pytest.approx(expected.metrics)


def test_a_random_list_has_a_popularity_bias_of_a_half_in_an_old_shop() -> None:
    features = aged(features_of(checkerboard(TaskKind.PROPENSITY)), 500)
    on_sale = np.flatnonzero(features.on_sale)
    assert 0 < len(on_sale) == len(features.item_ids) - 500
    found = lists.popularity_bias(on_sale[None, :], np.zeros((1, len(on_sale))), Catalogue.of(features))
    assert found == pytest.approx([0.5])


def test_an_item_that_is_sold_no_more_shows_nothing_of_the_catalogue() -> None:
    features = aged(features_of(checkerboard(TaskKind.PROPENSITY)), 2)
    assert [str(item) for item in features.item_ids[~features.on_sale]] == ["x00000", "x00001"]
    uncounted = features.items.drop(columns=[name for name in features.items if str(name).startswith("item_orders_")])
    assert type(features)(features.users, uncounted, features.pairs).on_sale.all(), "nothing is counted, so nothing is known"

"""Distances of counts with known answers, and merged bins whose distance is not noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon as scipy_jensenshannon

from tasks.metrics.distances import jensenshannon, merge_rare_bins, psi
from tasks.models.smoke_test import count_scores


def merged_psi(reference: list[int], current: list[int]) -> float:
    return psi(*merge_rare_bins(reference, current))


def scores(mean: float, count: int, seed: int, spread: float = 0.1) -> list[int]:
    """Counts of normally distributed scores in the bins of the endpoint."""
    return [int(one) for one in count_scores(np.random.default_rng(seed).normal(mean, spread, count))]


def test_distances_have_known_answers() -> None:
    assert psi([500, 500], [800, 200]) == pytest.approx(0.3 * np.log(1.6) + 0.3 * np.log(2.5))
    assert psi([9, 0], [0, 9]) == pytest.approx(2 * (1 - 1e-4) * np.log(1e4))
    assert jensenshannon([500, 500], [800, 200]) == pytest.approx(scipy_jensenshannon([0.5, 0.5], [0.8, 0.2]))
    assert jensenshannon([9, 0], [0, 9]) == pytest.approx(np.log(2) ** 0.5)


def test_psi_of_merged_bins_has_known_answers() -> None:
    assert merged_psi([500, 500], [500, 500]) == 0.0
    expected = (0.9 - 0.5) * math.log(0.9 / 0.5) + (0.1 - 0.5) * math.log(0.1 / 0.5)
    assert merged_psi([50_000, 50_000, 0], [90_000, 10_000, 0]) == pytest.approx(expected, rel=1e-3)
    assert merged_psi([1000, 0], [0, 1000]) > 10


def test_merging_keeps_totals_and_leaves_no_rare_bin() -> None:
    before, now = merge_rare_bins([0, 1, 2, 60, 1, 36, 0, 0], [3, 0, 0, 30, 2, 65, 0, 0])
    assert (before.tolist(), now.tolist()) == ([63, 37], [33, 67])
    assert [one.tolist() for one in merge_rare_bins([1, 1], [1, 1])] == [[2], [2]]
    assert [one.tolist() for one in merge_rare_bins([10, 10], [10, 10])] == [[10, 10], [10, 10]]


@pytest.mark.parametrize(("spread", "most"), [(0.1, 0.6), (1.0, 1.0), (3.0, 1.0)])
def test_noise_of_few_scores_is_no_shift(spread: float, most: float) -> None:
    """The smallest samples that the bake period compares stay below its default limit of 1."""
    for reference, current in ((50, 200), (100, 100), (200, 200)):
        noise = [merged_psi(scores(0.5, reference, s, spread), scores(0.5, current, s + 1000, spread)) for s in range(200)]
        assert max(noise) < most


def test_merging_is_needed_where_bins_are_many() -> None:
    """Without it the noise of 50 scores, of which a few bins are empty by chance, exceeds the limit."""
    noise = [psi(scores(0.5, 50, s, 1.0), scores(0.5, 200, s + 1000, 1.0)) for s in range(200)]
    assert max(noise) > 1.0

"""The first k of each row: as sorting everything gives them, ties by place, whatever the shape."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tasks.models.base import _top


@pytest.mark.parametrize("size", [1, 7, 90, 700])
@pytest.mark.parametrize("levels", [1, 3, 10_000])  # all tied, mostly tied, hardly tied
def test_the_first_k_are_those_that_sorting_gives(size: int, levels: int) -> None:
    random = np.random.default_rng(size + levels)
    scores = random.integers(0, levels, (40, size)).astype(np.float64)
    scores[random.random(scores.shape) < random.random((40, 1)) - 0.3] = -np.inf
    for k in (1, 5, 20):
        starts, places, best = _top(scores, k)
        for row, (first, end) in enumerate(pairwise(starts)):
            finite = np.flatnonzero(np.isfinite(scores[row]))
            expected = finite[np.argsort(-scores[row, finite], kind="stable")][:k]
            assert places[first:end].tolist() == expected.tolist()
            assert best[first:end].tolist() == scores[row, expected].tolist()

"""How far two samples of counts in the same bins are apart. The one definition for drift checks and the bake period.

Both distances are effect sizes over shares. PSI reacts strongly to a bin that is empty on one side, so its bins must be few
enough for both samples: drift checks cut them so (`tasks.stages.monitoring.bins`), and bins that are fixed in advance are
merged by `merge_rare_bins`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

EMPTY_SHARE = 1e-4  # what an empty share counts as, as in Evidently
EXPECTED_PER_BIN = 5.0  # rows; a bin that is empty by chance counts far more than its share


def psi(reference: ArrayLike, current: ArrayLike) -> float:
    """Population stability index: the sum of (c - r) * ln(c / r) over the bins, of the shares r and c.

    0 for equal shares; 0.1 is commonly called a moderate and 0.2 a large shift. An empty share counts as 0.0001.

    Parameters
    ----------
    reference, current : (bins,) counts, at least one of each above 0.
    """
    return float(psi_of_pairs(reference, current))


def jensenshannon(reference: ArrayLike, current: ArrayLike) -> float:
    """The square root of the Jensen-Shannon divergence in nats: 0 for equal shares, 0.83 for disjoint ones.

    Parameters
    ----------
    reference, current : (bins,) counts, at least one of each above 0.
    """
    return float(jensenshannon_of_pairs(reference, current))


def psi_of_pairs(reference: ArrayLike, current: ArrayLike) -> NDArray[np.float64]:
    """`psi` of many pairs: (..., bins) counts -> (...) distances."""
    r, c = (np.where(share > 0, share, EMPTY_SHARE) for share in _shares(reference, current))
    return np.asarray(((c - r) * np.log(c / r)).sum(axis=-1))


def jensenshannon_of_pairs(reference: ArrayLike, current: ArrayLike) -> NDArray[np.float64]:
    """`jensenshannon` of many pairs: (..., bins) counts -> (...) distances."""
    r, c = _shares(reference, current)
    middle = np.where(r + c > 0, (r + c) / 2, 1)
    halves = [(share * np.log(np.where(share > 0, share / middle, 1))).sum(axis=-1) / 2 for share in (r, c)]
    return np.asarray(np.sqrt(np.maximum(0.0, halves[0] + halves[1])))


def merge_rare_bins(reference: Sequence[int], current: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Neighbouring bins merged until each is expected at least 5 times in the smaller sample, by the mean of both shares.

    Returns
    -------
    reference, current : (merged bins,) counts with the same totals.
    """
    r, c = _shares(reference, current)
    expected = (r + c) / 2 * min(sum(reference), sum(current))
    starts, mass = [0], 0.0
    for place, rows in enumerate(expected):
        if mass >= EXPECTED_PER_BIN:
            starts.append(place)
            mass = 0.0
        mass += rows
    if mass < EXPECTED_PER_BIN and len(starts) > 1:  # the rest belongs to the last bin that is large enough
        starts.pop()
    before, now = (np.add.reduceat(np.asarray(counts, dtype=np.int64), starts) for counts in (reference, current))
    return before, now


def _shares(*samples: ArrayLike) -> list[NDArray[np.float64]]:
    counts = [np.asarray(sample, dtype=np.float64) for sample in samples]
    return [one / one.sum(axis=-1, keepdims=True) for one in counts]

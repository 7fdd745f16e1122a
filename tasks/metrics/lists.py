"""Metrics of what is in the lists, beyond whether it was right; one function each, one value a user.

Shapes: `items` is (users, k), the place of each recommended item in the catalogue, -1 where a list is shorter; `hits` is the
same shape, 1.0 where the item is relevant. A user without a recommendation counts as zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.arrays import Floats
from tasks.models.base import FeatureTables

Places = NDArray[np.int64]
Measure = Callable[[Places, Floats, "Catalogue"], Floats]


@dataclass(frozen=True)
class Catalogue:
    """What is known of the items: how many users met each, of how many users, and its mean price (0 without one).

    `users`, `items`: who met what, one entry a pair.
    """

    users: Places
    items: Places
    size: int
    prices: Floats

    @classmethod
    def of(cls, features: FeatureTables) -> Catalogue:
        names, starts = features.bounds
        users = np.repeat(np.arange(len(names)), np.diff(starts))
        items = features.sorted_items
        prices = items.get("item_mean_price")
        known = np.zeros(len(items)) if prices is None else np.nan_to_num(prices.to_numpy(np.float64, na_value=0.0))
        return cls(users, features.sorted_pairs["item_position"].to_numpy(), len(items), known)

    @property
    def met(self) -> Floats:
        """How many users met each item."""
        return np.bincount(self.items, minlength=self.size).astype(np.float64)


def novelty(items: Places, hits: Floats, catalogue: Catalogue) -> Floats:
    """Mean of -log2(share of users who met the item), in bits: 0 if everybody met it, log2(users + 1) if nobody did.

    One more user than there are is taken to have met each item, as an unknown item's surprise would have no end. Zhou and
    others (2010), Solving the apparent diversity-accuracy dilemma of recommender systems.
    """
    users = float(catalogue.users.max(initial=-1) + 1)
    return _mean(items, -np.log2((catalogue.met + 1.0) / (users + 1.0)))


def popularity_bias(items: Places, hits: Floats, catalogue: Catalogue) -> Floats:
    """Mean over the list of the share of the catalogue that fewer users met (a tie counts half): 0.5 for lists at random.

    Near 1 where only the most popular items are recommended.
    """
    met = catalogue.met
    ordered = np.sort(met)
    below, up_to = (np.searchsorted(ordered, met, side) for side in ("left", "right"))
    return _mean(items, (below + up_to) / (2.0 * max(len(met), 1)))


def diversity(items: Places, hits: Floats, catalogue: Catalogue) -> Floats:
    """1 - the mean cosine of each two items of the list, by the users who met them; 0 for a list of one item.

    Ziegler and others (2005), Improving recommendation lists through topic diversification.
    """
    from scipy.sparse import csr_matrix

    length = np.sqrt(np.maximum(catalogue.met, 1.0))
    users = int(catalogue.users.max(initial=-1)) + 1
    entries = (1.0 / length[catalogue.items], (catalogue.items, catalogue.users))
    vectors = csr_matrix(entries, shape=(catalogue.size, max(users, 1)))
    found = np.zeros(len(items))
    for row, mine in enumerate(items):
        listed = vectors[mine[mine >= 0]]
        count = listed.shape[0]
        if count > 1:
            # The squared length of the sum is the sum of all cosines, an item's with itself among them.
            total = float(np.square(np.asarray(listed.sum(axis=0))).sum())
            alone = float(listed.multiply(listed).sum())
            found[row] = 1.0 - (total - alone) / (count * (count - 1))
    return found


def revenue(items: Places, hits: Floats, catalogue: Catalogue) -> Floats:
    """Sum over the hits of the item's mean price, / k: the money that came in for each place in the list. One piece each."""
    return np.asarray((hits * _values(items, catalogue.prices)).sum(axis=1) / items.shape[1])


def _mean(items: Places, values: Floats) -> Floats:
    count = (items >= 0).sum(axis=1)
    total = _values(items, values).sum(axis=1)
    mean: Floats = np.divide(total, count, out=np.zeros(len(items)), where=count > 0)
    return mean


def _values(items: Places, values: Floats) -> Floats:
    return np.asarray(np.append(values, 0.0)[items])  # -1, for no item, is the last

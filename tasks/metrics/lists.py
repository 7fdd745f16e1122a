"""Metrics of the content of top-k lists, beside whether the items are relevant: one value for each user.

All functions receive the same three parameters:

items : (users, k), the place of each recommended item in the catalogue, -1 where a list is shorter than k.
hits : (users, k), 1.0 where the item at that rank is relevant, else 0.0.
catalogue : what is known of all items, and who met them in the longest lookback: no figure depends on how old a shop is.

They return (users,). A user without a recommendation counts as zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.arrays import Floats
from tasks.metrics.families import LISTS, SHOPS, Shape, metric
from tasks.models.base import FeatureTables

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Catalogue:
    """Who met which item lately, what is on sale, and what the items cost.

    users, items : (pairs,), the number of the user and the place of the item of each pair that met in the longest lookback.
    size : the number of items. prices : (size,), mean prices, 0 for an unknown one.
    on_sale : (size,), whether the item was sold in the longest lookback; None: all were.
    """

    users: Places
    items: Places
    size: int
    prices: Floats
    on_sale: NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, features: FeatureTables) -> Catalogue:
        """The catalogue of a set of features, its items in the order of `features.item_ids`."""
        names, starts = features.bounds
        pairs, items, is_recent = features.sorted_pairs, features.sorted_items, features.is_recent_pair
        users = np.unique(np.repeat(np.arange(len(names)), np.diff(starts))[is_recent], return_inverse=True)[1]
        prices = items.get("item_mean_price")
        known = np.zeros(len(items)) if prices is None else np.nan_to_num(prices.to_numpy(np.float64, na_value=0.0))
        return cls(users, pairs["item_position"].to_numpy()[is_recent], len(items), known, features.on_sale)

    @property
    def met(self) -> Floats:
        """How many users met each item, (size,)."""
        return np.bincount(self.items, minlength=self.size).astype(np.float64)


@metric("novelty_at", Shape.LISTS, tasks=LISTS, greater_is_better=True, unit="bits")
def novelty(items: Places, hits: Floats, catalogue: Catalogue) -> Floats:
    """Mean of -log2(share of recent users who met the item): 0 if every user met it, log2(users + 1) if none did.

    One user is added to those who met each item and to all users, so that an unknown item has a finite surprise. Zhou and
    others (2010), Solving the apparent diversity-accuracy dilemma of recommender systems.

    Parameters
    ----------
    items : (users, k), places in the catalogue, -1 for none.
    hits : (users, k), not used.
    catalogue : of the items, and of the users who met them.

    Examples
    --------
    >>> catalogue = Catalogue(np.array([0, 0, 1]), np.array([0, 1, 0]), size=3, prices=np.array([1.0, 2.0, 4.0]))
    >>> novelty(np.array([[0, -1], [2, -1]]), np.zeros((2, 2)), catalogue).round(4)
    array([0.   , 1.585])
    """
    users = float(catalogue.users.max(initial=-1) + 1)
    return _mean(items, -np.log2((catalogue.met + 1.0) / (users + 1.0)))


@metric("popularity_bias_at", Shape.LISTS, tasks=LISTS, greater_is_better=False)
def popularity_bias(items: Places, hits: Floats, catalogue: Catalogue) -> Floats:
    """Mean over the list of the share of the items on sale that fewer users met, a tie counting half.

    0.5 for random lists, near 1 if only the most popular items are recommended.

    Parameters
    ----------
    items : (users, k), places in the catalogue, -1 for none.
    hits : (users, k), not used.
    catalogue : of the items, and of the users who met them.

    Examples
    --------
    >>> catalogue = Catalogue(np.array([0, 0, 1]), np.array([0, 1, 0]), size=3, prices=np.array([1.0, 2.0, 4.0]))
    >>> popularity_bias(np.array([[0, -1], [0, 2]]), np.zeros((2, 2)), catalogue).round(4)
    array([0.8333, 0.5   ])
    """
    met = catalogue.met
    ordered = np.sort(met if catalogue.on_sale is None else met[catalogue.on_sale])
    below, up_to = (np.searchsorted(ordered, met, side) for side in ("left", "right"))
    return _mean(items, (below + up_to) / (2.0 * max(len(ordered), 1)))


@metric("diversity_at", Shape.LISTS, tasks=LISTS, greater_is_better=True, unit="cosine distance")
def diversity(items: Places, hits: Floats, catalogue: Catalogue) -> Floats:
    """1 - the mean cosine of each two items of the list, by the users who met them; 0 for a list of one item.

    Ziegler and others (2005), Improving recommendation lists through topic diversification.

    Parameters
    ----------
    items : (users, k), places in the catalogue, -1 for none.
    hits : (users, k), not used.
    catalogue : of the items, and of the users who met them.

    Examples
    --------
    >>> catalogue = Catalogue(np.array([0, 0, 1]), np.array([0, 1, 0]), size=3, prices=np.array([1.0, 2.0, 4.0]))
    >>> diversity(np.array([[0, 1], [0, 2], [0, -1]]), np.zeros((3, 2)), catalogue).round(4)
    array([0.2929, 1.    , 0.    ])
    """
    from scipy.sparse import csr_matrix

    length = np.sqrt(np.maximum(catalogue.met, 1.0))
    users = int(catalogue.users.max(initial=-1)) + 1
    entries = (1.0 / length[catalogue.items], (catalogue.items, catalogue.users))
    vectors = csr_matrix(entries, shape=(catalogue.size, max(users, 1)))
    found = np.zeros(len(items))
    for row, places in enumerate(items):
        listed = vectors[places[places >= 0]]
        count = listed.shape[0]
        if count > 1:
            # The squared length of the sum is the sum of all cosines, including those of an item with itself.
            total = float(np.square(np.asarray(listed.sum(axis=0))).sum())
            alone = float(listed.multiply(listed).sum())
            found[row] = 1.0 - (total - alone) / (count * (count - 1))
    return found


@metric("revenue_at", Shape.LISTS, tasks=SHOPS, greater_is_better=True, unit="price for each place in the list")
def revenue(items: Places, hits: Floats, catalogue: Catalogue) -> Floats:
    """Sum over the hits of the item's mean price, / k: one piece of each item.

    Parameters
    ----------
    items : (users, k), places in the catalogue, -1 for none.
    hits : (users, k), 1.0 for a hit.
    catalogue : of the items, and of the users who met them.

    Examples
    --------
    >>> catalogue = Catalogue(np.array([0, 0, 1]), np.array([0, 1, 0]), size=3, prices=np.array([1.0, 2.0, 4.0]))
    >>> revenue(np.array([[0, 2]]), np.array([[0.0, 1.0]]), catalogue)
    array([2.])
    """
    return np.asarray((hits * _values(items, catalogue.prices)).sum(axis=1) / items.shape[1])


def _mean(items: Places, values: Floats) -> Floats:
    count = (items >= 0).sum(axis=1)
    total = _values(items, values).sum(axis=1)
    mean: Floats = np.divide(total, count, out=np.zeros(len(items)), where=count > 0)
    return mean


def _values(items: Places, values: Floats) -> Floats:
    return np.asarray(np.append(values, 0.0)[items])  # -1, for no item, is the last

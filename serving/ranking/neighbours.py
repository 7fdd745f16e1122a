"""Items with the same customers, and the most popular items of a segment: rankings for users whom the model does not know."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.models.arrays import number_texts
from tasks.models.base import FeatureTables, top_places

MAX_CUSTOMERS = 2000  # per item: bounds the work for the most popular items
MAX_NEIGHBOURS = 100  # kept per item,
CACHED_ITEMS = 4096  # for so many items
SEGMENT_ITEMS = 1000  # kept per segment


class ItemNeighbours:
    """Item-based collaborative filtering (Sarwar et al. 2001) on the pairs of a features snapshot.

    cosine(i, j) = customers of both / sqrt(customers of i * customers of j)

    Items are integer positions in `FeatureTables.item_ids`. Arrays, with p pairs, u users and n items:

    - `_items`: int64 of shape (p,), item of each pair, in the order of `sorted_pairs` (by user).
    - `_customers`: int of shape (p,), user of each pair, ordered by item.
    - `_item_starts`, `_user_starts`: int64 of shape (n + 1,) and (u + 1,), where the pairs of each item begin in `_customers`
      and those of each user in `_items`.
    - `_norms`: float64 of shape (n,), square root of the number of customers, at least 1.
    - `_on_sale`: bool of shape (n,). Other items have neighbours and are none: nobody can buy them.
    """

    def __init__(self, features: FeatureTables) -> None:
        pairs = features.sorted_pairs
        self._items = pairs["item_position"].to_numpy(dtype=np.int64)
        _, user = number_texts(pairs[c.USER_ID])
        order = np.argsort(self._items, kind="stable")
        self._customers = user[order]
        size = len(features.item_ids)
        self._item_starts = np.r_[0, np.cumsum(np.bincount(self._items, minlength=size))]
        self._user_starts = np.r_[0, np.cumsum(np.bincount(user))] if len(user) else np.zeros(1, dtype=np.int64)
        self._on_sale = features.on_sale
        self._norms = np.sqrt(np.maximum(np.diff(self._item_starts), 1))
        self.nearest = lru_cache(maxsize=CACHED_ITEMS)(self._nearest)

    def _nearest(self, item: int) -> tuple[NDArray[np.intp], Floats]:
        """The nearest items that share a customer with `item`, nearest first.

        Returns
        -------
        items : intp of shape (m,), m <= `MAX_NEIGHBOURS`.
        cosines : float64 of shape (m,).
        """
        customers = self._customers[self._item_starts[item] : self._item_starts[item + 1]][:MAX_CUSTOMERS]
        if not len(customers):
            return np.empty(0, np.intp), np.empty(0)
        starts, ends = self._user_starts[customers], self._user_starts[customers + 1]
        lengths = ends - starts
        within = np.arange(lengths.sum()) - np.repeat(np.r_[0, np.cumsum(lengths)[:-1]], lengths)
        met = self._items[np.repeat(starts, lengths) + within]
        common = np.bincount(met, minlength=len(self._norms)).astype(np.float64)
        scores = np.where((common > 0) & self._on_sale, common / (self._norms * self._norms[item]), -np.inf)
        scores[item] = -np.inf
        top = top_places(scores, MAX_NEIGHBOURS)
        return top, scores[top]

    def nearest_to_session(self, items: list[int], k: int) -> tuple[NDArray[np.intp], Floats]:
        """The `k` items nearest to those of a session, best first. The last item has weight 1, the one before 1/2, then 1/3.

        Returns
        -------
        items : intp of shape (m,), m <= k, without the items of the session.
        scores : float64 of shape (m,), weighted sums of cosines.
        """
        total: dict[int, float] = {}
        for age, item in enumerate(reversed(items), start=1):
            for near, cosine in zip(*(part.tolist() for part in self.nearest(item)), strict=True):
                total[near] = total.get(near, 0.0) + cosine / age
        for item in items:
            total.pop(item, None)
        best = sorted(total.items(), key=lambda found: (-found[1], found[0]))[:k]
        return np.array([item for item, _ in best], dtype=np.intp), np.array([score for _, score in best])


class SegmentPopularity:
    """The items that most users of a segment (such as a country) met in the longest lookback.

    The score is the share of the segment's users who came in that time: it does not fall as a shop grows old.
    """

    def __init__(self, features: FeatureTables) -> None:
        self._segments: dict[str, tuple[NDArray[np.intp], Floats]] = {}
        if c.SEGMENT not in features.users:
            return
        active = features.users[c.USER_ID].isin(features.active_users(features.longest_lookback))
        known = features.users[active].dropna(subset=[c.SEGMENT])
        segment_of = dict(zip(known[c.USER_ID], known[c.SEGMENT], strict=True))
        pairs = features.sorted_pairs[features.is_recent_pair]
        segment_of_pair = pairs[c.USER_ID].map(segment_of).to_numpy(dtype=object)
        item = pairs["item_position"].to_numpy(dtype=np.int64)
        sizes = known.groupby(c.SEGMENT).size()
        for segment, users in sizes.items():
            counts = np.bincount(item[segment_of_pair == segment], minlength=len(features.item_ids)).astype(np.float64)
            scores = np.where(counts > 0, counts / users, -np.inf)
            top = top_places(scores, SEGMENT_ITEMS)
            self._segments[str(segment)] = (top, scores[top])

    def top_items(self, segment: str, k: int) -> tuple[NDArray[np.intp], Floats] | None:
        """The `k` most popular items of a segment, best first. None if the features do not know the segment.

        Returns
        -------
        items : intp of shape (m,), m <= k.
        shares : float64 of shape (m,), between 0 and 1.
        """
        found = self._segments.get(segment)
        return None if found is None or not len(found[0]) else (found[0][:k], found[1][:k])

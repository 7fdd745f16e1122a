"""Which items have the same customers: what answers for an item, and for somebody of whom only a few items are known."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.arrays import Floats
from tasks.models.base import FeatureTables, top_places

MOST_CUSTOMERS = 2000  # of one item that are looked at: bounds the work for the most popular ones
KEPT = 100  # neighbours of one item that are remembered, for so many items:
KEPT_ITEMS = 4096


class ItemNeighbours:
    """cosine(i, j) = customers of both / sqrt(customers of i * customers of j), from the pairs of the features.

    Sarwar et al. (2001), Item-based collaborative filtering, on who met what.
    """

    def __init__(self, features: FeatureTables) -> None:
        pairs = features.sorted_pairs
        self._items = pairs["item_position"].to_numpy(dtype=np.int64)
        _, user = np.unique(pairs["user_id"].to_numpy(dtype=object).astype(str), return_inverse=True)
        order = np.argsort(self._items, kind="stable")
        self._customers = user[order]  # by item
        size = len(features.item_ids)
        self._of_item = np.r_[0, np.cumsum(np.bincount(self._items, minlength=size))]
        self._of_user = np.r_[0, np.cumsum(np.bincount(user))] if len(user) else np.zeros(1, dtype=np.int64)
        self._norms = np.sqrt(np.maximum(np.diff(self._of_item), 1))
        self.of = lru_cache(maxsize=KEPT_ITEMS)(self._of)

    def _of(self, place: int) -> tuple[NDArray[np.intp], Floats]:
        """The places of the nearest items, and their cosines, nearest first; only those with a common customer."""
        customers = self._customers[self._of_item[place] : self._of_item[place + 1]][:MOST_CUSTOMERS]
        if not len(customers):
            return np.empty(0, np.intp), np.empty(0)
        starts, ends = self._of_user[customers], self._of_user[customers + 1]
        lengths = ends - starts
        within = np.arange(lengths.sum()) - np.repeat(np.r_[0, np.cumsum(lengths)[:-1]], lengths)
        met = self._items[np.repeat(starts, lengths) + within]
        common = np.bincount(met, minlength=len(self._norms)).astype(np.float64)
        scores = np.where(common > 0, common / (self._norms * self._norms[place]), -np.inf)
        scores[place] = -np.inf
        top = top_places(scores, KEPT)
        return top, scores[top]

    def session(self, places: list[int], k: int) -> tuple[NDArray[np.intp], Floats]:
        """The items nearest to those of a session, the last of which weighs most (1, 1/2, 1/3, ...)."""
        total: dict[int, float] = {}
        for age, place in enumerate(reversed(places), start=1):
            for near, cosine in zip(*(part.tolist() for part in self.of(place)), strict=True):
                total[near] = total.get(near, 0.0) + cosine / age
        for place in places:
            total.pop(place, None)
        best = sorted(total.items(), key=lambda found: (-found[1], found[0]))[:k]
        return np.array([place for place, _ in best], dtype=np.intp), np.array([score for _, score in best])


class SegmentPopularity:
    """What the users of one segment (such as a country) met most: the share of them that did."""

    def __init__(self, features: FeatureTables) -> None:
        self._segments: dict[str, tuple[NDArray[np.intp], Floats]] = {}
        if "segment" not in features.users:
            return
        known = features.users.dropna(subset=["segment"])
        segment_of = dict(zip(known["user_id"], known["segment"], strict=True))
        pairs = features.sorted_pairs
        of_pair = pairs["user_id"].map(segment_of).to_numpy(dtype=object)
        place = pairs["item_position"].to_numpy(dtype=np.int64)
        sizes = known.groupby("segment").size()
        for segment, users in sizes.items():
            counts = np.bincount(place[of_pair == segment], minlength=len(features.item_ids)).astype(np.float64)
            scores = np.where(counts > 0, counts / users, -np.inf)
            top = top_places(scores, 1000)
            self._segments[str(segment)] = (top, scores[top])

    def of(self, segment: str, k: int) -> tuple[NDArray[np.intp], Floats] | None:
        """Places and shares of a segment's top items; None where nothing is known of it."""
        found = self._segments.get(segment)
        return None if found is None or not len(found[0]) else (found[0][:k], found[1][:k])

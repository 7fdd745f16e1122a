"""Ranks items for a user. `Ranking.rank` holds the cold-start rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from serving.ranking.batch_answers import BatchAnswers
from serving.ranking.neighbours import ItemNeighbours, SegmentPopularity
from serving.ranking.vector_index import VectorIndex
from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.contracts.predictions import AnswerPath
from tasks.contracts.training import ScoringTerms
from tasks.models.base import FeatureTables, ServedModel

UNKNOWN_USER = ""  # ids are not empty, so this one is never known
NEW_ITEM_DAYS = 14.0  # an item younger than this may be explored


class Ranked(NamedTuple):
    """Items and their scores, best first, and the path that ranked them."""

    items: list[str]
    scores: list[float]
    path: AnswerPath


class RecentEvent(NamedTuple):
    """An event of a user that the features do not contain yet."""

    item_id: str
    event_type: str
    value: float
    quantity: float
    at: datetime


@dataclass(frozen=True)
class Ranking:
    """All ways of one bundle to rank items.

    Attributes
    ----------
    batch_answers : what batch scoring published for this model and these features, if it did.
    index : the item vectors, if the model has them.
    """

    model: ServedModel
    terms: ScoringTerms
    features: FeatureTables
    batch_answers: BatchAnswers | None = None
    index: VectorIndex | None = None

    def warm_up(self) -> None:
        """Compute the cached properties, so that no request waits for them."""
        _ = self.neighbours, self.segments, self.new_items

    @cached_property
    def neighbours(self) -> ItemNeighbours:
        """The items with the same customers."""
        return ItemNeighbours(self.features)

    @cached_property
    def segments(self) -> SegmentPopularity:
        """The popular items of each segment."""
        return SegmentPopularity(self.features)

    @cached_property
    def new_items(self) -> list[str]:
        """The items that are too new to be recommended for their score."""
        items = self.features.sorted_items
        if "item_age_days" not in items:
            return []
        return [str(item) for item in items[c.ITEM_ID][items["item_age_days"] <= NEW_ITEM_DAYS]]

    def items_to_explore(self, user_id: str, recent: Sequence[RecentEvent] = ()) -> list[str]:
        """The items that are too new to be recommended for their score, without those that the user must not see again."""
        hidden = self._newly_seen(recent) | set(self.features.item_ids[self._seen(user_id)])
        return [item for item in self.new_items if item not in hidden] if hidden else self.new_items

    def rank(self, user_id: str, k: int, recent: Sequence[RecentEvent] = (), segment: str | None = None) -> Ranked:
        """The top `k` items of a user, without those of recent purchases and ratings where the use case excludes seen items.

        The first rule that applies decides:

        1. No recent events, and batch scoring published `k` items for the user: these.
        2. The model has item vectors and knows the user or an item of the recent events: the model, with the recent
           purchases or ratings folded in.
        3. An unknown user with recent events: the items most similar to those of the events.
        4. An unknown user with a known segment: the items that are popular in the segment.
        5. The model, which ranks by popularity for users whom it does not know.
        """
        new = self._newly_seen(recent)
        ranked = self._rank(user_id, k + len(new), recent, segment)
        if not new:
            return ranked
        kept = [place for place, item in enumerate(ranked.items) if item not in new][:k]
        return ranked._replace(items=[ranked.items[n] for n in kept], scores=[ranked.scores[n] for n in kept])

    def _rank(self, user_id: str, k: int, recent: Sequence[RecentEvent], segment: str | None) -> Ranked:
        """The answer of the first rule that applies. It may hold items of the recent events."""
        if self.batch_answers is not None and not recent:
            published = self.batch_answers.top_items(user_id, k)
            if published is not None:
                return Ranked(*published, AnswerPath.PUBLISHED)
        weights = self._fold_in_weights(recent)
        if self.index is not None:
            query = self.index.user_vector(user_id, weights)
            if query is not None:
                vector, offset = query
                items, products = self.index.search(vector, k, self._seen(user_id))
                path = AnswerPath.FOLD_IN if weights else AnswerPath.MODEL
                return self._ranked(items, self._calibrated(user_id, products + offset), path)
        if recent and user_id not in self.features.user_row:
            found = self.rank_for_session([event.item_id for event in recent], k)
            if found.items:
                return found
        if segment is not None and user_id not in self.features.user_row:
            popular = self.segments.top_items(segment, k)
            if popular is not None:
                return self._ranked(*popular, AnswerPath.POPULAR_IN_SEGMENT)
        answer = self.model.recommend([user_id], self.features, k, self.terms.exclude_seen)[0]
        return Ranked(list(answer.items), list(answer.scores), answer.path)

    def rank_for_session(self, items: Sequence[str], k: int, segment: str | None = None) -> Ranked:
        """The `k` items most similar to those of a session, the last item last; popular items if none of them is known."""
        position = self.features.item_position
        known = [position[item] for item in dict.fromkeys(reversed(items)) if item in position][::-1]
        found, scores = self.neighbours.nearest_to_session(known, k)
        return self._ranked(found, scores, AnswerPath.SIMILAR) if len(found) else self.rank(UNKNOWN_USER, k, (), segment)

    def similar_items(self, item_id: str, k: int) -> Ranked | None:
        """The `k` items most similar to one. None if the features do not know it."""
        position = self.features.item_position.get(item_id)
        if position is None:
            return None
        items, scores = self.neighbours.nearest(position)
        return self._ranked(items[:k], scores[:k], AnswerPath.SIMILAR)

    def _ranked(self, positions: NDArray[np.intp], scores: Floats, path: AnswerPath) -> Ranked:
        return Ranked(self.features.item_ids[positions].tolist(), scores.tolist(), path)

    def _calibrated(self, user_id: str, raw: Floats) -> Floats:
        """The probabilities of a user's raw scores, (items,); the scores of a model that was not calibrated."""
        return self.model.calibrated(raw, self.model.activity_shifts([user_id], self.features))

    def _fold_in_weights(self, recent: Sequence[RecentEvent]) -> dict[int, float]:
        """Item position -> number of recent orders, or the last rating. Views are not folded in."""
        position, is_rating = self.features.item_position, self.terms.task.rates_pairs
        weights: dict[int, float] = {}
        for event in recent:
            item = position.get(event.item_id)
            if item is None:
                continue
            if is_rating and event.event_type == "rating":
                weights[item] = event.value
            elif not is_rating and event.event_type == "purchase":
                weights[item] = weights.get(item, 0.0) + 1.0
        return weights

    def _newly_seen(self, recent: Sequence[RecentEvent]) -> set[str]:
        """The items of recent purchases and ratings, where the use case excludes seen items. Views do not count."""
        return {event.item_id for event in recent if event.event_type not in c.NO_CHOICES} if self.terms.exclude_seen else set()

    def _seen(self, user_id: str) -> NDArray[np.int64]:
        """Positions of the user's items in the features, where the use case excludes seen items. Shape (items,)."""
        if not self.terms.exclude_seen:
            return np.empty(0, np.int64)
        return self.features.sorted_pairs["item_position"].to_numpy(np.int64)[self.features.pairs_of(user_id)]

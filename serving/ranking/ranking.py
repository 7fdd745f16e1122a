"""Who gets which items, and by which way. The rules of the cold start stand in `Ranking.rank`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from serving.ranking.neighbours import ItemNeighbours, SegmentPopularity
from serving.ranking.vector_index import Factors
from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.contracts.base import TaskKind
from tasks.contracts.data import DatasetRef
from tasks.contracts.predictions import AnswerPath
from tasks.contracts.promotion import LedgerEntry
from tasks.contracts.training import ServingTerms
from tasks.io.storage import Storage
from tasks.models.base import FeatureTables, ServedModel

NOBODY = ""  # no id may be empty, so nobody has this one
NEW_DAYS = 14.0  # an item younger than this may be tried out


class Ranked(NamedTuple):
    """Items and scores, best first, and the way that found them."""

    items: list[str]
    scores: list[float]
    path: AnswerPath


class Recent(NamedTuple):
    """One event of a user since the features were made."""

    item_id: str
    event_type: str
    value: float
    quantity: float
    at: datetime


@dataclass(frozen=True)
class Published:
    """The batch answers of one model for one features snapshot."""

    ref: DatasetRef
    k: int
    rows: dict[str, tuple[int, int]]
    items: NDArray[np.object_]
    scores: Floats

    @classmethod
    def read(cls, storage: Storage, entry: LedgerEntry, features: DatasetRef) -> Published | None:
        """What batch scoring published for exactly this model and these features; None where it has not yet."""
        ref = storage.current(entry.use_case, c.PREDICTIONS, f"v{entry.version}.{features.partition}")
        if ref is None:
            return None
        manifest = storage.manifest(ref)
        made_of = [one["version"] for one in manifest["inputs"]]
        if manifest["facts"].get("manifest_digest") != entry.manifest_digest or made_of != [features.version]:
            return None
        frame = storage.read(ref, columns=[c.USER_ID, c.ITEM_ID, c.RANK, c.PREDICTION, "path"])
        frame = frame[frame["path"] == AnswerPath.MODEL].sort_values([c.USER_ID, c.RANK], ignore_index=True)
        users = frame[c.USER_ID].to_numpy(dtype=object)
        starts = np.flatnonzero(np.r_[True, users[1:] != users[:-1]]) if len(users) else np.empty(0, np.intp)
        ends = np.r_[starts[1:], len(users)] if len(users) else starts
        rows = {users[s]: (int(s), int(e)) for s, e in zip(starts, ends, strict=True)}
        names = frame[c.ITEM_ID].astype("category")  # one string an item, not one a row
        items = names.cat.categories.to_numpy(dtype=object)[names.cat.codes] if len(frame) else np.empty(0, object)
        return cls(ref, int(manifest["facts"]["k"]), rows, items, frame[c.PREDICTION].to_numpy(dtype=np.float64))


@dataclass(frozen=True)
class Ranking:
    """All ways to an answer that one bundle has. Everything lazy is made by `warm`, before it is in service."""

    model: ServedModel
    terms: ServingTerms
    features: FeatureTables
    published: Published | None = None
    factors: Factors | None = field(default=None)

    def warm(self) -> None:
        """Make what requests must not wait for."""
        _ = self.neighbours, self.segments, self.new_items

    @cached_property
    def neighbours(self) -> ItemNeighbours:
        return ItemNeighbours(self.features)

    @cached_property
    def segments(self) -> SegmentPopularity:
        return SegmentPopularity(self.features)

    @cached_property
    def new_items(self) -> list[str]:
        """Items of which too little is known to be recommended for their score."""
        items = self.features.sorted_items
        if "item_age_days" not in items:
            return []
        return [str(item) for item in items[c.ITEM_ID][items["item_age_days"] <= NEW_DAYS]]

    def rank(self, user_id: str, k: int, recent: Sequence[Recent] = (), segment: str | None = None) -> Ranked:
        """The top k items of a user.

        A known user to whom nothing happened since: the published answer, else the model. With events since: folded in,
        where the model can; else the model for a known user, and what is similar to the events' items for a new one. Of
        whom nothing is known: what is popular in the segment, else what the model has for strangers.
        """
        if self.published is not None and not recent and k <= self.published.k:
            rows = self.published.rows.get(user_id)
            if rows is not None:
                start, end = rows[0], min(rows[1], rows[0] + k)
                items, scores = self.published.items[start:end].tolist(), self.published.scores[start:end].tolist()
                return Ranked(items, scores, AnswerPath.PUBLISHED)
        taught = self._taught(recent)
        if self.factors is not None:
            query = self.factors.query(user_id, taught)
            if query is not None:
                places, products = self.factors.top(query[0], k, self._without(user_id, recent))
                path = AnswerPath.FOLD_IN if taught else AnswerPath.MODEL
                return self._ranked(places, self.model.calibrated(products + query[1]), path)
        if recent and user_id not in self.features.user_row:
            found = self.session([event.item_id for event in recent], k)
            if found.items:
                return found
        if segment is not None and user_id not in self.features.user_row:
            known = self.segments.of(segment, k)
            if known is not None:
                return self._ranked(*known, AnswerPath.POPULAR_IN_SEGMENT)
        answer = self.model.recommend([user_id], self.features, k, self.terms.exclude_seen)[0]
        return Ranked(list(answer.items), list(answer.scores), answer.path)

    def session(self, items: Sequence[str], k: int, segment: str | None = None) -> Ranked:
        """The top k items for somebody without an id, from what they met; what is popular where none of that is known."""
        position = self.features.item_position
        places = [position[item] for item in dict.fromkeys(reversed(items)) if item in position][::-1]
        found, scores = self.neighbours.session(places, k)
        return self._ranked(found, scores, AnswerPath.SIMILAR) if len(found) else self.rank(NOBODY, k, (), segment)

    def similar(self, item_id: str, k: int) -> Ranked | None:
        """The k items most alike one; None where the features do not know it."""
        place = self.features.item_position.get(item_id)
        if place is None:
            return None
        places, scores = self.neighbours.of(place)
        return self._ranked(places[:k], scores[:k], AnswerPath.SIMILAR)

    def _ranked(self, places: NDArray[np.intp], scores: Floats, path: AnswerPath) -> Ranked:
        return Ranked(self.features.item_ids[places].tolist(), scores.tolist(), path)

    def _taught(self, recent: Sequence[Recent]) -> dict[int, float]:
        """Place -> orders, or the last rating: what a model of factors learns from. Views teach it nothing."""
        position, is_rating = self.features.item_position, self.terms.task is TaskKind.RATING
        taught: dict[int, float] = {}
        for event in recent:
            place = position.get(event.item_id)
            if place is None:
                continue
            if is_rating and event.event_type == "rating":
                taught[place] = event.value
            elif not is_rating and event.event_type == "purchase":
                taught[place] = taught.get(place, 0.0) + 1.0
        return taught

    def _without(self, user_id: str, recent: Sequence[Recent]) -> NDArray[np.int64]:
        if not self.terms.exclude_seen:
            return np.empty(0, np.int64)
        seen = self.features.sorted_pairs["item_position"].to_numpy()[self.features.pairs_of(user_id)]
        position = self.features.item_position
        new = [position[event.item_id] for event in recent if event.item_id in position and event.event_type != "view"]
        return np.concatenate([seen, np.array(new, dtype=np.int64)])

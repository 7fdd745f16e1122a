"""The answers that batch scoring published, ready to be served."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.contracts.data import DatasetRef
from tasks.contracts.predictions import AnswerPath
from tasks.io.storage import Storage


@dataclass(frozen=True)
class BatchAnswers:
    """The published top items of every user whom the model knew, for one model and one features snapshot.

    Attributes
    ----------
    ref : the predictions snapshot.
    k : items per user at most.
    rows : user id -> first row and the row after the last, in `items` and `scores`.
    items : object array of strings of shape (rows,), best first within a user.
    scores : float64 of shape (rows,), in the same order.
    """

    ref: DatasetRef
    k: int
    rows: dict[str, tuple[int, int]]
    items: NDArray[np.object_]
    scores: Floats

    @classmethod
    def read(
        cls, storage: Storage, *, use_case: str, version: int, manifest_digest: str, features: DatasetRef
    ) -> BatchAnswers | None:
        """The published answers of exactly this model and these features. None if there are none yet."""
        ref = storage.current(use_case, c.PREDICTIONS, f"v{version}.{features.partition}")
        if ref is None:
            return None
        manifest = storage.manifest(ref)
        input_versions = [one["version"] for one in manifest["inputs"]]
        if manifest["facts"].get("manifest_digest") != manifest_digest or input_versions != [features.version]:
            return None
        frame = storage.read(ref, columns=[c.USER_ID, c.ITEM_ID, c.RANK, c.PREDICTION, "path"])
        frame = frame[frame["path"] == AnswerPath.MODEL].sort_values([c.USER_ID, c.RANK], ignore_index=True)
        users = frame[c.USER_ID].to_numpy(dtype=object)
        starts = np.flatnonzero(np.r_[True, users[1:] != users[:-1]]) if len(users) else np.empty(0, np.intp)
        ends = np.r_[starts[1:], len(users)] if len(users) else starts
        rows = {users[start]: (int(start), int(end)) for start, end in zip(starts, ends, strict=True)}
        names = frame[c.ITEM_ID].astype("category")  # one string object per item instead of one per row
        items = names.cat.categories.to_numpy(dtype=object)[names.cat.codes] if len(frame) else np.empty(0, object)
        return cls(ref, int(manifest["facts"]["k"]), rows, items, frame[c.PREDICTION].to_numpy(dtype=np.float64))

    def top_items(self, user_id: str, k: int) -> tuple[list[str], list[float]] | None:
        """The `k` best items of a user and their scores. None if fewer were published, or none for this user."""
        rows = self.rows.get(user_id) if k <= self.k else None
        if rows is None:
            return None
        start, end = rows[0], min(rows[1], rows[0] + k)
        return self.items[start:end].tolist(), self.scores[start:end].tolist()

"""k nearest neighbours: the share of class 1 among the most similar rows."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.contracts.arrays import Floats
from tasks.models.support_vectors import CELLS_AT_ONCE, squared_distances
from tasks.models.tabular import Learned, TabularModel, TabularSpec

TIE = 1e-9


class NearestNeighboursModel(TabularModel):
    """The training rows: the export is as large as the sample that the model learned from."""

    kind = "nearest_neighbours"

    def margins(self, values: Floats) -> Floats:
        rows, weight, target = (self.arrays[name] for name in ("rows", "weight", "target"))
        k = min(self.settings["neighbours"], len(rows))
        found = []
        at_once = max(1, CELLS_AT_ONCE // len(rows))
        for start in range(0, len(values), at_once):
            distances = squared_distances(values[start : start + at_once], rows)
            farthest = np.partition(distances, k - 1, axis=1)[:, k - 1 : k]
            near = (distances <= farthest + TIE) * weight  # rows as near as the k-th count as well
            found.append(near @ target / near.sum(axis=1))
        return np.concatenate(found)


class NearestNeighbours(TabularSpec):
    """k nearest neighbours of standardised rows, by Euclidean distance.

    Keeps a seeded sample of at most `max_rows`. There is nothing to train, and therefore no library; a test compares it with
    scikit-learn's.
    """

    kind: Literal["nearest_neighbours"] = "nearest_neighbours"
    served = NearestNeighboursModel
    neighbours: int = Field(15, ge=1, le=10_000)
    max_rows: int = Field(20_000, ge=2, le=200_000, description="of more, a seeded sample is kept")

    def learn(self, values: Floats, target: NDArray[np.int64], weight: Floats, seed: int) -> Learned:
        kept = np.arange(len(values))
        if len(kept) > self.max_rows:
            kept = np.sort(np.random.default_rng(seed).choice(len(values), self.max_rows, replace=False))
        arrays = {"rows": values[kept], "weight": weight[kept], "target": target[kept].astype(np.float64)}
        return Learned(arrays, {"neighbours": self.neighbours})

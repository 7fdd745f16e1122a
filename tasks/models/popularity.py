"""Popularity: the same list for every user, by recent buyers. The baseline of recommendations."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.contracts.arrays import Floats
from tasks.contracts.base import TaskKind
from tasks.contracts.predictions import AnswerPath
from tasks.errors import ModelError, NotEnoughData
from tasks.models.base import Examples, FeatureTables, ModelSpec, ServedModel
from tasks.models.prepared import PerFeatures, read_numbers

if TYPE_CHECKING:
    import pandas as pd


class PopularityModel(ServedModel):
    """Reads the counts of the current features, so that the list follows them."""

    kind = "popularity"

    def __init__(self, half_life_days: float, recent_days: int | None = None) -> None:
        self.half_life_days, self.recent_days = half_life_days, recent_days
        self.scores_of = PerFeatures(lambda features: recent_buyers(features.sorted_items, half_life_days, recent_days))

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return {"half_life_days": self.half_life_days, "recent_days": self.recent_days}, {}

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        return cls(float(settings["half_life_days"]), settings["recent_days"])

    def score_items(self, user_id: str, features: FeatureTables) -> tuple[Floats, AnswerPath]:
        return self.scores_of(features), AnswerPath.POPULAR


class Popularity(ModelSpec):
    """Popularity: the same list for every user, by recent buyers.

    Decayed: buyers a day in each lookback window, the shorter windows weighing more.

    score = sum over windows w of 0.5 ** (w / half_life_days) * item_buyers_{w}d / w

    With `recent_days`: the buyers of that one window.
    """

    tasks = frozenset({TaskKind.RECOMMENDATION, TaskKind.PROPENSITY})
    kind: Literal["popularity"] = "popularity"
    served = PopularityModel
    half_life_days: float = Field(28.0, gt=0.0, le=3650.0)
    recent_days: int | None = Field(
        None, ge=1, le=3650, description="one of features.lookback_days, whose buyers count; null: all windows, decayed"
    )

    def fit(self, train: Examples, history: Examples, seed: int) -> ServedModel:
        if history.features is None or history.features.items.empty:
            raise NotEnoughData("popularity needs at least one item with a buyer; got none")
        model = PopularityModel(self.half_life_days, self.recent_days)
        model.scores_of(history.features)  # raises now, not in serving, if the columns are missing
        return model


def recent_buyers(items: pd.DataFrame, half_life_days: float, recent_days: int | None = None) -> Floats:
    """The decayed buyers a day of each row of an items table, (items,), or those of one window."""
    found = (re.fullmatch(r"item_buyers_(\d+)d", str(name)) for name in items.columns)
    windows = {int(match[1]): match[0] for match in found if match}
    if not windows:
        raise ModelError(f"popularity needs columns item_buyers_<days>d; the items have: {', '.join(items.columns)}")
    if recent_days is not None and recent_days not in windows:
        raise ModelError(
            f"popularity needs the column item_buyers_{recent_days}d; the features have windows of "
            f"{', '.join(map(str, sorted(windows)))} days: set recent_days to one of them, or add it to features.lookback_days"
        )
    chosen = {days: name for days, name in windows.items() if recent_days in (None, days)}
    weights = np.array([0.5 ** (days / half_life_days) / days for days in chosen])
    return np.asarray(np.nan_to_num(read_numbers(items, list(chosen.values()), "popularity")) @ weights, dtype=np.float64)

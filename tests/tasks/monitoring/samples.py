"""Samples with known distributions, and for each kind of check one that it must object to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tasks.columns import EVENT_AT, ITEM_ID, PREDICTION, QUANTITY, ROW_ID, SEGMENT, UNIT_PRICE

COLUMNS = (UNIT_PRICE, QUANTITY, ITEM_ID, SEGMENT)
ITEMS = 4_000  # a long tail: most of them occur once or never in a small sample


def make_rows(rows: int, seed: int, *, prices: float = 1.0, tastes: int = 0, export: float = 0.1) -> pd.DataFrame:
    """Invoice lines: log-normal prices times `prices`, Zipf items whose order is turned by `tastes` places."""
    random = np.random.default_rng(seed)
    popularity = 1 / np.arange(1, ITEMS + 1) ** 0.8
    places = random.choice(ITEMS, rows, p=popularity / popularity.sum())
    quantity = random.choice([1.0, 2.0, 6.0, 12.0, -1.0], rows, p=[0.4, 0.2, 0.2, 0.15, 0.05])
    quantity[random.random(rows) < 0.001] = 80_995.0  # one absurd order must not hide the rest
    return pd.DataFrame(
        {
            ROW_ID: [f"file-{seed}.csv:{number}" for number in range(rows)],
            EVENT_AT: pd.Timestamp("2011-01-01", tz="UTC"),
            UNIT_PRICE: np.round(random.lognormal(0.5, 1.0, rows), 2) * prices,
            QUANTITY: quantity,
            ITEM_ID: [f"{20_000 + (place + tastes) % ITEMS}" for place in places],
            SEGMENT: random.choice(
                np.array(["here", "abroad", None], dtype=object), rows, p=[0.85 - export, export + 0.1, 0.05]
            ),
        }
    )


def make_scores(rows: int, seed: int, *, shift: float = 0.0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    scores = 1 / (1 + np.exp(-random.normal(-2 + shift, 1, rows)))
    return pd.DataFrame({ROW_ID: [f"{seed}/{number}" for number in range(rows)], PREDICTION: scores})


@dataclass(frozen=True)
class Twin:
    """What a kind of check is configured with, and data that are calm for it and data that are not."""

    config: dict[str, Any]
    broken_rows: Callable[[int, int], pd.DataFrame] = make_rows
    broken_scores: Callable[[int, int], pd.DataFrame] = make_scores


BROKEN_TWINS: dict[str, Twin] = {
    "column_drift": Twin(
        {"kind": "column_drift", "columns": list(COLUMNS)},
        broken_rows=lambda rows, seed: make_rows(rows, seed, prices=2.0, tastes=200, export=0.5).assign(
            **{QUANTITY: lambda frame: frame[QUANTITY].where(frame.index % 2 == 0, 24.0)}
        ),
    ),
    "prediction_drift": Twin({"kind": "prediction_drift"}, broken_scores=lambda rows, seed: make_scores(rows, seed, shift=1.0)),
}
THRESHOLDS = {"psi": 0.2, "jensenshannon": 0.2}

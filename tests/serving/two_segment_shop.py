"""A shop with two segments whose right answers are known: customers of A buy a0, a1, ..., customers of B buy b0, b1, ..."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tasks import columns as c
from tasks.models.als import AlsModel, Penalties

ITEMS, CUSTOMERS = 6, 5


def tables() -> dict[str, pd.DataFrame]:
    """Customer n of a segment has all its items except item n and the last one, which is new. b0 is the most popular item."""
    users = [(f"{segment}{n}", segment.upper()) for segment in "ab" for n in range(CUSTOMERS)]
    items = [f"{segment}{n}" for segment in "ab" for n in range(ITEMS)]
    pairs = [(user, f"{user[0]}{n}") for user, _ in users for n in range(ITEMS - 1) if n != int(user[1])]
    return {
        c.USERS: pd.DataFrame(users, columns=[c.USER_ID, c.SEGMENT]),
        c.ITEMS: pd.DataFrame(
            {
                c.ITEM_ID: items,
                "item_buyers_7d": [9.0 if item == "b0" else 1.0 for item in items],
                "item_age_days": [1.0 if item in {"a5", "b5"} else 100.0 for item in items],
            }
        ),
        c.PAIRS: pd.DataFrame(pairs, columns=[c.USER_ID, c.ITEM_ID]).assign(pair_orders=1.0),
    }


def model() -> AlsModel:
    """Two factors, one for each segment. The last item of each segment is new, so the model has no factors of it."""
    known = [f"{segment}{n}" for segment in "ab" for n in range(ITEMS - 1)]
    weight = [1.0 - 0.1 * int(item[1]) for item in known]
    factors = np.array([[w, 0.0] if item[0] == "a" else [0.0, w] for item, w in zip(known, weight, strict=True)])
    return AlsModel(np.array(known, dtype=object), factors, Penalties(0.1, 20.0, 10.0, 10.0, 28.0), None, 1.0)

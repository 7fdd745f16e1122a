"""Data with a known answer: even users like even items, odd users odd ones, and each has one item left to meet."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.models.base import Examples, FeatureTables
from tasks.models.platt import sigmoid

USERS, ITEMS = 24, 16


def user(number: int) -> str:
    return f"u{number:02d}"


def item(number: int) -> str:
    return f"i{number:02d}"


def missing_item(number: int, items: int = ITEMS) -> str:
    """The only item of the user's colour that the user has not met."""
    return item(number % items)


def checkerboard(task: TaskKind, users: int = USERS, items: int = ITEMS) -> Examples:
    """Features and labels of interactions, or rows for classification.

    Purchases: each user bought all items of their colour but the missing one; the labels are that one, and one again.
    Ratings: 5 within the colour, 1 outside, where each user rated all items of their colour but the missing one, and half
    of the others; the label is the missing one's 5 and an unrated other's 1.
    """
    if task.answers_rows:
        return Examples(rows=rows())
    random = np.random.default_rng(5)
    met, labels = [], []
    for u in range(users):
        mine, other = [item(i) for i in range(items) if i % 2 == u % 2], [item(i) for i in range(items) if i % 2 != u % 2]
        missing = missing_item(u, items)
        met += [(user(u), i, 5.0) for i in mine if i != missing]
        if task is TaskKind.RATING:
            other = list(random.permutation(other))
            met += [(user(u), i, 1.0) for i in other[items // 4 :]]
            labels += [(user(u), missing, 5.0), (user(u), other[0], 1.0)]
        else:
            again = next(i for i in mine if i != missing)
            labels += [(user(u), missing, 1.0), (user(u), again, 1.0)]
    columns = [c.USER_ID, c.ITEM_ID, c.LABEL]
    return Examples(tables(pd.DataFrame(met, columns=columns), task), pd.DataFrame(labels, columns=columns))


def tables(met: pd.DataFrame, task: TaskKind) -> FeatureTables:
    """The feature tables of users and items that met once each; `label` of `met` is the rating."""
    is_rating = task is TaskKind.RATING
    pairs = met[[c.USER_ID, c.ITEM_ID]].assign(
        pair_orders=1.0,
        pair_orders_7d=0.0,
        pair_orders_28d=1.0,
        pair_recency_days=10.0,
        pair_quantity=2.0,
        pair_rating=met[c.LABEL] if is_rating else np.nan,
    )
    sides = []
    for side, key, other in (("user", c.USER_ID, c.ITEM_ID), ("item", c.ITEM_ID, c.USER_ID)):
        groups = met.groupby(key)
        count = groups[other].nunique().astype(float)
        side_table = pd.DataFrame(
            {f"{side}_orders_7d": 0.0 * count, f"{side}_orders_28d": count, f"{side}_recency_days": 10.0 + 0.0 * count}
        )
        side_table[f"{side}_rating_count"] = count * is_rating
        side_table[f"{side}_mean_rating"] = groups[c.LABEL].mean() if is_rating else np.nan
        if side == "item":
            side_table["item_buyers_7d"], side_table["item_buyers_28d"] = 0.0 * count, count
            side_table["item_age_days"], side_table["item_mean_price"] = 10.0, 2.5
            side_table[c.ITEM_TEXT] = [_text(str(name)) for name in side_table.index]
        else:
            side_table[c.SEGMENT], side_table["user_spend_28d"] = "Norway", 2.5 * count
            side_table["user_tenure_days"], side_table["user_items"] = 10.0, count
        sides.append(side_table.reset_index())
    return FeatureTables(sides[0], sides[1], pairs)


def _text(name: str) -> str:
    """Even items, odd items, and items without a number have different words."""
    colour = {"0": "white porcelain", "1": "black iron"}.get(str(int(name[1:]) % 2) if name[1:].isdigit() else "", "plain tin")
    return f"{colour} piece {name}"


def rows(size: int = 200) -> pd.DataFrame:
    """Rows of class 1 where the first of three columns is above the second; a hundredth of the cells is missing."""
    random = np.random.default_rng(5)
    values = random.normal(size=(size, 3))
    target = (values[:, 0] > values[:, 1]).astype("int64")
    values[random.random(values.shape) < 0.01] = np.nan
    frame = pd.DataFrame(values, columns=["mean radius", "mean texture", "worst area"])
    return frame.assign(**{c.ROW_ID: [f"r{i:03d}" for i in range(size)]}).assign(**{c.TARGET: target})


def features_of(examples: Examples) -> FeatureTables:
    assert examples.features is not None
    return examples.features


def known() -> tuple[Examples, FeatureTables]:
    examples = checkerboard(TaskKind.PROPENSITY)
    assert examples.features is not None
    return examples, examples.features


def tastes(users: int, items: int, seed: int = 3) -> FeatureTables:
    """Users who meet items by a taste in three dimensions."""
    random = np.random.default_rng(seed)
    affinity = random.normal(size=(users, 3)) @ random.normal(size=(3, items)) + random.normal(0, 0.5, (users, items))
    met = np.argwhere(affinity > np.quantile(affinity, 0.85))
    names = [(f"u{u:03d}", f"i{i:03d}", 1.0) for u, i in met]
    return tables(pd.DataFrame(names, columns=[c.USER_ID, c.ITEM_ID, c.LABEL]), TaskKind.PROPENSITY)


def aged(features: FeatureTables, dead: int, each: int = 1) -> FeatureTables:
    """The features of the same shop when it has grown old: `dead` items more, which users bought long ago.

    `each` : how many of them each user of old bought; the users of today did so, too.
    """
    names = [f"x{place:05d}" for place in range(dead)]
    items = pd.DataFrame({c.ITEM_ID: names}).reindex(columns=features.items.columns)
    counted = [str(name) for name in items if str(name).startswith(("item_orders_", "item_buyers_"))]
    items = items.assign(**dict.fromkeys(counted, 0.0), item_recency_days=900.0, item_age_days=1000.0)
    users = features.users[c.USER_ID].tolist()
    met = [(users[place % len(users)], name, 1.0, 900.0) for place, name in enumerate(names * each)]
    columns = [c.USER_ID, c.ITEM_ID, "pair_orders", "pair_recency_days"]
    pairs = pd.DataFrame(met, columns=columns).drop_duplicates([c.USER_ID, c.ITEM_ID])
    return FeatureTables(
        features.users,
        pd.concat([features.items, items], ignore_index=True),
        pd.concat([features.pairs, pairs.reindex(columns=features.pairs.columns)], ignore_index=True),
    )


def rare_rows(size: int = 900) -> pd.DataFrame:
    """Class 1 in a tenth of the rows, likelier the larger the first column is."""
    random = np.random.default_rng(2)
    values = random.normal(size=(size, 3))
    target = (random.random(size) < sigmoid(2.0 * values[:, 0] - 3.2)).astype("int64")
    frame = pd.DataFrame(values, columns=["a", "b", "c"])
    return frame.assign(**{c.ROW_ID: [f"r{i:03d}" for i in range(size)]}).assign(**{c.TARGET: target})

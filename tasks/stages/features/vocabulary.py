"""Features that a use case declares by name, window and aggregate. Frames in, frames out.

Each aggregate is one pure function of the lines that were known as of a day. Sums are exact (see `sums`).
To add one: a function and its entry in `AGGREGATES`, and its known answer in the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tasks import columns as c
from tasks.contracts.base import Name
from tasks.io.orders import ORDER
from tasks.io.sums import sum_exactly
from tasks.stages.features.history import AGE

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

Owner = Literal["user", "item", "pair"]
KEYS: dict[str, tuple[str, ...]] = {"user": (c.USER_ID,), "item": (c.ITEM_ID,), "pair": (c.USER_ID, c.ITEM_ID)}
_WISH, _CATEGORY = "_wish", "_category"


class Declared(BaseModel):
    """One feature of the `features.declared` list.

    Attributes
    ----------
    name : the column, with its owner first: user_return_share_90d.
    of : whose it is.
    aggregate : a name of the vocabulary; `describe_vocabulary` says which owner has which.
    days : the window, which ends at `as_of`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    of: Owner
    aggregate: str
    days: int = Field(ge=1, le=3650)

    @model_validator(mode="after")
    def _is_in_the_vocabulary(self) -> Declared:
        names = sorted(name for name, (owners, _) in AGGREGATES.items() if self.of in owners)
        if self.aggregate not in names:
            raise ValueError(f"aggregate: no {self.aggregate!r} of {self.of}; allowed: {', '.join(names)}")
        if not self.name.startswith(f"{self.of}_"):
            raise ValueError(f"name: a feature of {self.of} is called {self.of}_...; got {self.name!r}")
        return self


def add_declared(
    tables: dict[str, DataFrame], lines: DataFrame, declared: Sequence[Declared], names: dict[str, str]
) -> dict[str, DataFrame]:
    """The tables with the declared columns, as doubles; null where a window is empty, but 0 for what is counted.

    Parameters
    ----------
    lines : known interactions, with `prepare_lines`.
    names : owner -> table.
    """
    from pyspark.sql import functions as F

    found = dict(tables)
    for owner, table in names.items():
        keys = KEYS[owner]
        mine = [one for one in declared if one.of == owner]
        present = reduce(lambda frame, key: frame.where(F.col(key).isNotNull()), keys, lines)
        plain = [one for one in mine if AGGREGATES[one.aggregate][1] is None]
        if plain:
            columns = [_AGGREGATE[one.aggregate](one).cast("double").alias(one.name) for one in plain]
            found[table] = found[table].join(present.groupBy(*keys).agg(*columns), list(keys), "left")
        for one in mine:
            make = AGGREGATES[one.aggregate][1]
            if make is not None:
                inside = present.where(F.col(AGE) <= one.days)
                frame = make(inside, lines.where(F.col(AGE) <= one.days)).select(
                    *keys, F.col("value").cast("double").alias(one.name)
                )
                found[table] = found[table].join(frame, list(keys), "left")
        counted = {one.name: 0.0 for one in mine if one.aggregate in COUNTED}
        if counted:
            found[table] = found[table].fillna(counted)
    return found


def prepare_lines(rows: DataFrame, returned: DataFrame) -> DataFrame:
    """Known rows with their order, and whether they are a wish at all.

    Parameters
    ----------
    returned : `user_id`, `item_id`, `_order` of the purchases that were wholly returned.
    """
    from pyspark.sql import functions as F

    lines = rows.select("*", F.coalesce(c.EVENT_ID, c.ROW_ID).alias(ORDER))
    marked = lines.join(returned.withColumn("_came_back", F.lit(True)), [c.USER_ID, c.ITEM_ID, ORDER], "left")
    return marked.withColumn(_WISH, (F.col(c.EVENT_TYPE) != c.RETURN) & F.col("_came_back").isNull()).drop("_came_back")


def _inside(one: Declared, column: Column | str, is_wish: bool = True) -> Column:
    from pyspark.sql import functions as F

    value = F.col(column) if isinstance(column, str) else column
    condition = F.col(AGE) <= one.days
    return F.when(condition & F.col(_WISH) if is_wish else condition, value)


def _orders(one: Declared) -> Column:
    from pyspark.sql import functions as F

    return F.count_distinct(_inside(one, ORDER))


def _lines(one: Declared) -> Column:
    from pyspark.sql import functions as F

    return F.count(_inside(one, AGE))


def _quantity(one: Declared) -> Column:
    return sum_exactly(_inside(one, c.QUANTITY, is_wish=False))


def _spend(one: Declared) -> Column:
    from pyspark.sql import functions as F

    return sum_exactly(F.when(F.col(c.EVENT_TYPE) != c.RATING, _inside(one, c.VALUE, is_wish=False)))


def _recency(one: Declared) -> Column:
    from pyspark.sql import functions as F

    return F.min(_inside(one, AGE))


def _tenure(one: Declared) -> Column:
    from pyspark.sql import functions as F

    return F.max(_inside(one, AGE))


def _frequency(one: Declared) -> Column:
    return _orders(one) / one.days


def _mean_price(one: Declared) -> Column:
    from pyspark.sql import functions as F

    return sum_exactly(_inside(one, c.UNIT_PRICE)) / F.nullif(F.count(_inside(one, c.UNIT_PRICE)), F.lit(0))


def _return_share(one: Declared) -> Column:
    from pyspark.sql import functions as F

    is_return, pieces = F.col(c.EVENT_TYPE) == c.RETURN, _inside(one, c.QUANTITY, is_wish=False)
    came_back = F.coalesce(sum_exactly(F.when(is_return, -pieces)), F.lit(0.0))
    bought = sum_exactly(F.when(~is_return, pieces))
    return came_back / F.nullif(bought, F.lit(0.0))


def _distinct_items(one: Declared) -> Column:
    from pyspark.sql import functions as F

    return F.count_distinct(_inside(one, c.ITEM_ID))


def _distinct_users(one: Declared) -> Column:
    from pyspark.sql import functions as F

    return F.count_distinct(_inside(one, c.USER_ID))


def _price_affinity(mine: DataFrame, lines: DataFrame) -> DataFrame:
    """How close the item's mean price is to what the user usually pays: the smaller over the larger of the two, 1 if equal."""
    from pyspark.sql import functions as F

    def mean(frame: DataFrame, key: str) -> DataFrame:
        priced = frame.where(F.col(_WISH) & (F.col(c.UNIT_PRICE) > 0))
        return priced.groupBy(key).agg((sum_exactly(F.col(c.UNIT_PRICE)) / F.count(c.UNIT_PRICE)).alias(f"_{key}"))

    pairs = mine.where(_WISH).select(c.USER_ID, c.ITEM_ID).distinct()
    joined = pairs.join(mean(mine, c.USER_ID), c.USER_ID).join(mean(lines, c.ITEM_ID), c.ITEM_ID)
    user, item = F.col(f"_{c.USER_ID}"), F.col(f"_{c.ITEM_ID}")
    return joined.withColumn("value", F.least(user, item) / F.greatest(user, item))


def _category_affinity(mine: DataFrame, lines: DataFrame) -> DataFrame:
    """The share of the user's lines that are of the item's category: the last word of its newest text."""
    from pyspark.sql import functions as F

    word = F.upper(F.regexp_extract(F.col(c.ITEM_TEXT), r"([\p{L}\p{N}-]+)[^\p{L}\p{N}]*$", 1))
    named = lines.where(_WISH).select(c.ITEM_ID, c.EVENT_AT, c.ROW_ID, F.nullif(word, F.lit("")).alias(_CATEGORY))
    newest = F.max(F.when(F.col(_CATEGORY).isNotNull(), F.struct(c.EVENT_AT, c.ROW_ID, _CATEGORY)))[_CATEGORY]
    categories = named.groupBy(c.ITEM_ID).agg(newest.alias(_CATEGORY)).where(F.col(_CATEGORY).isNotNull())
    counted = mine.where(_WISH).groupBy(c.USER_ID, c.ITEM_ID).agg(F.count(F.lit(1)).alias("_lines")).join(categories, c.ITEM_ID)
    by_category = counted.groupBy(c.USER_ID, _CATEGORY).agg(F.sum("_lines").alias("_category_lines"))
    by_user = counted.groupBy(c.USER_ID).agg(F.sum("_lines").alias("_user_lines"))
    joined = counted.join(by_category, [c.USER_ID, _CATEGORY]).join(by_user, c.USER_ID)
    return joined.withColumn("value", F.col("_category_lines") / F.col("_user_lines"))


def _co_purchase(mine: DataFrame, lines: DataFrame) -> DataFrame:
    """How often a basket with the item also holds one of the user's other items, on average over those; 0 to 1."""
    from pyspark.sql import functions as F

    baskets = lines.where(_WISH).select(ORDER, c.ITEM_ID).distinct()
    other = baskets.select(ORDER, F.col(c.ITEM_ID).alias("_other"))
    together = baskets.join(other, ORDER).where(F.col(c.ITEM_ID) != F.col("_other"))
    together = together.groupBy(c.ITEM_ID, "_other").agg(F.count(F.lit(1)).alias("_together"))
    alone = baskets.groupBy(c.ITEM_ID).agg(F.count(F.lit(1)).alias("_baskets"))
    pairs = mine.where(_WISH).select(c.USER_ID, c.ITEM_ID).distinct()
    theirs = pairs.select(c.USER_ID, F.col(c.ITEM_ID).alias("_other"))
    met = pairs.join(theirs, c.USER_ID).where(F.col(c.ITEM_ID) != F.col("_other"))
    joined = (
        met.join(together, [c.ITEM_ID, "_other"], "left")
        .groupBy(c.USER_ID, c.ITEM_ID)
        .agg(F.sum(F.coalesce("_together", F.lit(0))).alias("_sum"), F.count(F.lit(1)).alias("_others"))
    )
    return joined.join(alone, c.ITEM_ID).withColumn("value", F.col("_sum") / (F.col("_baskets") * F.col("_others")))


_AGGREGATE: dict[str, Callable[[Declared], Column]] = {
    "orders": _orders,
    "lines": _lines,
    "quantity": _quantity,
    "spend": _spend,
    "recency_days": _recency,
    "tenure_days": _tenure,
    "frequency": _frequency,
    "mean_price": _mean_price,
    "return_share": _return_share,
    "distinct_items": _distinct_items,
    "distinct_users": _distinct_users,
}
COUNTED = frozenset({"orders", "lines", "quantity", "spend", "frequency", "distinct_items", "distinct_users"})
Make = Callable[["DataFrame", "DataFrame"], "DataFrame"]
_ALL = frozenset({"user", "item", "pair"})
# name -> its possible owners, and the function of one that is not a plain aggregate
AGGREGATES: dict[str, tuple[frozenset[str], Make | None]] = {
    **dict.fromkeys(_AGGREGATE, (_ALL, None)),
    "distinct_items": (frozenset({"user"}), None),
    "distinct_users": (frozenset({"item"}), None),
    "price_affinity": (frozenset({"pair"}), _price_affinity),
    "category_affinity": (frozenset({"pair"}), _category_affinity),
    "co_purchase": (frozenset({"pair"}), _co_purchase),
}

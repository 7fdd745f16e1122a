"""Texts and attributes of users and items, beside their events. Frames in, frames out.

Only known rows count, so that later values count later. An attribute has its last value. A text is the most frequent one,
because single rows hold remarks in place of a description.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from tasks import columns as c

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


@dataclass(frozen=True)
class AttributeNames:
    """The attributes that known rows name, sorted: Spark has to know the columns of a table before it makes it."""

    users: tuple[str, ...]
    items: tuple[str, ...]

    @staticmethod
    def aggregates(is_known: Column, prefix: str = "") -> list[Column]:
        """The aggregates of all rows that `of` reads. `prefix` separates several sets of one job."""
        from pyspark.sql import functions as F

        def names(attributes: str) -> Column:
            keys = F.collect_set(F.when(is_known, F.json_object_keys(attributes)))
            return F.array_sort(F.array_distinct(F.flatten(keys))).alias(prefix + attributes)

        return [names(c.USER_ATTRIBUTES), names(c.ITEM_ATTRIBUTES)]

    @classmethod
    def of(cls, answer: Mapping[str, Any], prefix: str = "") -> Self:
        """From the row that the aggregates gave."""
        return cls(*(tuple(answer[prefix + attributes]) for attributes in (c.USER_ATTRIBUTES, c.ITEM_ATTRIBUTES)))


def add_told(tables: dict[str, DataFrame], rows: DataFrame, names: AttributeNames) -> dict[str, DataFrame]:
    """`users` with `user_attribute_*`, `items` with `item_text` and `item_attribute_*`."""
    users = _with_attributes(tables[c.USERS], rows, c.USER_ID, c.USER_ATTRIBUTES, c.USER_ATTRIBUTE, names.users)
    items = _with_attributes(tables[c.ITEMS], rows, c.ITEM_ID, c.ITEM_ATTRIBUTES, c.ITEM_ATTRIBUTE, names.items)
    return tables | {c.USERS: users, c.ITEMS: items.join(_texts(rows), c.ITEM_ID, "left")}


def _texts(rows: DataFrame) -> DataFrame:
    """`item_id`, `item_text`; of two equally frequent ones the first by the alphabet."""
    from pyspark.sql import functions as F

    counts = rows.where(F.col(c.ITEM_TEXT).isNotNull()).groupBy(c.ITEM_ID, c.ITEM_TEXT).agg(F.count(F.lit(1)).alias("times"))
    best = F.min(F.struct(-F.col("times"), c.ITEM_TEXT))[c.ITEM_TEXT]
    return counts.groupBy(c.ITEM_ID).agg(best.alias(c.ITEM_TEXT))


def _with_attributes(
    table: DataFrame, rows: DataFrame, key: str, attributes: str, prefix: str, names: tuple[str, ...]
) -> DataFrame:
    from pyspark.sql import functions as F

    if not names:
        return table
    given = rows.where(F.col(key).isNotNull() & F.col(attributes).isNotNull())
    times = given.groupBy(key, attributes).agg(F.max(c.EVENT_AT).alias(c.EVENT_AT))  # hashes, and need not sort
    last = times.groupBy(key).agg(F.max(F.struct(c.EVENT_AT, attributes))[attributes].alias(attributes))
    values = F.from_json(attributes, "map<string, double>")
    numbers = [F.coalesce(F.element_at(values, name), F.lit(0.0)).alias(prefix + name) for name in names]
    return table.join(last.select(key, *numbers), key, "left")

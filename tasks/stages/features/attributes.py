"""What sources tell of users and items besides events: texts, and attributes. Frames in, frames out.

Only known rows are asked, so that what was told later counts later. Attributes are those that were told last; a text is the
one that was told most often, as single rows hold remarks in the place of a description.
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
        """What to ask of all rows for `of`; `prefix` tells several questions of one job apart."""
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
    """`item_id`, `item_text`; of two that were told equally often the first by the alphabet."""
    from pyspark.sql import functions as F

    told = rows.where(F.col(c.ITEM_TEXT).isNotNull()).groupBy(c.ITEM_ID, c.ITEM_TEXT).agg(F.count(F.lit(1)).alias("times"))
    best = F.min(F.struct(-F.col("times"), c.ITEM_TEXT))[c.ITEM_TEXT]
    return told.groupBy(c.ITEM_ID).agg(best.alias(c.ITEM_TEXT))


def _with_attributes(
    table: DataFrame, rows: DataFrame, key: str, attributes: str, prefix: str, names: tuple[str, ...]
) -> DataFrame:
    from pyspark.sql import functions as F

    if not names:
        return table
    told = rows.where(F.col(key).isNotNull() & F.col(attributes).isNotNull())
    times = told.groupBy(key, attributes).agg(F.max(c.EVENT_AT).alias(c.EVENT_AT))  # hashes, and need not sort
    last = times.groupBy(key).agg(F.max(F.struct(c.EVENT_AT, attributes))[attributes].alias(attributes))
    values = F.from_json(attributes, "map<string, double>")
    numbers = [F.coalesce(F.element_at(values, name), F.lit(0.0)).alias(prefix + name) for name in names]
    return table.join(last.select(key, *numbers), key, "left")

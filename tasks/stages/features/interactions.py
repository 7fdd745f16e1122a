"""Features and labels of interactions as of one day. Frames in, frames out.

Sums are made in whole units (see `sums`), so that the same rows give the same bits on any cluster.
An item that was never sold before has no features; it stays in the labels, where it counts as a miss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.errors import ConfigurationError
from tasks.io.orders import ORDER, OUTCOME, OWN_AT, RETURNED_AT, count_pieces, find_returned, list_outcomes
from tasks.io.sums import as_amount, in_units
from tasks.problems import problem_of
from tasks.stages.features.attributes import AttributeNames, add_told
from tasks.stages.features.history import AGE
from tasks.stages.features.vocabulary import KEYS, Declared, add_declared, prepare_lines

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

_RATED_AT, _RATING = "_rated_at", "_rating"


def make_features(
    rows: DataFrame,
    lookback_days: Sequence[int],
    task: TaskKind,
    *,
    names: AttributeNames,
    keep: Callable[[DataFrame], DataFrame],
    declared: Sequence[Declared] = (),
) -> dict[str, DataFrame]:
    """Known rows -> `users`, `items` and `pairs`; all features are doubles, missing ones null.

    Parameters
    ----------
    rows : choices of users, all known as of a day, settled (see `tasks.io.orders`), with their age in days as `_age`. Rows
        without a user count for their item only.
    names : of the attributes that the rows name.
    keep : caches what the tables have in common, and forgets it when they were written.
    declared : further features of the use case, each a column of its owner's table.

    Returns
    -------
    users : user_id, segment (the last one), user_orders_{w}d, user_spend_{w}d (net of returns), user_recency_days,
        user_tenure_days, user_items (distinct), user_rating_count, user_mean_rating, user_attribute_{name}.
    items : item_id, item_buyers_{w}d, item_orders_{w}d, item_recency_days, item_age_days, item_mean_price,
        item_rating_count, item_mean_rating, item_attribute_{name}, item_text (text).
    pairs : user_id, item_id, pair_orders, pair_orders_{w}d, pair_recency_days, pair_quantity (net of returns),
        pair_rating (the last one given; null unless the task is about ratings).

    An order is one event (an invoice, a rating), of the day of its first row. One that was wholly returned is none: its pieces
    and its value count with those of the return. Who only ever returned is in no table. Recency 1 is the day before.
    """
    from pyspark.sql import functions as F

    all_visits = _visits(rows)
    returned = find_returned(all_visits)
    visits = keep(_without_returned(all_visits, returned))
    known = visits.where(F.col(c.USER_ID).isNotNull())
    last_rating = F.max(F.struct(_RATED_AT, _RATING))[_RATING] if task.rates_pairs else F.lit(None)
    pairs = keep(
        known.groupBy(c.USER_ID, c.ITEM_ID)
        .agg(
            _number(F.count(AGE), "pair_orders"),
            *(_number(F.count_if(F.col(AGE) <= w), f"pair_orders_{w}d") for w in lookback_days),
            _number(F.min(AGE), "pair_recency_days"),
            _number(as_amount(F.sum(c.QUANTITY)), "pair_quantity"),
            _number(last_rating, "pair_rating"),
        )
        .where("pair_orders > 0")
    )
    users, items = _users(known, pairs, _segments(rows), lookback_days), _items(visits, pairs, lookback_days)
    tables = add_told({c.USERS: users, c.ITEMS: items, c.PAIRS: pairs}, rows, names)
    _refuse_taken_names(tables, declared)
    return add_declared(tables, prepare_lines(rows, returned), declared, _TABLES)


_TABLES = {"user": c.USERS, "item": c.ITEMS, "pair": c.PAIRS}
KEYS_OF = {table: KEYS[owner] for owner, table in _TABLES.items()} | {c.LABELS: (c.USER_ID, c.ITEM_ID)}


def _refuse_taken_names(tables: dict[str, DataFrame], declared: Sequence[Declared]) -> None:
    taken = {name for table in tables.values() for name in table.columns}
    if twice := sorted(one.name for one in declared if one.name in taken):
        raise ConfigurationError(f"features.declared: {', '.join(twice)} is there already; give it another name")


def make_labels(rows: DataFrame, task: TaskKind) -> DataFrame:
    """What happened: one row for each user and item; 1.0 if bought, or the last rating given.

    An order belongs to the moment of its first row. What was bought and wholly returned among the rows is no label.

    Parameters
    ----------
    rows : choices of users in a window that are known on the day `as_of`, settled (see `tasks.io.orders`).
    """
    from pyspark.sql import functions as F

    outcomes = list_outcomes(rows, problem_of(task).label_event).where(F.col(RETURNED_AT).isNull())
    label = F.max(F.struct(OWN_AT, c.VALUE, OUTCOME))[c.VALUE] if task.rates_pairs else F.lit(1.0)
    return outcomes.groupBy(c.USER_ID, c.ITEM_ID).agg(label.cast("double").alias(c.LABEL))


def _visits(rows: DataFrame) -> DataFrame:
    """One row for each user, item and order. `_age` is null for returns, whose value and quantity still count."""
    from pyspark.sql import functions as F

    bought = F.col(c.EVENT_TYPE) != c.RETURN
    is_rating = F.col(c.EVENT_TYPE) == c.RATING
    age = F.col(AGE)
    return rows.groupBy(c.USER_ID, c.ITEM_ID, F.coalesce(c.EVENT_ID, c.ROW_ID).alias(ORDER)).agg(
        F.min(F.when(bought, age)).alias(AGE),
        F.min(age).alias("_any_age"),
        F.sum(in_units(F.when(~is_rating, F.col(c.VALUE)))).alias(c.VALUE),
        F.sum(in_units(F.when(~is_rating, F.col(c.QUANTITY)))).alias(c.QUANTITY),
        F.sum(in_units(F.when(bought, F.col(c.UNIT_PRICE)))).alias("_prices"),
        F.count(F.when(bought, F.col(c.UNIT_PRICE))).alias("_priced"),
        F.max(F.when(is_rating, F.col(OWN_AT))).alias(_RATED_AT),
        F.max(F.when(is_rating, F.struct(OWN_AT, c.VALUE)))[c.VALUE].alias(_RATING),
        *count_pieces(),
    )


def _without_returned(visits: DataFrame, returned: DataFrame) -> DataFrame:
    """The visits with `_age` null for those that were wholly returned."""
    from pyspark.sql import functions as F

    keys = [c.USER_ID, c.ITEM_ID, ORDER]
    marked = visits.join(returned.withColumn("_came_back", F.lit(True)), keys, "left")
    return marked.withColumn(AGE, F.when(F.col("_came_back").isNull(), F.col(AGE))).drop("_came_back")


def _segments(rows: DataFrame) -> DataFrame:
    """The last segment of each user. In two steps, because the first one hashes and need not sort."""
    from pyspark.sql import functions as F

    given = rows.where(F.col(c.USER_ID).isNotNull() & F.col(c.SEGMENT).isNotNull())
    last = given.groupBy(c.USER_ID, c.SEGMENT).agg(F.max(c.EVENT_AT).alias(c.EVENT_AT))
    return last.groupBy(c.USER_ID).agg(F.max(F.struct(c.EVENT_AT, c.SEGMENT))[c.SEGMENT].alias(c.SEGMENT))


def _users(known: DataFrame, pairs: DataFrame, segments: DataFrame, lookback_days: Sequence[int]) -> DataFrame:
    from pyspark.sql import functions as F

    spend = {w: F.coalesce(F.sum(F.when(F.col("_any_age") <= w, F.col(c.VALUE))), F.lit(0)) for w in lookback_days}
    by_visit = known.groupBy(c.USER_ID, ORDER).agg(
        F.min(AGE).alias(AGE),
        *(amount.alias(f"_spend_{w}") for w, amount in spend.items()),
        F.sum(in_units(F.col(_RATING))).alias("_ratings"),
        F.count(_RATING).alias("_rated"),
    )
    users = by_visit.groupBy(c.USER_ID).agg(
        *(_number(F.count_if(F.col(AGE) <= w), f"user_orders_{w}d") for w in lookback_days),
        *(_number(as_amount(F.sum(f"_spend_{w}")), f"user_spend_{w}d") for w in lookback_days),
        _number(F.min(AGE), "user_recency_days"),
        _number(F.max(AGE), "user_tenure_days"),
        *_mean_rating("user", F.sum("_ratings"), F.sum("_rated")),
    )
    counted = pairs.groupBy(c.USER_ID).agg(_number(F.count(F.lit(1)), "user_items"))  # and so, no user without a pair
    return users.join(counted, c.USER_ID).join(segments, c.USER_ID, "left")


def _items(visits: DataFrame, pairs: DataFrame, lookback_days: Sequence[int]) -> DataFrame:
    from pyspark.sql import functions as F

    items = (
        visits.groupBy(c.ITEM_ID)
        .agg(
            *(_number(F.count_if(F.col(AGE) <= w), f"item_orders_{w}d") for w in lookback_days),
            _number(F.min(AGE), "item_recency_days"),
            _number(F.max(AGE), "item_age_days"),
            _number(as_amount(F.sum("_prices")) / F.sum("_priced"), "item_mean_price"),
            *_mean_rating("item", F.sum(in_units(F.col(_RATING))), F.count(_RATING)),
        )
        .where("item_recency_days is not null")
    )
    buyers = pairs.groupBy(c.ITEM_ID).agg(
        *(F.count_if(F.col("pair_recency_days") <= w).alias(f"_buyers_{w}") for w in lookback_days)
    )
    joined = items.join(buyers, c.ITEM_ID, "left")
    counts = [_number(F.coalesce(F.col(f"_buyers_{w}"), F.lit(0)), f"item_buyers_{w}d") for w in lookback_days]
    return joined.select(c.ITEM_ID, *counts, *(name for name in items.columns if name != c.ITEM_ID))


def _mean_rating(whose: str, total: Column, count: Column) -> list[Column]:
    from pyspark.sql import functions as F

    mean = as_amount(total) / F.nullif(count, F.lit(0))
    return [_number(count, f"{whose}_rating_count"), _number(mean, f"{whose}_mean_rating")]


def _number(column: Column, name: str) -> Column:
    return column.cast("double").alias(name)


def sort_table(frame: DataFrame, *keys: str) -> DataFrame:
    """In one file and in order. The tables are as long as the pairs that met, which one task writes with ease."""
    return frame.repartition(1).sortWithinPartitions(*keys)

"""Adapter: what the rows of one order mean together, in Spark. An order is one event: an invoice, a basket, a session.

- An order belongs to the moment of its first row, also where it goes on past midnight.
- A row that is delivered again replaces the former one: of one order and line, or of one order and item where the source has
  no `line_id`, the newest `ingested_at` counts. Returns replace returns, and purchases purchases.
- What was bought and wholly returned was no purchase. Pieces that come back are those that were bought last.

`list_outcomes` is the one definition of what followed: labels, monitoring and backtests read it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from tasks import columns as c
from tasks.contracts.calendar import UTC_ZONE
from tasks.io.days import local_date
from tasks.io.sums import as_amount, in_units

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.window import WindowSpec

ORDER, OWN_AT = "_order", f"{c.OWN}own_at"  # the event, or the row where it has none, and the moment of the row itself
BOUGHT, RETURNED, AT = "_bought", "_returned", "_at"  # pieces of an order and item in units (long), and its moment
OUTCOME, RETURNED_AT = "outcome", "returned_at"  # the name of an outcome, and when its last piece came back
ORDER_DAYS = 7  # the same event_id so many days later is another order, unless a use case says otherwise
FEW_ORDERS = 500_000  # as many are sent to every worker


def find_open_orders(rows: DataFrame, keep: Callable[[DataFrame], DataFrame], zone: ZoneInfo = UTC_ZONE) -> DataFrame | None:
    """The orders that are not of one local day and one delivery: `_user`, `_event`. None where there is none, as on most days.

    Parameters
    ----------
    rows : choices of users. Those who know of earlier rows only have no other such orders.
    keep : caches the orders.
    """
    from pyspark.sql import functions as F

    first, last = (local_date(edge(c.EVENT_AT), zone) for edge in (F.min, F.max))
    is_open = (first != last) | (F.min(c.INGESTED_AT) != F.max(c.INGESTED_AT))
    named = rows.where(F.col(c.EVENT_ID).isNotNull())
    orders = named.groupBy(F.col(c.USER_ID).alias("_user"), F.col(c.EVENT_ID).alias("_event")).agg(is_open.alias("_is_open"))
    orders = orders.where("_is_open").drop("_is_open")
    kept = keep(orders)
    count = kept.count()
    if not count:
        return None
    return F.broadcast(kept) if count <= FEW_ORDERS else kept


def settle_orders(rows: DataFrame, open_orders: DataFrame | None, order_days: float, within: Sequence[str] = ()) -> DataFrame:
    """Rows in their newest delivery, with the moment of their order as `event_at` and their own as `OWN_AT`.

    Parameters
    ----------
    rows : choices of users that are known on a day; what is known later must not be among them.
    open_orders : from `find_open_orders`; other orders stay as they are.
    order_days : rows of one `event_id` that lie so many days or more apart are of different orders, as where numbers are used
        again. The later ones have another `event_id`.
    within : columns of which different values never belong to one order.
    """
    from pyspark.sql import Window as Over
    from pyspark.sql import functions as F

    if open_orders is None:
        return rows.withColumn(OWN_AT, F.col(c.EVENT_AT))
    is_open = F.col(c.USER_ID).eqNullSafe(F.col("_user")) & (F.col(c.EVENT_ID) == F.col("_event"))
    rest = rows.join(open_orders, is_open, "left_anti").withColumn(OWN_AT, F.col(c.EVENT_AT))
    is_return = F.col(c.EVENT_TYPE) == c.RETURN
    order = [*within, c.USER_ID, c.EVENT_ID, "_is_return"]
    in_time = Over.partitionBy(*order).orderBy(OWN_AT)
    gap = F.unix_micros(OWN_AT) - F.unix_micros(F.lag(OWN_AT).over(in_time))
    begins = F.coalesce((gap >= round(order_days * 86_400_000_000)).cast("int"), F.lit(0))
    found = (
        rows.join(open_orders, is_open, "left_semi")
        .select("*", F.col(c.EVENT_AT).alias(OWN_AT), is_return.alias("_is_return"), line_of(rows).alias("_line"))
        .withColumn("_begins", begins)
        .withColumn("_turn", F.sum("_begins").over(in_time))
        .withColumn("_newest", F.max(c.INGESTED_AT).over(Over.partitionBy(*order, "_turn", "_line", c.EVENT_TYPE)))
        .withColumn("_first", F.min(OWN_AT).over(Over.partitionBy(*order, "_turn")))
        .where(F.col(c.INGESTED_AT) == F.col("_newest"))
    )
    settled = found.withColumns(
        {
            c.EVENT_AT: F.when(is_return, F.col(OWN_AT)).otherwise(F.col("_first")),
            c.EVENT_ID: F.when(F.col("_turn") == 0, F.col(c.EVENT_ID)).otherwise(F.concat_ws("@", c.EVENT_ID, "_turn")),
        }
    )
    return rest.unionByName(settled.select(*rest.columns))


def line_of(rows: DataFrame) -> Column:
    """What names a row within its order: its line, else its item. Null where the rows have neither column."""
    from pyspark.sql import functions as F

    kinds = ((c.LINE_ID, "line "), (c.ITEM_ID, "item "))
    names = [F.concat(F.lit(kind), name) for name, kind in kinds if name in rows.columns]
    return F.coalesce(*names, F.lit(None).cast("string"))


def count_pieces() -> list[Column]:
    """The aggregates `_bought`, `_returned` and `_at` of the rows of a user, item and order; no quantity is one piece."""
    from pyspark.sql import functions as F

    pieces = in_units(F.abs(F.coalesce(c.QUANTITY, F.lit(1.0))))
    is_bought, is_returned = (F.col(c.EVENT_TYPE) == kind for kind in (c.PURCHASE, c.RETURN))
    return [
        F.sum(F.when(is_bought, pieces)).alias(BOUGHT),
        F.sum(F.when(is_returned, pieces)).alias(RETURNED),
        F.coalesce(F.min(F.when(is_bought, F.col(c.EVENT_AT))), F.min(c.EVENT_AT)).alias(AT),
    ]


def find_returned(orders: DataFrame) -> DataFrame:
    """`user_id`, `item_id`, `_order` of the purchases of which no piece is left.

    Each return takes pieces of the last purchases before it. With s_i the stock after the i-th order, which is never less than
    zero, s_(i-1) to s_i are the pieces of that order, and those below the least later stock are left.

    Parameters
    ----------
    orders : `user_id`, `item_id`, `_order` and the columns of `count_pieces`, one row each. Only known users return.
    """
    from pyspark.sql import functions as F

    left = _count_stock(orders, ORDER, BOUGHT).withColumn("_left", F.min("_stock").over(_from_now()) - F.col("_before"))
    return left.where(F.col(BOUGHT).isNotNull() & (F.col("_left") <= 0)).select(*_PAIR, ORDER)


_PAIR = (c.USER_ID, c.ITEM_ID)
_CAME_BACK_AT = "_came_back_at"


def _in_time() -> WindowSpec:
    from pyspark.sql import Window as Over
    from pyspark.sql import functions as F

    return Over.partitionBy(*_PAIR).orderBy(AT, F.col(BOUGHT).isNull(), ORDER)


def _from_now() -> WindowSpec:
    from pyspark.sql import Window as Over

    return _in_time().rowsBetween(Over.currentRow, Over.unboundedFollowing)


def _count_stock(orders: DataFrame, *kept: str) -> DataFrame:
    """The orders of users and items where anything came back, with the stock after (`_stock`) and before (`_before`) each."""
    from pyspark.sql import Window as Over
    from pyspark.sql import functions as F

    counted = orders.select(*_PAIR, *kept, RETURNED, AT).where(F.col(c.USER_ID).isNotNull())
    concerned = counted.where((F.col(RETURNED) > 0) | (F.col(BOUGHT) <= 0)).select(*_PAIR).distinct()
    until_now = _in_time().rowsBetween(Over.unboundedPreceding, Over.currentRow)
    change = F.coalesce(BOUGHT, F.lit(0)) - F.coalesce(RETURNED, F.lit(0))
    return (
        counted.join(concerned, [*_PAIR], "left_semi")
        .withColumn("_level", F.sum(change).over(until_now))
        .withColumn("_stock", F.col("_level") - F.least(F.lit(0), F.min("_level").over(until_now)))
        .withColumn("_before", F.lag("_stock", 1, 0).over(_in_time()))
    )


def _find_return_moments(orders: DataFrame) -> DataFrame:
    """`user_id`, `item_id`, `_order`, `returned_at` of the purchases of which no piece is left: when the last one came back.

    Parameters
    ----------
    orders : those of `find_returned`, with `_came_back_at`, the moment of the order's own last return.
    """
    from pyspark.sql import functions as F

    step = F.struct("_stock", F.coalesce(_CAME_BACK_AT, AT).alias("at"))
    steps = _count_stock(orders, ORDER, BOUGHT, _CAME_BACK_AT).withColumn("_later", F.collect_list(step).over(_from_now()))
    gone = F.filter("_later", lambda one: one["_stock"] <= F.col("_before"))
    found = steps.withColumn(RETURNED_AT, F.array_min(F.transform(gone, lambda one: one["at"])))
    return found.where(F.col(BOUGHT).isNotNull() & F.col(RETURNED_AT).isNotNull()).select(*_PAIR, ORDER, RETURNED_AT)


def list_outcomes(settled: DataFrame, event: str | None) -> DataFrame:
    """What known users did: `outcome`, `user_id`, `item_id`, `event_at`, `OWN_AT`, `value`, `returned_at`, one row each.

    A purchase is all that one order has of an item; a rating is a row. `event_at` is the moment of the order, `OWN_AT` of
    the row. A purchase with `returned_at` was none from that moment on.

    Parameters
    ----------
    settled : rows from `settle_orders`. Purchases and returns before them change nothing: pieces that were bought last come
        back first.
    event : the type of the events that are labels; None where no event is one.
    """
    from pyspark.sql import functions as F

    known = settled.where(F.col(c.USER_ID).isNotNull())
    if event != c.PURCHASE:
        columns = (*_PAIR, c.EVENT_AT, OWN_AT, c.VALUE, F.lit(None).cast("timestamp").alias(RETURNED_AT))
        return known.where(F.col(c.EVENT_TYPE) == event).select(F.col(c.ROW_ID).alias(OUTCOME), *columns)

    def of_bought(name: str) -> Column:
        return F.when(F.col(c.EVENT_TYPE) == c.PURCHASE, F.col(name))

    traded = known.where(F.col(c.EVENT_TYPE).isin(c.PURCHASE, c.RETURN))
    orders = traded.groupBy(*_PAIR, F.coalesce(c.EVENT_ID, c.ROW_ID).alias(ORDER)).agg(
        F.min(of_bought(c.ROW_ID)).alias(OUTCOME),
        *(F.min(of_bought(name)).alias(name) for name in (c.EVENT_AT, OWN_AT)),
        as_amount(F.sum(in_units(of_bought(c.VALUE)))).alias(c.VALUE),
        F.max(F.when(F.col(c.EVENT_TYPE) == c.RETURN, F.col(c.EVENT_AT))).alias(_CAME_BACK_AT),
        *count_pieces(),
    )
    bought = orders.where(F.col(BOUGHT).isNotNull()).join(_find_return_moments(orders), [*_PAIR, ORDER], "left")
    return bought.select(OUTCOME, *_PAIR, c.EVENT_AT, OWN_AT, c.VALUE, RETURNED_AT)

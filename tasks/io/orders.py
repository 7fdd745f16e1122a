"""Adapter: what the rows of one order mean together, in Spark. An order is one event: an invoice, a basket, a session.

- An order belongs to the moment of its first row, also where it goes on past midnight.
- A row that is delivered again replaces the former one: of one order and line, or of one order and item where the source has
  no `line_id`, the newest `ingested_at` counts. Returns replace returns, and purchases purchases.
- What was bought and wholly returned was no purchase. Pieces that come back are those that were bought last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from tasks import columns as c
from tasks.contracts.calendar import UTC_ZONE
from tasks.io.days import local_date

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

ORDER, OWN_AT = "_order", "_own_at"  # the event, or the row where it has none, and the moment of the row itself
BOUGHT, RETURNED, AT = "_bought", "_returned", "_at"  # pieces of an order and item in units (long), and its moment
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


def settle_orders(rows: DataFrame, open_orders: DataFrame | None, order_days: int) -> DataFrame:
    """Rows in their newest delivery, with the moment of their order as `event_at` and their own as `_own_at`.

    Parameters
    ----------
    rows : choices of users that are known on a day; what is known later must not be among them.
    open_orders : from `find_open_orders`; other orders stay as they are.
    order_days : rows of one `event_id` that lie so many days or more apart are of different orders, as where numbers are used
        again. The later ones have another `event_id`.
    """
    from pyspark.sql import Window as Over
    from pyspark.sql import functions as F

    if open_orders is None:
        return rows.withColumn(OWN_AT, F.col(c.EVENT_AT))
    is_open = F.col(c.USER_ID).eqNullSafe(F.col("_user")) & (F.col(c.EVENT_ID) == F.col("_event"))
    rest = rows.join(open_orders, is_open, "left_anti").withColumn(OWN_AT, F.col(c.EVENT_AT))
    is_return = F.col(c.EVENT_TYPE) == c.RETURN
    order = [c.USER_ID, c.EVENT_ID, "_is_return"]
    in_time = Over.partitionBy(*order).orderBy(OWN_AT)
    gap = F.unix_micros(OWN_AT) - F.unix_micros(F.lag(OWN_AT).over(in_time))
    begins = F.coalesce((gap >= order_days * 86_400_000_000).cast("int"), F.lit(0))
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


def count_pieces(in_units: Callable[[Column], Column]) -> list[Column]:
    """The aggregates `_bought`, `_returned` and `_at` of the rows of one user, item and order. A missing quantity is one piece.

    Parameters
    ----------
    in_units : an amount as a whole number.
    """
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
    from pyspark.sql import Window as Over
    from pyspark.sql import functions as F

    pair = [c.USER_ID, c.ITEM_ID]
    counted = orders.select(*pair, ORDER, BOUGHT, RETURNED, AT).where(F.col(c.USER_ID).isNotNull())
    concerned = counted.where((F.col(RETURNED) > 0) | (F.col(BOUGHT) <= 0)).select(*pair).distinct()
    in_time = Over.partitionBy(*pair).orderBy(AT, F.col(BOUGHT).isNull(), ORDER)
    until_now = in_time.rowsBetween(Over.unboundedPreceding, Over.currentRow)
    from_now = in_time.rowsBetween(Over.currentRow, Over.unboundedFollowing)
    change = F.coalesce(BOUGHT, F.lit(0)) - F.coalesce(RETURNED, F.lit(0))
    left = (
        counted.join(concerned, pair, "left_semi")
        .withColumn("_level", F.sum(change).over(until_now))
        .withColumn("_stock", F.col("_level") - F.least(F.lit(0), F.min("_level").over(until_now)))
        .withColumn("_left", F.min("_stock").over(from_now) - F.lag("_stock", 1, 0).over(in_time))
    )
    return left.where(F.col(BOUGHT).isNotNull() & (F.col("_left") <= 0)).select(*pair, ORDER)

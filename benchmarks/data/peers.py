"""The aggregates of users, items and pairs by DuckDB and Polars, on two threads, in doubles (Spark adds in exact decimals)."""

# ruff: noqa: S608  days and windows are numbers of ours

from __future__ import annotations

import os
import time
from datetime import UTC, date, datetime
from pathlib import Path

from tasks import columns as c

WINDOWS = (7, 28, 90)


def measure_duckdb(events: Path, as_of: date) -> float:
    """Seconds for all three tables, sorted by their keys."""
    import duckdb

    def each(*parts: str) -> str:
        return ", ".join(part.format(w=w) for w in WINDOWS for part in parts)

    pairs = each("count(*) FILTER (age <= {w}) AS o{w}")
    users = each("count(DISTINCT event_id) FILTER (age <= {w}) AS o{w}", "sum(value) FILTER (age <= {w}) AS s{w}")
    items = each("count(*) FILTER (age <= {w}) AS o{w}", "count(DISTINCT user_id) FILTER (age <= {w}) AS b{w}")
    began = time.perf_counter()
    with duckdb.connect(config={"threads": 2, "memory_limit": "4GB"}) as database:
        database.execute("SET TimeZone = 'UTC'")
        database.execute(
            f"""CREATE TEMP TABLE visits AS SELECT user_id, item_id, event_id,
                min(date_diff('day', event_at::DATE, DATE '{as_of}')) FILTER (event_type <> 'return') AS age,
                sum(value) AS value, sum(quantity) AS quantity, avg(unit_price) FILTER (event_type <> 'return') AS price
                FROM read_parquet('{events}/*.parquet') WHERE event_at < TIMESTAMPTZ '{as_of} 00:00:00+00' GROUP BY ALL"""
        )
        for name, keys, columns in (
            ("pairs", "user_id, item_id", f"count(age) AS orders, {pairs}, min(age) AS recency, sum(quantity) AS quantity"),
            ("users", "user_id", f"{users}, min(age) AS recency, max(age) AS tenure"),
            ("items", "item_id", f"{items}, min(age) AS recency, avg(price) AS price"),
        ):
            query = f"SELECT {keys}, {columns} FROM visits GROUP BY {keys} HAVING count(age) > 0 ORDER BY {keys}"
            database.execute(f"CREATE TEMP TABLE {name} AS {query}")
    return time.perf_counter() - began


def measure_polars(events: Path, as_of: date) -> float:
    """As `measure_duckdb`."""
    os.environ.setdefault("POLARS_MAX_THREADS", "2")
    import polars as pl

    began = time.perf_counter()
    midnight = datetime(as_of.year, as_of.month, as_of.day, tzinfo=UTC)
    age = (pl.lit(as_of) - pl.col(c.EVENT_AT).dt.date()).dt.total_days()
    bought = pl.col(c.EVENT_TYPE) != c.RETURN
    lines = pl.scan_parquet(f"{events}/*.parquet").filter(pl.col(c.EVENT_AT) < midnight).with_columns(age=age)
    visits = (
        lines.group_by(c.USER_ID, c.ITEM_ID, c.EVENT_ID)
        .agg(
            pl.col("age").filter(bought).min(),
            pl.col(c.VALUE).sum(),
            pl.col(c.QUANTITY).sum(),
            pl.col(c.UNIT_PRICE).filter(bought).mean().alias("price"),
        )
        .collect(engine="streaming")
    )
    inside = {w: pl.col("age") <= w for w in WINDOWS}
    recency = pl.col("age").min().alias("recency")
    orders = [inside[w].sum().alias(f"o{w}") for w in WINDOWS]
    for keys, columns in (
        ([c.USER_ID, c.ITEM_ID], [*orders, pl.col("age").count().alias("orders"), pl.col(c.QUANTITY).sum()]),
        (
            [c.USER_ID],
            [
                *(pl.col(c.EVENT_ID).filter(inside[w]).n_unique().alias(f"o{w}") for w in WINDOWS),
                *(pl.col(c.VALUE).filter(inside[w]).sum().alias(f"s{w}") for w in WINDOWS),
                pl.col("age").max().alias("tenure"),
            ],
        ),
        (
            [c.ITEM_ID],
            [
                *orders,
                *(pl.col(c.USER_ID).filter(inside[w]).n_unique().alias(f"b{w}") for w in WINDOWS),
                pl.col("price").mean(),
            ],
        ),
    ):
        grouped = visits.lazy().group_by(keys).agg(recency, *columns)
        grouped.filter(pl.col("recency").is_not_null()).sort(keys).collect(engine="streaming")
    return time.perf_counter() - began

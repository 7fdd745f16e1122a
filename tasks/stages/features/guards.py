"""Guards that stop a split: features of a part from after its cut, or features that are the target itself.

Guards read the written tables before they are published, and share no code with the builders, so they also find a fault in
the code that builds features.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import columns as c
from tasks.errors import LeakageFound
from tasks.io.equality import hash_cells
from tasks.io.orders import OWN_AT

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

DAY = 86_400_000_000  # in microseconds
ENOUGH_EVENTS = 20  # from so many on, what most of them do is a property of the source
_AGES = {c.USERS: "user_recency_days", c.ITEMS: "item_recency_days", c.PAIRS: "pair_recency_days"}


def inspect_interactions(folder: Path, part: str) -> dict[str, float]:
    """Refuse features from after the cut, labels among features and duplicate labels. Measure how much of the part is cold.

    Returns
    -------
    labels, label_users, label_items; cold_users and cold_items: the shares of those that have no features.
    """
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    tables = {name: ds.dataset(folder / name, format="parquet") for name in (*_AGES, c.LABELS)}
    for name, column in _AGES.items():
        if c.LABEL in tables[name].schema.names:
            raise LeakageFound(f"{part}: {name} has a column '{c.LABEL}': the target is among the features")
        ages = tables[name].to_table(columns=[column])[column]
        least = pc.min(ages).as_py()
        if least is not None and least < 1:
            raise LeakageFound(
                f"{part}: {name}.{column} is {least:g}, and 1 is the day before the cut: features were computed after it"
            )
    labels = tables[c.LABELS].to_table(columns=[c.USER_ID, c.ITEM_ID])
    distinct = labels.group_by([c.USER_ID, c.ITEM_ID]).aggregate([]).num_rows
    if distinct < labels.num_rows:
        raise LeakageFound(
            f"{part}: {labels.num_rows - distinct} labels are duplicates: one event would count twice in training and judging"
        )
    figures = {"labels": float(labels.num_rows)}
    for key, name in ((c.USER_ID, c.USERS), (c.ITEM_ID, c.ITEMS)):
        labelled = pc.unique(labels[key])
        known = tables[name].to_table(columns=[key])[key]
        cold = len(labelled) - pc.sum(pc.is_in(labelled, value_set=known.combine_chunks())).as_py() if len(labelled) else 0
        figures |= {f"label_{name}": float(len(labelled)), f"cold_{name}": cold / max(len(labelled), 1)}
    return figures


def check_events(settled: DataFrame, cuts: Mapping[str, Any], *, numbers_are_trusted: bool) -> None:
    """Refuse a cut that goes through an event, and numbers that begin anew each day.

    Through an event: one basket would be in the features and among the labels at once. Numbers of a till that are used again
    the next day would make one order of many, in which each delivery replaces the one before.

    Parameters
    ----------
    settled : choices of users (see `tasks.io.orders`).
    numbers_are_trusted : whether the use case states how far apart the rows of one order may lie.
    """
    from pyspark.sql import functions as F

    wishes = settled.where((F.col(c.EVENT_TYPE) != c.RETURN) & F.col(c.EVENT_ID).isNotNull())
    moments = [F.min(c.EVENT_AT).alias("first"), F.max(c.EVENT_AT).alias("last"), F.max(OWN_AT).alias("row")]
    events = wishes.groupBy(c.USER_ID, c.EVENT_ID).agg(*moments)
    named = F.struct(c.EVENT_ID, c.USER_ID, "first", "last", "row")
    is_known, is_long = F.col(c.USER_ID).isNotNull(), F.unix_micros("row") - F.unix_micros("first") >= DAY
    crossing = [F.min(F.when(is_known & (F.col("first") < cut) & (F.col("last") >= cut), named)) for cut in cuts.values()]
    found = events.agg(F.count("*"), F.count_if(is_long), F.min(F.when(is_long, named)), *crossing).collect()[0]
    count, long, example = found[:3]
    if not numbers_are_trusted and count >= ENOUGH_EVENTS and long > count / 2:
        raise LeakageFound(
            f"{long} of {count} events have rows that lie a day or more apart, such as {c.EVENT_ID} {example[c.EVENT_ID]} "
            f"({example['first']} to {example['row']}), and each counts as one order of its first moment. Set "
            "features.order_days: 0.25 if numbers begin anew each day, and state features.order_days: 7 if each is one order"
        )
    for part, row in zip(cuts, found[3:], strict=True):
        if row is not None:
            raise LeakageFound(
                f"{part}: event {row[c.EVENT_ID]} of user {row[c.USER_ID]} lies on both sides of the cut ({row['first']} to "
                f"{row['last']}): its first lines would predict its last. Check whether {c.EVENT_ID} is used for two events"
            )


def _refuse_shared_groups(parted: DataFrame) -> None:
    """Refuse a group of rows that is in two parts, test sets included."""
    from pyspark.sql import functions as F

    if c.SPLIT_GROUP not in parted.columns:
        return
    shared = parted.groupBy(c.SPLIT_GROUP).agg(F.count_distinct(c.PART).alias("parts")).where("parts > 1").limit(3).collect()
    if shared:
        raise LeakageFound(
            f"groups {', '.join(row[c.SPLIT_GROUP] for row in shared)} have rows in more than one part of the split: a model "
            "would be judged on groups that it knows. Let the conditions of a test set name whole groups"
        )


def check_rows(parted: DataFrame, features: list[str], copies_at_most: float) -> dict[str, float]:
    """Refuse tabular parts that share rows or a group, and a feature that is the target. Measure how many holdout rows are in
    train.

    Parameters
    ----------
    parted : `row_id`, `target`, the part and the features.
    copies_at_most : share of the rows of the holdout, and of each test set, that may equal a training row cell by cell.
    """
    from pyspark.sql import functions as F

    shared = parted.groupBy(c.ROW_ID).agg(F.count_distinct(c.PART).alias("parts")).where("parts > 1").limit(3).collect()
    if shared:
        raise LeakageFound(f"rows {', '.join(row[c.ROW_ID] for row in shared)} are in more than one part of the split")
    _refuse_shared_groups(parted)
    bounds = parted.groupBy(c.TARGET).agg(
        *(F.min(f"`{name}`").alias(f"{place}_low") for place, name in enumerate(features)),
        *(F.max(f"`{name}`").alias(f"{place}_high") for place, name in enumerate(features)),
    )
    by_class = bounds.collect()
    for place, name in enumerate(features):
        lows, highs = [row[f"{place}_low"] for row in by_class], [row[f"{place}_high"] for row in by_class]
        if len(by_class) > 1 and lows == highs and len(set(lows)) == len(lows):
            raise LeakageFound(f"feature '{name}' has one value for each class and no other: it is the target. Leave it out")
    cells = hash_cells(parted, [c.TARGET, *features]).alias("cells")
    seen = parted.where(F.col(c.PART) == "train").select(cells).distinct().withColumn("is_known", F.lit(1))
    judged = parted.where(~F.col(c.PART).isin("train", "validation")).select(c.PART, cells).join(seen, "cells", "left")
    counted = judged.groupBy(c.PART).agg(F.count(F.lit(1)).alias("rows"), F.count("is_known").alias("known")).collect()
    shares = {row[c.PART]: (row["known"], row["rows"], row["known"] / row["rows"]) for row in counted}
    for part, (known, rows, share) in sorted(shares.items()):
        if share > copies_at_most:
            raise LeakageFound(
                f"{known} of {rows} rows of the {part} equal a training row cell by cell ({share:.1%}, "
                f"{copies_at_most:.0%} are allowed): a model that memorizes would win. Remove the copies, or add a rule that "
                "keeps one of them. If rows are equal because their columns have few values, raise split.copies_at_most"
            )
    return {"rows_known_from_training": shares["holdout"][2] if "holdout" in shares else 0.0}

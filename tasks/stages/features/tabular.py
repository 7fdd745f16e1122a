"""Rows of tabular use cases: the feature columns, and which part a row belongs to. Frames in, frames out."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.calendar import UTC_ZONE
from tasks.errors import ConfigurationError
from tasks.io.days import midnight
from tasks.stages.features.spec import TestSet

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

PARTS = ("train", "validation", "holdout")
TEST = "test_"  # before the name of a test set, in the name of its part


def make_rows(rows: DataFrame, stated: Sequence[str] = (), kept: Sequence[str] = ()) -> DataFrame:
    """Known rows -> row_id, target (null if unknown), and the feature columns, text or doubles; sorted by row_id.

    What tuning cuts its folds by (`split_order`, `split_group`) stays where the rows have it.

    Parameters
    ----------
    stated : columns whose text the use case declares how to read.
    kept : columns that are no features and stay. Rows are sorted by them first.

    Raises
    ------
    ConfigurationError : a feature column is neither number nor text, or a stated one is not text.
    """
    from pyspark.sql import functions as F
    from pyspark.sql.types import BooleanType, NumericType, StringType

    schema = rows.schema
    kinds = {name: schema[name].dataType for name in rows.columns if name not in (*c.TABULAR_COLUMNS, c.EVENT_ID, *kept)}
    wrong = [name for name, kind in kinds.items() if not isinstance(kind, NumericType | BooleanType | StringType)]
    if wrong:
        raise ConfigurationError(
            f"feature columns {', '.join(wrong)} hold neither numbers nor text; turn them into one of the two in the source, "
            "or leave them out"
        )
    texts = [name for name, kind in kinds.items() if isinstance(kind, StringType)]
    if missing := [name for name in stated if name not in texts]:
        raise ConfigurationError(
            f"features: ordinal and text name {', '.join(missing)}; columns that hold text: {', '.join(texts) or 'none'}"
        )
    features = [F.col(f"`{name}`").cast("string" if name in texts else "double").alias(name) for name in kinds]
    cuts = [name for name in (c.SPLIT_ORDER, c.SPLIT_GROUP) if name in rows.columns]
    table = rows.select(c.ROW_ID, F.col(c.TARGET).cast("long").alias(c.TARGET), *cuts, *kept, *features)
    return table.repartition(1).sortWithinPartitions(*kept, c.ROW_ID)


def cut_parts(
    rows: DataFrame, validation: Window, holdout: Window, train_days: int | None = None, zone: ZoneInfo = UTC_ZONE
) -> DataFrame:
    """Rows that are known as of the holdout's end with the column `PART`, by when they happened.

    Parameters
    ----------
    train_days : rows longer ago than so many days before the validation window are left out; None: all are learned from.
    zone : whose days the windows are of.
    """
    from pyspark.sql import functions as F

    at = F.col(c.EVENT_AT)
    if train_days is not None:
        rows = rows.where(at >= midnight(validation.start - timedelta(days=train_days), zone))
    part = F.when(at >= midnight(holdout.start, zone), PARTS[2]).when(at >= midnight(validation.start, zone), PARTS[1])
    return rows.withColumn(c.PART, part.otherwise(PARTS[0]))


def cut_shares(rows: DataFrame, order: str, validation_share: float, holdout_share: float) -> DataFrame:
    """Rows with the column `PART`: the last ones by the column `order` are the holdout. Rows of equal order stay together."""
    from pyspark.sql import Window as Over
    from pyspark.sql import functions as F

    later = 1.0 - F.cume_dist().over(Over.orderBy(order))  # the share of rows that come after this one and its equals
    _, validation, holdout = PARTS
    part = F.when(later < holdout_share, holdout).when(later < holdout_share + validation_share, validation)
    return rows.withColumn(c.PART, part.otherwise(PARTS[0]))


def order_by_time(rows: DataFrame) -> DataFrame:
    """Rows with their moment as `split_order`."""
    from pyspark.sql import functions as F

    return rows.withColumn(c.SPLIT_ORDER, F.unix_micros(c.EVENT_AT))


def order_by_file(rows: DataFrame) -> DataFrame:
    """Rows with their place as `split_order`: files by name, and rows by their number in the file."""
    from pyspark.sql import Window as Over
    from pyspark.sql import functions as F

    number = F.regexp_extract(F.col(c.ROW_ID), r"(\d+)$", 1).try_cast("long")
    return rows.withColumn(c.SPLIT_ORDER, F.row_number().over(Over.orderBy(c.SOURCE_FILE, number, c.ROW_ID)).cast("long"))


def assign_parts(rows: DataFrame, validation_share: float, holdout_share: float, seed: int) -> DataFrame:
    """Rows with the column `PART`: within each source file and class, every part gets its share, one row more or less."""
    return _draw(rows, (c.SOURCE_FILE, c.TARGET), c.ROW_ID, validation_share, holdout_share, seed)


def name_groups(rows: DataFrame, column: str) -> DataFrame:
    """Rows with the group of a column as `split_group`, and without the column. A row without a value is a group of its own.

    Raises
    ------
    ConfigurationError : there is no such column.
    """
    from pyspark.sql import functions as F

    allowed = [name for name in rows.columns if name not in (*c.TABULAR_COLUMNS, c.PART)]
    if column not in allowed:
        raise ConfigurationError(f"split.group_by: the rows have no column {column!r}; allowed: {', '.join(allowed)}")
    own = F.concat(F.lit("row "), c.ROW_ID)
    return rows.withColumn(c.SPLIT_GROUP, F.coalesce(F.col(f"`{column}`").cast("string"), own)).drop(column)


def assign_groups(rows: DataFrame, validation_share: float, holdout_share: float, seed: int) -> DataFrame:
    """Rows with the column `PART`: of the groups whose first file is the same, every part gets its share, one more or less."""
    from pyspark.sql import functions as F

    first = rows.groupBy(c.SPLIT_GROUP).agg(F.min(c.SOURCE_FILE).alias("_first_file"))
    parts = _draw(first, ("_first_file",), c.SPLIT_GROUP, validation_share, holdout_share, seed)
    return rows.join(parts.drop("_first_file"), c.SPLIT_GROUP)


def _draw(
    units: DataFrame, strata: Sequence[str], name: str, validation_share: float, holdout_share: float, seed: int
) -> DataFrame:
    """Units with the column `PART`, by systematic sampling within strata.

    Units in the order of a hash of their name have the place (rank - 1 + start) / n, where `start` is drawn for each stratum
    by a hash too, so that files of one row each do not all fall into one part.
    """
    from pyspark.sql import Window as Over
    from pyspark.sql import functions as F

    stratum = Over.partitionBy(*strata)
    drawn = F.sha2(F.concat_ws("|", F.lit(seed), F.col(name)), 256)
    start = F.conv(F.substring(F.sha2(F.concat_ws("|", F.lit(seed), *strata), 256), 1, 8), 16, 10)
    rank = F.row_number().over(stratum.orderBy(drawn, name))
    place = (rank - 1 + start.cast("double") / 2**32) / F.count(F.lit(1)).over(stratum)
    _, validation, holdout = PARTS
    part = F.when(place < holdout_share, holdout).when(place < holdout_share + validation_share, validation)
    return units.withColumn(c.PART, part.otherwise(PARTS[0]))


def set_aside(parted: DataFrame, test_sets: Mapping[str, TestSet], zone: ZoneInfo = UTC_ZONE) -> DataFrame:
    """Parted rows where those of a test set have its part, `test_<name>`. A row is in the first set whose conditions it fits.

    Raises
    ------
    ConfigurationError : a condition names a column that the rows lack.
    """
    from pyspark.sql import functions as F

    part = F.col(c.PART)
    for name, wanted in reversed(list(test_sets.items())):
        part = F.when(_fits(parted, name, wanted, zone), f"{TEST}{name}").otherwise(part)
    return parted.withColumn(c.PART, part)


def _fits(rows: DataFrame, name: str, wanted: TestSet, zone: ZoneInfo) -> Column:
    """Whether a row fits all conditions of a test set; never null."""
    from pyspark.sql import functions as F
    from pyspark.sql.types import StringType

    fits = F.lit(True)
    for column, values in wanted.where.items():
        if column not in rows.columns:
            allowed = ", ".join(one for one in rows.columns if one not in c.TABULAR_COLUMNS)
            raise ConfigurationError(f"split.test_sets.{name}.where: the rows have no column {column!r}; allowed: {allowed}")
        stated: list[Any] = list(values) if isinstance(values, tuple) else [values]
        if isinstance(rows.schema[column].dataType, StringType):
            stated = [str(value) for value in stated]
        fits &= F.col(f"`{column}`").isin(stated)
    if wanted.files:
        fits &= F.col(c.SOURCE_FILE).rlike(f"^{fnmatch.translate(wanted.files)}")
    if wanted.first_day:
        fits &= F.col(c.EVENT_AT) >= midnight(wanted.first_day, zone)
    if wanted.last_day:
        fits &= F.col(c.EVENT_AT) < midnight(wanted.last_day + timedelta(days=1), zone)
    return F.coalesce(fits, F.lit(False))

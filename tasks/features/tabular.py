"""Rows of tabular use cases: the feature columns as doubles, and which part a row belongs to. Frames in, frames out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks import columns as c
from tasks.errors import ConfigurationError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

PARTS = ("train", "validation", "holdout")


def make_rows(rows: DataFrame) -> DataFrame:
    """Known rows -> row_id, target, and the feature columns as doubles in the source's order; sorted by row_id.

    Raises
    ------
    ConfigurationError : a feature column is no number.
    """
    from pyspark.sql import functions as F
    from pyspark.sql.types import BooleanType, NumericType

    names = [name for name in rows.columns if name not in c.TABULAR_COLUMNS]
    wrong = [name for name in names if not isinstance(rows.schema[name].dataType, NumericType | BooleanType)]
    if wrong:
        raise ConfigurationError(
            f"feature columns {', '.join(wrong)} hold no numbers; turn them into numbers in the source, or leave them out"
        )
    features = [F.col(f"`{name}`").cast("double").alias(name) for name in names]
    kept = rows.select(c.ROW_ID, F.col(c.TARGET).cast("long").alias(c.TARGET), *features)
    return kept.repartition(1).sortWithinPartitions(c.ROW_ID)


def assign_parts(rows: DataFrame, validation_share: float, holdout_share: float, seed: int) -> DataFrame:
    """Rows with a column `part`: within each source file and class, every part gets its share, one row more or less.

    Systematic sampling: rows in the order of a hash of their id stand at (rank - 1 + start) / n, where `start` is drawn
    for each file and class by a hash too, so that files of one row each do not all fall into one part.
    """
    from pyspark.sql import Window as Over
    from pyspark.sql import functions as F

    stratum = Over.partitionBy(c.SOURCE_FILE, c.TARGET)
    drawn = F.sha2(F.concat_ws("|", F.lit(seed), F.col(c.ROW_ID)), 256)
    start = F.conv(F.substring(F.sha2(F.concat_ws("|", F.lit(seed), c.SOURCE_FILE, c.TARGET), 256), 1, 8), 16, 10)
    rank = F.row_number().over(stratum.orderBy(drawn, c.ROW_ID))
    place = (rank - 1 + start.cast("double") / 2**32) / F.count(F.lit(1)).over(stratum)
    _, validation, holdout = PARTS
    part = F.when(place < holdout_share, holdout).when(place < holdout_share + validation_share, validation)
    return rows.withColumn("part", part.otherwise(PARTS[0]))

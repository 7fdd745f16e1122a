"""Rows of tabular use cases: the feature columns, and which part a row belongs to. Frames in, frames out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.errors import ConfigurationError
from tasks.stages.features.history import midnight

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

PARTS = ("train", "validation", "holdout")


def make_rows(rows: DataFrame, stated: Sequence[str] = ()) -> DataFrame:
    """Known rows -> row_id, target, and the feature columns in the source's order, text or doubles; sorted by row_id.

    Parameters
    ----------
    stated : columns whose text the use case declares how to read.

    Raises
    ------
    ConfigurationError : a feature column is neither number nor text, or a stated one is not text.
    """
    from pyspark.sql import functions as F
    from pyspark.sql.types import BooleanType, NumericType, StringType

    kinds = {name: rows.schema[name].dataType for name in rows.columns if name not in c.TABULAR_COLUMNS}
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
    kept = rows.select(c.ROW_ID, F.col(c.TARGET).cast("long").alias(c.TARGET), *features)
    return kept.repartition(1).sortWithinPartitions(c.ROW_ID)


def cut_parts(rows: DataFrame, validation: Window, holdout: Window) -> DataFrame:
    """Rows that are known as of the holdout's end with a column `part`, by when they happened."""
    from pyspark.sql import functions as F

    at = F.col(c.EVENT_AT)
    part = F.when(at >= midnight(holdout.start), PARTS[2]).when(at >= midnight(validation.start), PARTS[1])
    return rows.withColumn("part", part.otherwise(PARTS[0]))


def assign_parts(rows: DataFrame, validation_share: float, holdout_share: float, seed: int) -> DataFrame:
    """Rows with a column `part`: within each source file and class, every part gets its share, one row more or less.

    Systematic sampling: rows in the order of a hash of their id have the place (rank - 1 + start) / n, where `start` is drawn
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

"""The endpoint's own prediction log: what was shown to whom, as interactions of the type `recommended`."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from tasks import columns as c
from tasks.contracts import Prediction, Window
from tasks.errors import SourceError
from tasks.ingestion.base import Source, SourceFile, check_folder, decode, number_rows, plain_paths, read_bytes

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

NAME = re.compile(r"(\d{4}-\d{2}-\d{2})\.\d+\.jsonl")
CELLS = "prediction_id string, made_at string, subject string, items array<string>, scores array<double>, path string"


class AnswerLog(Source):
    """One row for each item of each answer; `value` is its score, `segment` the way that made it (model, fold_in, popular).

    `path` is the folder `online` of a use case's prediction log: a file a day and process. A line that is torn at the end of
    a file was never acknowledged and is passed over; one that is broken elsewhere is refused.
    """

    kind: Literal["answer_log"] = "answer_log"

    def files(self, folder: Path | None, window: Window) -> list[SourceFile]:
        found = []
        for entry in sorted(check_folder(folder, self.kind).iterdir()):
            name = NAME.fullmatch(entry.name)
            if name is None:
                raise SourceError(f"{entry}: the log's files are named YYYY-MM-DD.<process>.jsonl; take it away")
            day = date.fromisoformat(name[1])
            if window.start <= day < window.end:
                content, sha256 = read_bytes(entry)
                found.append(SourceFile(entry.name, entry, sha256, day, _count(decode(content, entry), entry)))
        return found

    def read(self, spark: SparkSession, files: list[SourceFile], window: Window) -> DataFrame:
        from pyspark.sql import functions as F

        lines = number_rows(spark.read.text(plain_paths(files)).where("trim(value) <> ''"))
        told = lines.select(c.ROW_ID, c.SOURCE_FILE, "value", F.from_json("value", CELLS).alias("answer"))
        whole = told.where(F.col("answer.prediction_id").isNotNull() & F.endswith(F.rtrim("value"), F.lit("}")))
        shown = whole.select("*", F.posexplode("answer.items").alias("place", "item"))
        made_at = F.to_timestamp("answer.made_at")
        nothing = F.lit(None).cast("double")
        return shown.select(
            F.concat_ws(":", c.ROW_ID, (F.col("place") + 1).cast("string")).alias(c.ROW_ID),
            c.SOURCE_FILE,
            made_at.alias(c.EVENT_AT),
            F.date_add(F.to_date(F.substring(c.SOURCE_FILE, 1, 10)), 1).cast("timestamp").alias(c.INGESTED_AT),
            F.col("value").alias(c.AS_IT_CAME),
            F.col("answer.prediction_id").alias(c.EVENT_ID),
            F.lit(c.RECOMMENDED).alias(c.EVENT_TYPE),
            F.col("answer.subject").alias(c.USER_ID),
            F.col("item").alias(c.ITEM_ID),
            F.lit(None).cast("string").alias(c.ITEM_TEXT),
            nothing.alias(c.QUANTITY),
            nothing.alias(c.UNIT_PRICE),
            F.get("answer.scores", F.col("place")).alias(c.VALUE),
            F.col("answer.path").alias(c.SEGMENT),
            F.lit(None).cast("string").alias(c.USER_ATTRIBUTES),
            F.lit(None).cast("string").alias(c.ITEM_ATTRIBUTES),
        )


def _count(text: str, path: Path) -> int:
    """Items that were shown, by the contract that the endpoint writes by."""
    rows = 0
    lines = text.split("\n")
    for place, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows += len(Prediction.model_validate_json(line).items)
        except ValidationError as error:
            if place == len(lines):  # killed within this line's write
                continue
            raise SourceError(f"{path}: line {place}: not an answer of the endpoint: {line[:120]!r}") from error
    return rows

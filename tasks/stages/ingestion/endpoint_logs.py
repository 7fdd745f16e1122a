"""The endpoint's event store and its prediction log as sources."""

from __future__ import annotations

import itertools
import json
from abc import abstractmethod
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tasks import columns as c
from tasks.contracts.base import Name, Window
from tasks.contracts.calendar import start_of_day
from tasks.contracts.cells import CellType
from tasks.contracts.predictions import ONLINE
from tasks.errors import SourceError
from tasks.io.days import local_date
from tasks.io.prediction_log import PredictionLog
from tasks.settings import get_settings
from tasks.stages.ingestion.base import SourceFile, name_rows
from tasks.stages.ingestion.cells import ROWS_OF_A_GROUP, arrow_schema, spark_schema
from tasks.stages.ingestion.extract import Extracted

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_CELLS: dict[str, CellType] = {
    **dict.fromkeys((c.EVENT_AT, c.INGESTED_AT), "timestamp"),
    **dict.fromkeys((c.AS_IT_CAME, c.EVENT_ID, c.EVENT_TYPE, c.USER_ID, c.ITEM_ID, c.SEGMENT), "string"),
    **dict.fromkeys((c.QUANTITY, c.UNIT_PRICE, c.VALUE), "double"),
}


class EndpointLog(Extracted):
    """Rows of one of this installation's own logs. A row is known from the time at which the endpoint stored it.

    Attributes
    ----------
    of : the use case of the log, usually the name of this use case.
    """

    of: Name

    def read(self, spark: SparkSession, files: list[SourceFile], window: Window) -> DataFrame:
        from pyspark.sql import functions as F

        day = F.concat(F.lit(f"{self.kind}@"), local_date(F.col(c.INGESTED_AT), self.days_of).cast("string"))
        frame = self.open(spark, files, spark_schema(_CELLS)).select("*", name_rows()[0], day.alias(c.SOURCE_FILE))
        missing = [F.lit(None).cast("string").alias(name) for name in c.INTERACTION_COLUMNS if name not in frame.columns]
        return frame.select("*", *missing).select(*c.INTERACTION_COLUMNS)

    def extract(self, window: Window, path: Path) -> int:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema, rows, count = arrow_schema(_CELLS), self.rows(window), 0
        with pq.ParquetWriter(path, schema) as writer:
            while some := list(itertools.islice(rows, ROWS_OF_A_GROUP)):
                writer.write_table(pa.Table.from_pylist(some, schema))
                count += len(some)
        return count

    @abstractmethod
    def rows(self, window: Window) -> Iterator[dict[str, Any]]:
        """The rows stored in the window by canonical names, in an order that is always the same."""


class EventLog(EndpointLog):
    """Events of users, as received by `POST /v1/<use case>/events`. `value` is the amount paid, or the rating."""

    kind: Literal["event_log"] = "event_log"

    def rows(self, window: Window) -> Iterator[dict[str, Any]]:
        from sqlalchemy.exc import SQLAlchemyError

        from tasks.io.events import EventStore

        since, until = (start_of_day(day, self.days_of) for day in (window.start, window.end))
        url = get_settings().events_url
        try:
            for event in EventStore(url).events_between(self.of, since, until):
                cells = event._asdict()
                del cells["sequence"], cells["use_case"]  # set by the store, no part of the event
                is_sale = event.event_type == c.PURCHASE and event.value is not None and event.quantity > 0
                yield cells | {
                    c.AS_IT_CAME: json.dumps(cells, default=str, ensure_ascii=False),
                    c.UNIT_PRICE: (event.value or 0.0) / event.quantity if is_sale else None,
                }
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", error)).splitlines()[0][:200]
            raise SourceError(
                f"source {self.kind}: the event store cannot be read: {reason}; check that the database is up"
            ) from error


class AnswerLog(EndpointLog):
    """Predictions served to users, one row for each item. `value` is the score, `segment` the answer path."""

    kind: Literal["answer_log"] = "answer_log"

    def rows(self, window: Window) -> Iterator[dict[str, Any]]:
        log = PredictionLog(get_settings().predictions_root)
        since, until = (start_of_day(day, self.days_of) for day in (window.start, window.end))
        last = (until - timedelta(microseconds=1)).date()  # the log's days are in UTC
        kept = log.read(self.of, since.date(), last + timedelta(days=1))
        shown = (one for one in kept if one.channel == ONLINE and since <= one.made_at < until)
        for answer in sorted(shown, key=lambda one: (one.made_at, one.prediction_id)):
            for rank, (item, score) in enumerate(zip(answer.items, answer.scores, strict=True), start=1):
                cells = {"prediction_id": answer.prediction_id, "rank": rank, "item_id": item, "score": score}
                context = {"made_at": answer.made_at, "subject": answer.subject, "model_version": answer.model_version}
                yield {
                    c.EVENT_AT: answer.made_at,
                    c.INGESTED_AT: answer.made_at,
                    c.EVENT_ID: answer.prediction_id,
                    c.EVENT_TYPE: c.RECOMMENDED,
                    c.USER_ID: answer.subject,
                    c.ITEM_ID: item,
                    c.VALUE: score,
                    c.SEGMENT: answer.path,
                    c.AS_IT_CAME: json.dumps(cells | context, default=str, ensure_ascii=False),
                }

"""Daily invoice files, in the format of the UCI Online Retail data set: one `YYYY-MM-DD.csv` for each trading day."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.errors import SourceError
from tasks.io.days import midnight_of, read_local
from tasks.stages.ingestion.base import (
    LocalTimes,
    SourceFile,
    as_json,
    check_folder,
    number,
    number_rows,
    plain_paths,
    read_bytes,
    text,
)
from tasks.stages.ingestion.formats import count_csv

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

HEADER = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")
DATE_FORMAT = "yyyy-MM-dd HH:mm:ss"


class InvoiceFiles(LocalTimes):
    """Invoice lines, one file a day. A file is known from midnight after its local day. An InvoiceNo with C is a return."""

    refuses_files: ClassVar[bool] = True
    kind: Literal["invoice_files"] = "invoice_files"

    @property
    def may_deliver_late(self) -> bool:
        return True

    def files(self, folder: Path | None, window: Window) -> list[SourceFile]:
        folder = check_folder(folder, self.kind)
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        days = {_day_of(entry): entry for entry in entries if entry.suffix == ".csv"}
        if entries and not days:
            raise SourceError(
                f"{folder}: expected files named YYYY-MM-DD.csv, got {', '.join(entry.name for entry in entries[:5])}"
                f"{', ...' if len(entries) > 5 else ''}; check source.path"
            )
        return [_check(path, day) for day, path in sorted(days.items()) if window.start <= day < window.end]

    def read(self, spark: SparkSession, files: list[SourceFile], window: Window) -> DataFrame:
        from pyspark.sql import functions as F

        cells = spark.read.csv(
            plain_paths(files),
            schema=", ".join(f"{name} string" for name in HEADER),
            header=True,
            multiLine=True,
            quote='"',
            escape='"',
            encoding="UTF-8",
            maxCharsPerColumn=-1,
        )
        day, invoice = F.to_date(F.substring(c.SOURCE_FILE, 1, 10)), text("InvoiceNo")
        return number_rows(cells).select(
            c.ROW_ID,
            c.SOURCE_FILE,
            read_local(F.try_to_timestamp(text("InvoiceDate"), F.lit(DATE_FORMAT)), self.times_of).alias(c.EVENT_AT),
            midnight_of(F.date_add(day, 1), self.days_of).alias(c.INGESTED_AT),
            as_json(list(HEADER)).alias(c.AS_IT_CAME),
            invoice.alias(c.EVENT_ID),
            F.when(invoice.rlike("^[Cc]"), c.RETURN).when(invoice.isNotNull(), c.PURCHASE).alias(c.EVENT_TYPE),
            F.regexp_replace(text("CustomerID"), r"\.0+$", "").alias(c.USER_ID),
            F.upper(text("StockCode")).alias(c.ITEM_ID),
            text("Description").alias(c.ITEM_TEXT),
            number("Quantity").alias(c.QUANTITY),
            number("UnitPrice").alias(c.UNIT_PRICE),
            (number("Quantity") * number("UnitPrice")).alias(c.VALUE),
            text("Country").alias(c.SEGMENT),
            F.lit(None).cast("string").alias(c.USER_ATTRIBUTES),
            F.lit(None).cast("string").alias(c.ITEM_ATTRIBUTES),
            F.lit(None).cast("string").alias(c.LINE_ID),
        )


def _day_of(path: Path) -> date:
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", path.stem):
            return date.fromisoformat(path.stem)
    except ValueError:
        pass
    raise SourceError(f"{path}: expected the name YYYY-MM-DD.csv with a valid day; rename or remove the file")


def _check(path: Path, day: date) -> SourceFile:
    """Refuse a file of another form before anything is written. Validation judges the single cells."""
    content, sha256 = read_bytes(path)
    return SourceFile(path.name, path, sha256, day, count_csv(content, path, HEADER, "utf-8", ","))

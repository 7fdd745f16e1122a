"""Daily invoice files, in the format of the UCI Online Retail data set: one `YYYY-MM-DD.csv` for each trading day."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.cells import Cell
from tasks.errors import SourceError
from tasks.io.days import midnight_of
from tasks.io.spark_cells import TIME_FORMAT, Times, Wanted, read_cells, value_of
from tasks.stages.ingestion.base import (
    FILE,
    LocalTimes,
    SourceFile,
    as_json,
    check_folder,
    name_rows,
    number_rows,
    plain_paths,
    read_bytes,
)
from tasks.stages.ingestion.formats import Declared, count_csv

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

HEADER = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")
CELLS = {
    c.EVENT_ID: Wanted("InvoiceNo", Cell(type="id")),
    c.ITEM_ID: Wanted("StockCode", Cell(type="id", case="upper")),
    c.ITEM_TEXT: Wanted("Description", Cell()),
    c.QUANTITY: Wanted("Quantity", Cell(type="double")),
    c.EVENT_AT: Wanted("InvoiceDate", Cell(type="timestamp", formats=(TIME_FORMAT,))),
    c.UNIT_PRICE: Wanted("UnitPrice", Cell(type="double")),
    c.USER_ID: Wanted("CustomerID", Cell(type="id")),
    c.SEGMENT: Wanted("Country", Cell()),
}


class InvoiceFiles(LocalTimes):
    """Invoice lines, one file a day. A file is known from midnight after its local day. An InvoiceNo with C is a return."""

    reader_version = 2
    refuses_files: ClassVar[bool] = True
    kind: Literal["invoice_files"] = "invoice_files"

    @property
    def may_deliver_late(self) -> bool:
        return True

    @property
    def wanted(self) -> Mapping[str, Wanted]:
        return CELLS

    @property
    def requested(self) -> Mapping[str, Cell]:
        return {name: CELLS[name].cell for name in (c.USER_ID, c.ITEM_ID, c.QUANTITY, c.SEGMENT)}

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
            plain_paths([file.path for file in files]),
            schema=", ".join(f"{name} string" for name in HEADER),
            header=True,
            multiLine=True,
            quote='"',
            escape='"',
            encoding="UTF-8",
            maxCharsPerColumn=-1,
        )
        read = read_cells(number_rows(cells), self.wanted, Times(self.times_of))
        value = {name: F.col(f"`{value_of(name)}`") for name in self.wanted}
        day, invoice = F.to_date(F.substring(FILE, 1, 10)), value[c.EVENT_ID]
        made = {
            c.INGESTED_AT: midnight_of(F.date_add(day, 1), self.days_of),
            c.AS_IT_CAME: as_json(list(HEADER)),
            c.EVENT_TYPE: F.when(invoice.rlike("^[Cc]"), c.RETURN).when(invoice.isNotNull(), c.PURCHASE),
            c.VALUE: value[c.QUANTITY] * value[c.UNIT_PRICE],
            **dict.fromkeys((c.USER_ATTRIBUTES, c.ITEM_ATTRIBUTES, c.LINE_ID), F.lit(None).cast("string")),
        }
        rest = (name for name in c.INTERACTION_COLUMNS if name not in (c.ROW_ID, c.SOURCE_FILE))
        return read.select(*name_rows(), *({**value, **made}[name].alias(name) for name in rest), c.LOST_CELLS)


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
    return SourceFile(
        path.name, path, sha256, day, count_csv(content, path, Declared(dict.fromkeys(HEADER, "string")), "utf-8", ",")
    )

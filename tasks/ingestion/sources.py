"""All kinds of source: one class, one file, one entry here."""

from __future__ import annotations

from tasks.ingestion.base import Source, SourceFile
from tasks.ingestion.breast_cancer import BreastCancer
from tasks.ingestion.daily_files import DailyFiles
from tasks.ingestion.endpoint_logs import AnswerLog, EventLog
from tasks.ingestion.invoice_files import InvoiceFiles
from tasks.ingestion.movielens import MovieLens
from tasks.ingestion.table import Table
from tasks.spec import Room

__all__ = [
    "SOURCES", "AnswerLog", "BreastCancer", "DailyFiles", "EventLog", "InvoiceFiles", "MovieLens", "Source", "SourceFile",
    "Table",
]  # fmt: skip

SOURCES = Room("source", InvoiceFiles, DailyFiles, Table, EventLog, AnswerLog, MovieLens, BreastCancer)

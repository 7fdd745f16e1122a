"""All kinds of source: one class, one file, one entry here."""

from __future__ import annotations

from tasks.kinds import KindRegistry
from tasks.stages.ingestion.base import Source, SourceFile
from tasks.stages.ingestion.breast_cancer import BreastCancer
from tasks.stages.ingestion.daily_files import DailyFiles
from tasks.stages.ingestion.endpoint_logs import AnswerLog, EventLog
from tasks.stages.ingestion.invoice_files import InvoiceFiles
from tasks.stages.ingestion.movielens import MovieLens
from tasks.stages.ingestion.table import Table

__all__ = [
    "SOURCES",
    "AnswerLog",
    "BreastCancer",
    "DailyFiles",
    "EventLog",
    "InvoiceFiles",
    "MovieLens",
    "Source",
    "SourceFile",
    "Table",
]

SOURCES = KindRegistry("source", InvoiceFiles, DailyFiles, Table, EventLog, AnswerLog, MovieLens, BreastCancer)

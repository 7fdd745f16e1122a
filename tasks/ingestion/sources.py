"""All kinds of source: one class, one file, one entry here."""

from __future__ import annotations

from tasks.ingestion.base import Source, SourceFile
from tasks.ingestion.breast_cancer import BreastCancer
from tasks.ingestion.invoice_files import InvoiceFiles
from tasks.ingestion.movielens import MovieLens
from tasks.spec import Room

__all__ = ["SOURCES", "BreastCancer", "InvoiceFiles", "MovieLens", "Source", "SourceFile"]

SOURCES = Room("source", InvoiceFiles, MovieLens, BreastCancer)

"""The registry of sources. Each is a class with a `kind`.

To add one: a module of this package with a subclass of `Source`, its line in `SOURCES`, and
`tests/tasks/stages/ingestion/test_<module>.py` with a sample of its files. Contract tests and proofs find it there.
"""

from __future__ import annotations

from tasks.kinds import KindRegistry
from tasks.stages.ingestion.base import Source

SOURCES = KindRegistry.of_modules(
    "source",
    Source,  # type: ignore[type-abstract]  # only its subclasses are collected
    "tasks.stages.ingestion",
    (
        "invoice_files",
        "daily_files",
        "whole_files",
        "table",
        "endpoint_logs",
        "movielens",
        "breast_cancer",
    ),
)

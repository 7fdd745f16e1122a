"""The real files, where there are any."""

from tests.tasks.ingestion.conftest import online_retail

__all__ = ["online_retail"]

"""The real files, where there are any."""

from tests.tasks.stages.ingestion.conftest import online_retail

__all__ = ["online_retail"]

"""Fixtures of the tests of monitoring."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.settings import get_settings


@pytest.fixture
def mlflow_store(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A store of this test's own."""
    own_home.mkdir()
    monkeypatch.setenv("TITLEHOLDER_MLFLOW_TRACKING_URI", f"sqlite:///{own_home}/mlflow.db")
    monkeypatch.setenv("MLFLOW_ARTIFACT_ROOT", str(own_home / "artifacts"))
    monkeypatch.chdir(own_home)
    get_settings.cache_clear()
    yield

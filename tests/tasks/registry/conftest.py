"""A real MLflow store, made once and copied for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.ledger import Ledger
from tasks.settings import get_settings
from tasks.storage import Storage
from tests.tasks import arena
from tests.tasks.registry.court import SHOP, Court


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return arena.make_empty_store(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture
def store(empty_store: Path, own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that exports may be staged in."""
    arena.open_store(empty_store, tmp_path, monkeypatch)
    return tmp_path


@pytest.fixture
def court(storage: Storage, store: Path) -> Court:
    return Court(storage, store, Ledger(get_settings().ledger_url), arena.interactions(storage, SHOP))

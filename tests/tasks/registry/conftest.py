"""A court, over a real MLflow store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.ledger import Ledger
from tasks.settings import get_settings
from tasks.storage import Storage
from tests.tasks import arena
from tests.tasks.registry.court import SHOP, Court


@pytest.fixture
def court(storage: Storage, store: Path) -> Court:
    return Court(storage, store, Ledger(get_settings().ledger_url), arena.interactions(storage, SHOP))

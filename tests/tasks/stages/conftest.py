"""The registry harness, over a real MLflow store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.io.ledger import Ledger
from tasks.io.storage import Storage
from tasks.settings import get_settings
from tests.tasks import synthetic_classification
from tests.tasks.stages.registry.registered_models import SHOP, RegistryHarness


@pytest.fixture
def harness(storage: Storage, store: Path) -> RegistryHarness:
    return RegistryHarness(
        storage, store, Ledger(get_settings().ledger_url), synthetic_classification.interactions(storage, SHOP)
    )

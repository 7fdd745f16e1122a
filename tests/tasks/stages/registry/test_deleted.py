"""What a person deleted in MLflow is reported by name, and restored where MLflow still has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.errors import ModelError
from tasks.io import tracking
from tasks.io.ledger import Ledger
from tasks.io.storage import Storage
from tasks.settings import get_settings
from tasks.stages.registry import restore_deleted
from tests.tasks import synthetic_classification
from tests.tasks.stages.registry.registered_models import SHOP, RegistryHarness


@pytest.fixture
def harness(storage: Storage, store: Path, own_home: Path) -> RegistryHarness:
    own_home.mkdir(exist_ok=True)
    examples = synthetic_classification.interactions(storage, SHOP)
    return RegistryHarness(storage, store, Ledger(get_settings().ledger_url), examples)


def test_a_deleted_experiment_is_named_and_restored(harness: RegistryHarness) -> None:
    harness.promote_champions(1)
    assert restore_deleted(SHOP, harness.ledger, restore=True) == []
    client = tracking.get_client()
    client.delete_experiment(tracking.get_experiment(client, SHOP))
    told = "MLflow's experiment of shop was deleted: restore it with `titleholder reconcile shop`"
    with pytest.raises(ModelError, match=told), tracking.start_run(SHOP, "als", "key", {}):
        pass
    assert tracking.open_runs(SHOP) == []
    assert "left, because the use case says restore_deleted: false" in restore_deleted(SHOP, harness.ledger, restore=False)[0]
    assert tracking.experiment_is_deleted(SHOP)
    lines = restore_deleted(SHOP, harness.ledger, restore=True)
    assert lines[0] == "MLflow's experiment of shop was deleted: restored"
    assert restore_deleted(SHOP, harness.ledger, restore=True) == []
    with tracking.start_run(SHOP, "als", "key", {}) as run:
        assert run.run_id


def test_a_deleted_run_of_a_version_is_restored_and_a_deleted_version_reported(harness: RegistryHarness) -> None:
    first, second = harness.promote_champions(2)
    client = tracking.get_client()
    run_id = client.get_model_version(SHOP, str(first)).run_id
    client.delete_run(run_id)
    assert restore_deleted(SHOP, harness.ledger, restore=True) == [
        f"MLflow's run {run_id} of version {first} of shop was deleted: restored"
    ]
    assert client.get_run(run_id).info.lifecycle_stage == "active"
    client.delete_model_version(SHOP, str(second))
    (line,) = restore_deleted(SHOP, harness.ledger, restore=True)
    assert line.startswith(f"version {second} of shop, the champion by the ledger, was deleted from MLflow's registry")
    assert f"`titleholder promote {SHOP} <version>`" in line

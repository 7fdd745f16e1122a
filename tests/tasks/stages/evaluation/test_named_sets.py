"""Test sets: challenger and champion are measured on each, and the reports show them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from tasks.contracts.base import TaskKind
from tasks.contracts.data import DatasetRef, Split
from tasks.contracts.judging import Role, SetResult
from tasks.contracts.training import ScoringTerms
from tasks.io import tracking
from tasks.io.storage import Storage
from tasks.jobs.training import register_verdict
from tasks.stages.evaluation import evaluate_sets
from tests.tasks import synthetic_classification
from tests.tasks.stages.registry.registered_models import RegistryHarness

TERMS = ScoringTerms(use_case="sensor", task=TaskKind.CLASSIFICATION, metrics=("roc_auc", "log_loss"))


def skilled(slope: float) -> synthetic_classification.Skilled:
    return synthetic_classification.Skilled(np.zeros((1, 1)), slope=slope)


@pytest.fixture
def split(storage: Storage) -> Split:
    rows: DatasetRef = synthetic_classification.tabular(storage, "sensor")
    night = synthetic_classification.tabular(storage, "sensor_night", rows=80)
    return Split(as_of=date(2011, 6, 1), train=rows, validation=rows, holdout=rows, tests={"night": night})


def test_both_models_are_measured_on_each_set(storage: Storage, split: Split, store: Path) -> None:
    candidate = synthetic_classification.log_candidate("sensor", "good", skilled(1.0), split.holdout, store)
    other = synthetic_classification.log_candidate("sensor", "bad", skilled(-1.0), split.holdout, store)
    champion = synthetic_classification.as_version(other)
    (found,) = evaluate_sets(candidate, champion, split, TERMS, storage)
    assert (found.name, found.rows) == ("night", 80)
    auc = {role: values["roc_auc"] for role, values in found.values.items()}
    assert auc[Role.CHALLENGER] > 0.6 and auc[Role.CHALLENGER] == pytest.approx(1 - auc[Role.CHAMPION])
    lost = champion.model_copy(update={"manifest_digest": "0" * 64})
    (alone,) = evaluate_sets(candidate, lost, split, TERMS, storage)
    assert set(alone.values) == {Role.CHALLENGER}
    assert evaluate_sets(candidate, None, split.model_copy(update={"tests": {}}), TERMS, storage) == ()


def test_the_reports_show_test_sets(harness: RegistryHarness) -> None:

    sets = (
        SetResult(name="night", rows=80, values={Role.CHALLENGER: {"ndcg_at_3": 0.25}, Role.CHAMPION: {"ndcg_at_3": 0.125}}),
    )
    made = register_verdict(harness.verdict().model_copy(update={"test_sets": sets}), harness.storage)
    folder = f"verdict-{made.report_digest[:12]}"
    assert "| night | 80 | ndcg_at_3 | 0.2500 | 0.1250 |" in tracking.read_run_text(made.run_id, f"{folder}/report.md")
    card = tracking.read_run_text(made.run_id, f"{folder}/model-card.html")
    assert "Test sets" in card and "night" in card and "0.125" in card
    assert tracking.get_client().get_run(made.run_id).data.metrics["test_night_ndcg_at_3"] == 0.25

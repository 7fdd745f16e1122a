"""The terms in an exported model: an export of an earlier release still loads."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tasks.contracts.base import TaskKind
from tasks.contracts.training import ScoringTerms
from tasks.models import SERVED
from tasks.models.base import MANIFEST, load_model, save_model
from tasks.models.popularity import PopularityModel

EARLIER = {
    "use_case": "tumours",
    "task": "classification",
    "k": 10,
    "exclude_seen": False,
    "row_columns": ["mean radius", "stage"],
    "text_columns": ["stage"],
}  # as exports held them before the terms named metrics


def test_terms_without_metrics_load() -> None:
    terms = ScoringTerms.from_json(EARLIER)
    assert (terms.task, terms.k, terms.row_columns) == (TaskKind.CLASSIFICATION, 10, ("mean radius", "stage"))
    assert terms.metrics == ()
    with pytest.raises(ValueError, match="tumours: the scoring terms name no metric"):
        _ = terms.primary


def test_terms_come_back_from_json() -> None:
    terms = ScoringTerms(
        use_case="shop", task=TaskKind.PROPENSITY, metrics=("ndcg_at_5", "recall_at_5"), k=5, exclude_seen=True
    )
    assert ScoringTerms.from_json(terms.to_json()) == terms
    assert terms.primary == "ndcg_at_5"
    assert terms.measured_by("recall_at_5").metrics == ("recall_at_5",)


def test_an_export_without_metrics_loads(tmp_path: Path) -> None:
    terms = ScoringTerms(use_case="shop", task=TaskKind.RECOMMENDATION, metrics=("ndcg_at_5",), k=5)
    folder = tmp_path / "model"
    save_model(PopularityModel(28.0), folder, terms)
    document = json.loads((folder / "model.json").read_text())
    del document["terms"]["metrics"]
    (folder / "model.json").write_text(json.dumps(document))
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("model.json", "arrays.npz")}
    (folder / MANIFEST).write_text(json.dumps({"files": digests}))
    digest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    assert load_model(folder, digest, SERVED)[1] == terms.measured_by()

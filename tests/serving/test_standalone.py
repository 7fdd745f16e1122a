"""One exported model, served without ledger and registry."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.app import create_app
from serving.standalone import SingleDeployment, load_bundle
from tasks.contracts.base import TaskKind
from tasks.contracts.data import DatasetRef
from tasks.contracts.training import ScoringTerms
from tasks.errors import ModelError
from tasks.io import isolated_process
from tasks.io.endpoint import StandaloneExport, serve_standalone
from tasks.models.base import ServedModel, save_model
from tests.serving.conftest import client_of
from tests.serving.constant_models import KINDS, NonFiniteRanker, TinyClassifier, TinyRanker
from tests.serving.installation import ROW_COLUMNS, Installation
from tests.serving.test_app import check_problem


def make_job(cached: Installation, folder: Path, model: ServedModel, task: TaskKind = TaskKind.PROPENSITY) -> dict[str, Any]:
    """The job of an export, as `tasks.io.endpoint.serve_standalone` writes it."""
    columns = ROW_COLUMNS if task.answers_rows else ()
    digest = save_model(model, folder, ScoringTerms(use_case="shop", task=task, k=3, row_columns=columns))
    return {
        "use_case": "shop",
        "native": str(folder),
        "manifest_digest": digest,
        "features": cached.publish_features("shop").to_json(),
        "as_of": "2011-02-03",
        "data_root": str(cached.settings.data_root),
    }


@pytest.mark.servers
def test_adapter_serves_an_export_in_a_process_of_its_own(cached: Installation, tmp_path: Path) -> None:
    job = make_job(cached, tmp_path / "native", TinyRanker(1.0))
    export = StandaloneExport(
        use_case="shop",
        native=tmp_path / "native",
        manifest_digest=job["manifest_digest"],
        kinds=KINDS,
        features=DatasetRef.from_json(job["features"]),
        as_of=date(2011, 2, 3),
        data_root=cached.settings.data_root,
    )
    home = tmp_path / "empty"
    home.mkdir()
    with serve_standalone(export, command=isolated_process.command("serving.standalone"), home=home) as address:
        answer = httpx.get(f"{address}/v1/shop/recommendations/u1").json()
    assert [item["item_id"] for item in answer["items"]] == ["i4", "i3", "i2"]


def test_recommender_answers_without_a_promotion(cached: Installation, tmp_path: Path) -> None:
    job = make_job(cached, tmp_path / "native", TinyRanker(1.0))
    bundle = load_bundle(job, KINDS)
    assert str(bundle.features_as_of) == "2011-02-03"
    client = client_of(create_app(cached.settings, KINDS, SingleDeployment(bundle)))
    answer = client.get("/v1/shop/recommendations/u1").json()
    assert [item["item_id"] for item in answer["items"]] == ["i4", "i3", "i2"]
    assert answer["manifest_digest"] == job["manifest_digest"]
    assert client.get("/readyz").json()["use_cases"]["shop"]["champion_version"] is None
    assert "without a promotion" in str(check_problem(client.get("/v1/shop/model"), 404)["detail"])
    assert "tiny_ranker" in client.get("/").text


def test_classifier_answers_without_a_promotion(cached: Installation, tmp_path: Path) -> None:
    bundle = load_bundle(make_job(cached, tmp_path / "native", TinyClassifier(0.0), TaskKind.CLASSIFICATION), KINDS)
    client = client_of(create_app(cached.settings, KINDS, SingleDeployment(bundle)))
    answer = client.post("/v1/shop/predictions", json={"rows": [dict.fromkeys(ROW_COLUMNS, 0.0)]}).json()
    assert answer["predictions"][0]["probability"] == 0.5


def test_invalid_exports_are_refused(cached: Installation, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="different items with finite scores"):
        load_bundle(make_job(cached, tmp_path / "a", NonFiniteRanker(1.0)), KINDS)
    with pytest.raises(ModelError, match="manifest"):
        load_bundle({**make_job(cached, tmp_path / "b", TinyRanker(1.0)), "manifest_digest": "f" * 64}, KINDS)

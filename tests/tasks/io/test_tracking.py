"""What MLflow no longer has is an error of its own: it is not taken for a server that does not answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests
from mlflow.exceptions import MlflowException

from tasks.errors import ModelError, ServiceUnavailable
from tasks.io import tracking


@pytest.fixture
def run_id(store: Path) -> str:
    with tracking.start_run("shop", "model", "key", {}) as run:
        run.log_text("{}", "verdict/verdict.json")
        return run.run_id


def test_an_artifact_is_read(run_id: str) -> None:
    assert tracking.read_run_text(run_id, "verdict/verdict.json") == "{}"


def test_what_is_gone_is_a_fault_of_the_model(run_id: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"no artifact verdict/pruned\\.json of run {run_id}"):
        tracking.read_run_text(run_id, "verdict/pruned.json")
    with pytest.raises(ModelError, match=r"no artifact a\.json of run 0123"):
        tracking.read_run_text("0123", "a.json")
    with pytest.raises(ModelError, match="no export of models:/m-0123"):
        tracking.download_native("models:/m-0123", tmp_path)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (MlflowException("failures: 404 Client Error: NOT FOUND for url"), ModelError),
        (requests.HTTPError("404 Client Error: NOT FOUND for url"), ModelError),
        (requests.ConnectionError("refused"), ServiceUnavailable),
        (MlflowException("failures: Max retries exceeded"), ServiceUnavailable),
        (MlflowException("anything else"), MlflowException),
    ],
    ids=["gone, from a server", "gone, at once", "no answer", "no answer in time", "another"],
)
def test_errors_of_a_download(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, raised: Exception, expected: type[Exception]
) -> None:
    class Client:
        def download_artifacts(self, *_: str) -> str:
            raise raised

    monkeypatch.setattr(tracking, "get_client", Client)
    with pytest.raises(expected):
        tracking.read_run_text("0123", "a.json")

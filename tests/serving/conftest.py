"""A real MLflow store, made once and copied for each test."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.deployment.store import ModelStore
from tasks.contracts.predictions import Prediction
from tasks.io.prediction_log import PredictionLog
from tasks.settings import get_settings
from tests.serving.constant_models import KINDS
from tests.serving.installation import Installation

Serve = Callable[[], AbstractContextManager[TestClient]]


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without content: making its tables takes seconds."""
    import mlflow

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow.MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def installation(empty_mlflow: Path, own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    shutil.copy(empty_mlflow, tmp_path / "mlflow.db")
    monkeypatch.setenv("TITLEHOLDER_MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("TITLEHOLDER_ENDPOINT_POLL_SECONDS", "3600")  # tests look when they mean to
    monkeypatch.setenv("TITLEHOLDER_ENDPOINT_KEYS", "off")
    monkeypatch.setenv("TITLEHOLDER_ENDPOINT_RATE", "0")
    monkeypatch.chdir(tmp_path)  # MLflow's SQL store puts artifacts under ./mlruns
    get_settings.cache_clear()
    return Installation(tmp_path)


@pytest.fixture
def cached(own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """An installation whose MLflow is down: its models are in the endpoint's cache on disk."""
    monkeypatch.setenv("TITLEHOLDER_MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("TITLEHOLDER_ENDPOINT_KEYS", "off")
    monkeypatch.setenv("TITLEHOLDER_ENDPOINT_RATE", "0")
    get_settings.cache_clear()
    return Installation(tmp_path, has_mlflow=False)


@pytest.fixture
def serve(installation: Installation) -> Serve:
    """The app without its threads: `look(client)` is the following thread's step."""

    @contextmanager
    def started() -> Iterator[TestClient]:
        app = create_app(installation.settings, KINDS)
        client = client_of(app)
        look(client)
        yield client

    return started


def client_of(app: FastAPI, address: str = "127.0.0.1") -> TestClient:
    """A client on this machine, without the app's threads."""
    return TestClient(app, base_url="http://127.0.0.1", client=(address, 50000), raise_server_exceptions=False)


def logged(client: TestClient, use_case: str) -> list[Prediction]:
    """What is in the prediction log, after the recorder's next step."""
    client.app.state.recorder.flush()  # type: ignore[attr-defined]
    return list(PredictionLog(get_settings().predictions_root).read(use_case))


def store_of(client: TestClient) -> ModelStore:
    store: ModelStore = client.app.state.store  # type: ignore[attr-defined]
    return store


def look(client: TestClient) -> None:
    store_of(client).look()

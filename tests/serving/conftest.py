"""Fixtures: an installation with a real MLflow store, created once and copied for each test, and the app on it."""

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
    """An empty MLflow database, because creating its tables takes seconds."""
    import mlflow

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow.MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def installation(empty_mlflow: Path, own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """An installation with an MLflow store. Nothing polls by itself: tests call `poll_ledger`."""
    shutil.copy(empty_mlflow, tmp_path / "mlflow.db")
    monkeypatch.setenv("TITLEHOLDER_MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("TITLEHOLDER_ENDPOINT_POLL_SECONDS", "3600")
    monkeypatch.setenv("TITLEHOLDER_ENDPOINT_KEYS", "off")
    monkeypatch.setenv("TITLEHOLDER_ENDPOINT_RATE", "0")
    monkeypatch.chdir(tmp_path)  # MLflow's SQL store writes artifacts to ./mlruns
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
    """Starts the app without its threads. `poll_ledger(client)` does one step of the thread that follows the ledger."""

    @contextmanager
    def started() -> Iterator[TestClient]:
        app = create_app(installation.settings, KINDS)
        client = client_of(app)
        poll_ledger(client)
        yield client

    return started


def client_of(app: FastAPI, address: str = "127.0.0.1") -> TestClient:
    """A client at `address`. The app's threads run only if it is used as a context manager."""
    return TestClient(app, base_url="http://127.0.0.1", client=(address, 50000), raise_server_exceptions=False)


def logged(client: TestClient, use_case: str) -> list[Prediction]:
    """The prediction log, after the queued rows were written."""
    client.app.state.writer.flush()  # type: ignore[attr-defined]
    return list(PredictionLog(get_settings().predictions_root).read(use_case))


def store_of(client: TestClient) -> ModelStore:
    """The model store of the app."""
    store: ModelStore = client.app.state.source  # type: ignore[attr-defined]
    return store


def poll_ledger(client: TestClient) -> None:
    """Read the ledger and put into service what is new."""
    store_of(client).poll()

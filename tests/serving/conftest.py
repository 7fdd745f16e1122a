"""A real MLflow store, made once and copied for each test."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.store import ModelStore
from tasks.settings import get_settings
from tests.serving.installation import Installation
from tests.serving.tiny import KINDS

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
    monkeypatch.chdir(tmp_path)  # MLflow's SQL store puts artifacts under ./mlruns
    get_settings.cache_clear()
    return Installation(tmp_path)


@pytest.fixture
def serve(installation: Installation) -> Serve:
    """The app without its threads: `look(client)` is the following thread's step."""

    @contextmanager
    def started() -> Iterator[TestClient]:
        app = create_app(installation.settings, KINDS)
        client = TestClient(app, raise_server_exceptions=False)
        look(client)
        yield client

    return started


def store_of(client: TestClient) -> ModelStore:
    store: ModelStore = client.app.state.store  # type: ignore[attr-defined]
    return store


def look(client: TestClient) -> None:
    store_of(client).look()

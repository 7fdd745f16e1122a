"""Platform settings: what differs per machine or is secret. From the environment only, prefix `TITLEHOLDER_`."""

from __future__ import annotations

import os
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from tasks.errors import ConfigurationError

ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """One field per variable: `TITLEHOLDER_HOME` sets `home`, and so on."""

    model_config = SettingsConfigDict(env_prefix="TITLEHOLDER_", frozen=True, extra="ignore")

    home: Path = Field(ROOT / "var", description="where data, databases, logs and models of this installation live")
    use_cases: Path = Field(ROOT / "conf" / "use_cases", description="folder of the use-case files")
    expectations: Path = Field(ROOT / "expectations", description="folder of the expectation suites")
    source_paths: dict[str, Path] = Field({}, description="JSON, use case -> folder of its raw files; wins over the YAML")
    database_url: str = Field("", description="SQLAlchemy URL of ledger and decisions; empty: SQLite under home")
    mlflow_tracking_uri: str = Field("http://127.0.0.1:5000", description="the MLflow server")
    mlflow_timeout_seconds: int = Field(10, ge=1, description="one request to MLflow may take this long")
    airflow_url: str = Field("http://127.0.0.1:8080", description="the Airflow API server")
    airflow_user: str = Field("", description="empty where Airflow lets everybody in (loopback only)")
    airflow_password: str = Field("", description="of airflow_user")
    endpoint_url: str = Field("http://127.0.0.1:8000", description="the serving endpoint")
    endpoint_poll_seconds: float = Field(1.0, gt=0, description="how often the endpoint looks at the ledger")
    endpoint_keys: Literal["required", "off"] = Field("required", description="off: loopback is answered without a key")
    endpoint_rate: float = Field(1000.0, ge=0, description="requests a second of one key, or address; 0: any number")
    endpoint_explore_share: float = Field(0.02, ge=0, le=0.2, description="share of answers that try out one new item")
    predictions_keep_days: int = Field(365, ge=1, description="online predictions older than this are removed")
    spark_remote: str = Field("", description="sc://host:port of a Spark Connect server; empty: a session of its own")
    spark_master: str = Field("local[2]", description="master of a session of its own")
    spark_driver_memory: str = Field("1g", description="memory of a session of its own")
    notify_urls: tuple[str, ...] = Field((), description="JSON list of apprise addresses: who is told of failures and alerts")
    watch_url: str = Field("http://127.0.0.1:8100", description="the program with the figures and the door for alerts")
    webhook_token: str = Field("", description="what Alertmanager must bring to be heard; empty: nobody is")
    schedules: Literal["on", "off"] = Field("on", description="off: no DAG runs by the clock, only by hand and by assets")
    code_version: str = Field("", description="set in images; empty: asked of git")

    @property
    def data_root(self) -> Path:
        return self.home / "data"

    @property
    def predictions_root(self) -> Path:
        return self.home / "predictions"

    @property
    def events_url(self) -> str:
        """Events come in by the thousand: on one machine they have a file of their own, so that the ledger need not wait."""
        return self.database_url or f"sqlite:///{self.home / 'events.db'}"

    @property
    def ledger_url(self) -> str:
        return self.database_url or f"sqlite:///{self.home / 'titleholder.db'}"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process. Read once: a process does not change machines."""
    try:
        return Settings()
    except ValidationError as error:
        lines = [f"TITLEHOLDER_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}, got {e['input']!r}" for e in error.errors()]
        raise ConfigurationError("the environment is wrong:\n  " + "\n  ".join(lines)) from error


@lru_cache(maxsize=1)
def get_code_version() -> str:
    """The commit that runs, `-dirty` if the tree differs from it; `unknown` outside a checkout."""
    if get_settings().code_version:
        return get_settings().code_version
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude", "*"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"

"""Platform settings: values that differ by machine or are secret. From environment variables with the prefix `TITLEHOLDER_`."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from tasks.errors import ConfigurationError

ROOT = Path(__file__).resolve().parent.parent


# Values that may hold a password: they are in no message.
SECRET = frozenset({"database_url", "mlflow_tracking_uri", "airflow_password", "notify_urls", "webhook_token"})


class Settings(BaseSettings):
    """One field for each variable: `TITLEHOLDER_HOME` sets `home`, and so on."""

    model_config = SettingsConfigDict(env_prefix="TITLEHOLDER_", frozen=True, extra="ignore")

    home: Path = Field(ROOT / "var", description="folder of the data, databases, logs and models of this installation")
    use_cases: Path = Field(ROOT / "conf" / "use_cases", description="folder of the use-case files")
    expectations: Path = Field(ROOT / "expectations", description="folder of the expectation suites")
    source_paths: dict[str, Path] = Field({}, description="JSON, use case -> folder of its raw files; overrides the YAML")
    database_url: str = Field(
        "", description="SQLAlchemy URL of the ledger, decisions, keys and events; empty: SQLite under home"
    )
    mlflow_tracking_uri: str = Field("http://127.0.0.1:5000", description="the MLflow server")
    mlflow_timeout_seconds: int = Field(10, ge=1, description="timeout of one request to MLflow")
    airflow_url: str = Field("http://127.0.0.1:8080", description="the Airflow API server")
    airflow_user: str = Field("", description="user of Airflow's API; empty if Airflow has no users (loopback only)")
    airflow_password: str = Field("", description="password of airflow_user")
    endpoint_url: str = Field("http://127.0.0.1:8000", description="the serving endpoint")
    endpoint_poll_seconds: float = Field(1.0, gt=0, description="seconds between two reads of the ledger by the endpoint")
    endpoint_keys: Literal["required", "off"] = Field("required", description="off: requests from loopback need no key")
    endpoint_rate: float = Field(1000.0, ge=0, description="requests a second of one key or address; 0: no limit")
    endpoint_explore_share: float = Field(0.02, ge=0, le=0.2, description="share of answers that explore one new item")
    endpoint_shuffle_share: float = Field(
        0.0, ge=0, le=0.2, description="share of answers with two neighbouring items in random order, to measure places"
    )
    predictions_keep_days: int = Field(365, ge=1, description="online predictions older than this are removed")
    spark_remote: str = Field("", description="sc://host:port of a Spark Connect server; empty: a local session")
    spark_master: str = Field("local[2]", description="master of a local session")
    spark_driver_memory: str = Field("1g", description="driver memory of a local session")
    notify_urls: tuple[str, ...] = Field((), description="JSON list of apprise addresses that receive failures and alerts")
    watch_url: str = Field("http://127.0.0.1:8100", description="the watch: metrics, monitoring page and webhook for alerts")
    webhook_token: str = Field("", description="bearer token of Alertmanager's webhook; empty: every webhook is refused")
    schedules: Literal["on", "off"] = Field("on", description="off: no DAG runs by time, only by hand and by assets")
    code_version: str = Field("", description="set in images; empty: read from git")

    @property
    def data_root(self) -> Path:
        """The folder of all snapshots."""
        return self.home / "data"

    @property
    def predictions_root(self) -> Path:
        """The folder of the prediction log."""
        return self.home / "predictions"

    @property
    def events_url(self) -> str:
        """The database of the events. With SQLite it is a file of its own: many events must not lock the ledger."""
        return self.database_url or f"sqlite:///{self.home / 'events.db'}"

    @property
    def ledger_url(self) -> str:
        """The database of the ledger, the decisions and the keys."""
        return self.database_url or f"sqlite:///{self.home / 'titleholder.db'}"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once.

    Raises
    ------
    ConfigurationError : a variable has a wrong value; names each of them.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = [f"TITLEHOLDER_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}{_tell_input(e)}" for e in error.errors()]
        raise ConfigurationError("the environment is wrong:\n  " + "\n  ".join(lines)) from None
    except SettingsError as error:
        raise ConfigurationError(f"the environment is wrong: a variable is not the JSON that it must be: {error}") from None


def _tell_input(fault: ErrorDetails) -> str:
    """What came, unless it may hold a password. The original error holds it too, so it is not chained."""
    return "" if str(fault["loc"][0]) in SECRET else f", got {fault['input']!r}"

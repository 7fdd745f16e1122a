"""Fixtures that several test packages share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from xdist.scheduler import LoadFileScheduling

from tasks.io.storage import Storage
from tasks.settings import get_code_version, get_settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


# Spark's Java compiles without optimizing: tests run each plan once, and optimizing it takes most of their time.
os.environ.setdefault("SPARK_SUBMIT_OPTS", "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC")

# Fixture -> what a test that uses it starts. `make test-fast` leaves these tests out.
SLOW_FIXTURES = {"spark": "jvm", "scene": "servers", "server": "servers", "postgres": "servers", "parsed": "servers"}


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by mark
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their fixtures. End-to-end tests run last, so that small tests fail first."""
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            if fixture in SLOW_FIXTURES:
                item.add_marker(SLOW_FIXTURES[fixture])
    items.sort(key=lambda item: item.path.parent.name == "e2e")


class ByFile(LoadFileScheduling):
    """Assigns whole files to a worker, because tests of a file share fixtures. All end-to-end tests share one worker."""

    def _split_scope(self, nodeid: str) -> str:
        return "e2e" if nodeid.startswith("tests/e2e/") else str(super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)  # xdist may be absent
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installation for each test, without the settings of the machine."""
    for variable in [name for name in os.environ if name.startswith("TITLEHOLDER_") and name != "TITLEHOLDER_DATA"]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("TITLEHOLDER_HOME", str(tmp_path / "home"))
    for cached in (get_settings, get_code_version):
        cached.cache_clear()
    yield tmp_path / "home"
    for cached in (get_settings, get_code_version):
        cached.cache_clear()


@pytest.fixture(autouse=True)
def no_unmarked_jvm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """If tests with the mark `jvm` are deselected, a test that starts Spark without the mark fails."""

    def refuse(application: str = "") -> SparkSession:
        raise AssertionError(f"{request.node.nodeid} starts Spark: use the fixture 'spark' or the mark 'jvm'")

    if "not jvm" in request.config.option.markexpr:
        monkeypatch.setattr("tasks.io.spark.get_spark", refuse)


@pytest.fixture
def storage(own_home: Path) -> Storage:
    return Storage(own_home / "data")


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store without runs, made once: its tables take seconds."""
    from tests.tasks import synthetic_classification

    return synthetic_classification.make_empty_store(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture
def store(empty_store: Path, own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A real MLflow store, copied for each test, and the folder that exports may be staged in."""
    from tests.tasks import synthetic_classification

    synthetic_classification.open_store(empty_store, tmp_path, monkeypatch)
    return tmp_path


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """One local Spark session for the whole run."""
    from tasks.io.spark import get_spark

    session = get_spark("tests")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the archives of real data; the test is skipped if there is none."""
    folder = os.environ.get("TITLEHOLDER_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("TITLEHOLDER_DATA names no folder with ml-100k.tar.xz and online-retail.tar.xz")
    return Path(folder)

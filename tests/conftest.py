"""Fixtures that several test packages share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from xdist.scheduler import LoadFileScheduling

from tasks.code_version import get_code_version, identify_code
from tasks.io.spark import FEW_ROWS_CONF
from tasks.io.storage import Storage
from tasks.settings import get_settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


# Tests run each plan once on few rows, and compiling it takes a quarter of their time. So Spark interprets expressions, and
# Java compiles without optimizing. The end-to-end tests run plans as in production: their server is no child of PySpark.
os.environ.setdefault("SPARK_SUBMIT_OPTS", "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC")
os.environ.setdefault(
    "PYSPARK_SUBMIT_ARGS", " ".join([*(f"--conf {k}={v}" for k, v in FEW_ROWS_CONF.items()), "pyspark-shell"])
)

# Fixture -> what a test that uses it starts. `make test-fast` leaves these tests out.
SLOW_FIXTURES = {"spark": "jvm", "scene": "servers", "server": "servers", "postgres": "servers", "parsed": "servers"}


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by mark
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their fixtures. End-to-end tests begin first: they are the longest sequence, and often wait."""
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            if fixture in SLOW_FIXTURES:
                item.add_marker(SLOW_FIXTURES[fixture])
    items.sort(key=lambda item: item.path.parent.name != "e2e")


def pytest_configure(config: pytest.Config) -> None:
    """If tests with the mark `servers` are deselected, a test that starts a program without the mark fails."""
    is_controller = bool(getattr(config.option, "numprocesses", None)) and not hasattr(config, "workerinput")
    if "not servers" in config.option.markexpr and not is_controller:
        sys.addaudithook(refuse_unmarked_program)
    if is_controller and "not e2e" not in config.option.markexpr:
        give_way(config)


def give_way(config: pytest.Config) -> None:
    """Let the services of the end-to-end tests run first, which decide how long the whole takes.

    Linux shares processors among sessions first (autogroups, see sched(7)). The services have a session of their own, so the
    `nice` value of a test's process does not concern them. The session's value is restored at the end.
    """
    group = Path("/proc/self/autogroup")
    try:
        before = group.read_text().rpartition(" ")[2].strip()
        group.write_text("4")
    except OSError:
        return  # another system, or one without autogroups
    config.add_cleanup(lambda: restore(group, before))


def restore(group: Path, nice: str) -> None:
    with suppress(OSError):  # some systems let only an administrator raise it again
        group.write_text(nice)


def refuse_unmarked_program(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse to start any program but those that tell the versions of the code and of the machine."""
    test = os.environ.get("PYTEST_CURRENT_TEST")  # not set while tests are collected
    if event == "subprocess.Popen" and test and Path(os.fsdecode(arguments[0])).name not in {"git", "uname", "file"}:
        raise AssertionError(f"{test} starts {arguments[0]}: use the fixture 'spark', the mark 'jvm' or the mark 'servers'")


class ByFile(LoadFileScheduling):
    """Assigns whole files to a worker, because tests of a file share fixtures. All end-to-end tests share one worker."""

    def _split_scope(self, nodeid: str) -> str:
        return "e2e" if nodeid.startswith("tests/e2e/") else str(super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)  # xdist may be absent
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Other tests give way to the end-to-end tests in their session, too."""
    if item.path.parent.name != "e2e" and os.environ.get("PYTEST_XDIST_WORKER") and os.nice(0) == 0:
        os.nice(10)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installation for each test, without the settings of the machine."""
    for variable in [name for name in os.environ if name.startswith("TITLEHOLDER_") and name != "TITLEHOLDER_DATA"]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("TITLEHOLDER_HOME", str(tmp_path / "home"))
    for cached in (get_settings, get_code_version, identify_code):
        cached.cache_clear()
    yield tmp_path / "home"
    for cached in (get_settings, get_code_version, identify_code):
        cached.cache_clear()


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

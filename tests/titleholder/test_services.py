"""The environment of the processes of an installation, and the lock that lets only one start."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.errors import ConfigurationError
from tasks.settings import ROOT, Settings
from titleholder import services


def test_settings_are_passed_through_the_environment(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(
        home=own_home.resolve(),
        source_paths={"shop": Path("/data/shop")},
        spark_remote="sc://127.0.0.1:1",
        schedules="off",
        endpoint_keys="required",
        notify_urls=("json://127.0.0.1/a", "json://127.0.0.1/b"),
    )
    for name, value in services.variables(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_keys_are_off_on_one_machine_unless_required(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings(home=own_home).endpoint_keys == "required"
    assert services.environment(Settings(home=own_home))["TITLEHOLDER_ENDPOINT_KEYS"] == "off"
    monkeypatch.setenv("TITLEHOLDER_ENDPOINT_KEYS", "required")
    assert services.environment(Settings(home=own_home))["TITLEHOLDER_ENDPOINT_KEYS"] == "required"


def test_a_users_variables_do_not_reach_another_installation(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo must not write into the database, nor read the files, that the user's own variables name."""
    monkeypatch.setenv("TITLEHOLDER_DATABASE_URL", "postgresql://somewhere")
    monkeypatch.setenv("TITLEHOLDER_SOURCE_PATHS", '{"purchase_propensity": "/data/real"}')
    settings = Settings().model_copy(update={"home": own_home, "database_url": "", "source_paths": {}})
    seen = services.environment(settings)
    assert seen["TITLEHOLDER_DATABASE_URL"] == ""
    assert seen["TITLEHOLDER_SOURCE_PATHS"] == "{}"


def test_secrets_are_private_and_stay(own_home: Path) -> None:
    settings = Settings(home=own_home)
    first, second = services.environment(settings), services.environment(settings)
    assert first["AIRFLOW__API_AUTH__JWT_SECRET"] == second["AIRFLOW__API_AUTH__JWT_SECRET"]
    assert first["AIRFLOW__API_AUTH__JWT_SECRET"] != first["AIRFLOW__API__SECRET_KEY"]
    for secret in (own_home / "secrets").iterdir():
        assert secret.stat().st_mode & 0o077 == 0


def test_processes_that_start_at_once_get_one_secret(own_home: Path) -> None:
    for name in map(str, range(20)):
        with ThreadPoolExecutor(8) as pool:
            found = set(pool.map(lambda _, name=name: services._secret(own_home, name), range(8)))
        assert len(found) == 1 and len(found.pop()) > 40
    assert not list((own_home / "secrets").glob(".*"))


def test_services_share_no_file_with_other_users_and_are_always_started_again() -> None:
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "supervisord.conf")
    assert config["supervisord"]["umask"] == "077"
    programs = [section for section in config.values() if section.name.startswith("program:")]
    assert programs and all(int(one["startretries"]) >= 1_000_000 for one in programs)


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    with (
        services.only_one(tmp_path / "lock", "another process runs"),
        pytest.raises(ConfigurationError, match="another process runs"),
        services.only_one(tmp_path / "lock", "another process runs"),
    ):
        raise AssertionError("two at once")
    with services.only_one(tmp_path / "lock", "another process runs"):
        pass


@pytest.mark.servers
def test_orphans_are_found_by_their_environment_and_ended(own_home: Path) -> None:
    own_home.mkdir(parents=True)
    settings = Settings(home=own_home)
    ours = {**os.environ, **services.environment(settings)}
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    orphan = subprocess.Popen(sleep, env=ours)
    unrelated = subprocess.Popen(sleep, env={**os.environ, "TITLEHOLDER_HOME": str(own_home)}, cwd=ROOT)
    threading.Thread(target=orphan.wait, daemon=True).start()  # reaped as init would
    try:
        assert [process.pid for process in services.processes(own_home)] == [orphan.pid]
        assert services.stop(settings, print)
        assert not services.processes(own_home)
        assert unrelated.poll() is None
    finally:
        orphan.kill()
        unrelated.kill()
        unrelated.wait()

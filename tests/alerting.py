"""The real Prometheus and the real Alertmanager with the shipped files, in a hurry.

Both come with Debian. Where they are not installed they are fetched; where that cannot be, tests are skipped with the reason.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from tasks.settings import ROOT
from tests.ports import free_ports

FOLDER = ROOT / "docker" / "prometheus"


@lru_cache(maxsize=1)
def _fetched() -> tuple[Path | None, str]:
    """Debian's packages, unpacked in build/: nothing is installed, no service starts, no right is needed."""
    folder = ROOT / "build" / "debian"
    if (folder / "root" / "usr" / "bin" / "prometheus-alertmanager").exists():
        return folder / "root" / "usr" / "bin", ""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return None, "this is no Debian, from which they could be fetched"
    for place in ("state/lists/partial", "cache/archives/partial"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    places = (f"Dir::State={folder}/state", f"Dir::Cache={folder}/cache", "Dir::State::status=/var/lib/dpkg/status")
    own = [word for place in places for word in ("-o", place)]
    try:
        for words in (["update"], ["download", "prometheus", "prometheus-alertmanager"]):
            subprocess.run(["apt-get", *own, *words], cwd=folder, check=True, capture_output=True, text=True, timeout=120)
        for package in sorted(folder.glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", str(package), "root"], cwd=folder, check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", "") or str(error)
        return None, f"they could not be fetched from Debian: {str(told)[-300:]}"
    return folder / "root" / "usr" / "bin", ""


def tool(name: str) -> str:
    """Where a program is; fetched from Debian where it is not installed, and the test skipped where that cannot be."""
    if found := shutil.which(name):
        return found
    folder, why_not = _fetched()
    if folder is None:
        pytest.skip(f"{name} is not installed (apt-get install prometheus prometheus-alertmanager), and {why_not}")
    return str(folder / name)


@contextlib.contextmanager
def running(folder: Path, watch: str, endpoint: str, token: str) -> Iterator[tuple[str, str]]:
    """Prometheus and Alertmanager over an installation, until the body ends; their addresses."""
    ports = free_ports(2)
    hurried(folder, urlsplit(watch).netloc, urlsplit(endpoint).netloc, f"127.0.0.1:{ports[1]}")
    (folder / "token").write_text(token)
    on = "--web.listen-address=127.0.0.1"
    with (
        process(folder, "prometheus-alertmanager", "--config.file=alertmanager.yml", f"{on}:{ports[1]}",
                "--cluster.listen-address=", "--storage.path=am"),
        process(folder, "prometheus", "--config.file=prometheus.yml", f"{on}:{ports[0]}", "--storage.tsdb.path=tsdb"),
    ):  # fmt: skip
        yield f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}"


def read(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    return loaded


@contextlib.contextmanager
def process(folder: Path, *command: str) -> Iterator[None]:
    with (folder / f"{command[0]}.log").open("w") as log:
        started = subprocess.Popen([tool(command[0]), *command[1:]], cwd=folder, stdout=log, stderr=log)
    try:
        yield
    finally:
        started.terminate()
        started.wait(20)


def wait_for(claim: Callable[[], bool], seconds: float = 120) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            if claim():
                return True
        time.sleep(0.5)
    return False


def hurried(folder: Path, watch: str, endpoint: str, alertmanager: str) -> None:
    """The shipped files with the addresses and the patience of a test, and nothing else changed."""
    rules = read("rules.yml")
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule["for"] = "1s"
    (folder / "rules.yml").write_text(yaml.safe_dump(rules))
    text = (FOLDER / "prometheus.yml").read_text()
    for shipped, own in (("alertmanager:9093", alertmanager), ("watch:8100", watch), ("serving:8000", endpoint)):
        text = text.replace(shipped, own)
    text = text.replace("15s", "1s").replace("30s", "2s").replace("20s", "2s")
    (folder / "prometheus.yml").write_text(text)
    text = (FOLDER / "alertmanager.yml").read_text()
    text = text.replace("watch:8100", watch).replace("/run/secrets/webhook_token", "token")
    text = text.replace("10s", "1s").replace("1m", "2s").replace("12h", "3s")  # said again every few seconds
    (folder / "alertmanager.yml").write_text(text)

"""The real Prometheus and the real Alertmanager with the shipped files and short intervals.

Both are Debian packages. If they are not installed, they are downloaded. If that fails, tests are skipped with the reason.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from tasks.settings import ROOT
from tests.debian import fetch
from tests.ports import free_ports

FOLDER = ROOT / "docker" / "prometheus"
TEMPLATES = Path("/usr/share/prometheus/alertmanager/default.tmpl")  # Debian's Alertmanager has this path built in


def tool(name: str) -> str:
    """The path of a program, downloaded from Debian if it is not installed. Skips the test if that fails."""
    if found := shutil.which(name):
        return found
    root, reason = fetch("usr/bin/prometheus-alertmanager", ("prometheus", "prometheus-alertmanager"))
    if name == "prometheus-alertmanager" and root is not None and not TEMPLATES.is_file():
        root, reason = None, f"the fetched Alertmanager reads {TEMPLATES}"
    if root is None:
        pytest.skip(f"{name} is not installed (apt-get install prometheus prometheus-alertmanager), and {reason}")
    return str(root / "usr" / "bin" / name)


@contextlib.contextmanager
def running(folder: Path, watch: str, endpoint: str, token: str) -> Iterator[tuple[str, str]]:
    """Run Prometheus and Alertmanager on an installation until the body ends. Yields their addresses."""
    ports = free_ports(2)
    write_config(folder, urlsplit(watch).netloc, urlsplit(endpoint).netloc, f"127.0.0.1:{ports[1]}")
    (folder / "token").write_text(token)
    on = "--web.listen-address=127.0.0.1"
    with (
        process(
            folder,
            "prometheus-alertmanager",
            "--config.file=alertmanager.yml",
            f"{on}:{ports[1]}",
            "--cluster.listen-address=",
            "--storage.path=am",
        ),
        process(folder, "prometheus", "--config.file=prometheus.yml", f"{on}:{ports[0]}", "--storage.tsdb.path=tsdb"),
    ):
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


def write_config(folder: Path, watch: str, endpoint: str, alertmanager: str) -> None:
    """Write the shipped files with the addresses and the short intervals of a test, and no other change."""
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
    text = text.replace("10s", "1s").replace("1m", "2s").replace("12h", "3s")  # repeated every few seconds
    (folder / "alertmanager.yml").write_text(text)

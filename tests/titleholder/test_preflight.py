"""Every fault of a machine gets one message with its remedy, also from an interpreter that is far too old."""

from __future__ import annotations

import ast
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.settings import ROOT
from tests.ports import free_port
from titleholder import preflight

pytestmark = pytest.mark.servers  # preflight starts each interpreter and Java to read its version

SCRIPT = ROOT / "titleholder" / "preflight.py"


def run(*arguments: str, python: str = sys.executable, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, str(SCRIPT), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def fake_java(folder: Path, output: str, exit_code: int = 0) -> Path:
    """Write a `java` that prints the given text to standard error, as Java does."""
    folder.mkdir(parents=True, exist_ok=True)
    java = folder / "java"
    java.write_text(f"#!/bin/sh\ncat >&2 <<'TEXT'\n{output}\nTEXT\nexit {exit_code}\n")
    java.chmod(0o755)
    return folder


@pytest.fixture
def path_without_java(tmp_path: Path) -> str:
    """A PATH with only a shell and `cat`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("sh", "cat"):
        (folder / tool).symlink_to(shutil.which(tool) or "")
    return str(folder)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_suitable_machine_gets_no_message(tmp_path: Path, path_without_java: str) -> None:
    java = fake_java(tmp_path / "jdk" / "bin", 'openjdk version "17.0.15" 2025-04-15')
    completed = run("--ports", str(free_port()), "--memory-gb", "0.01", "--disk-gb", "0.01", JAVA_HOME=str(java.parent))
    assert (completed.returncode, completed.stdout, completed.stderr) == (0, "", "")


def test_no_java(path_without_java: str) -> None:
    completed = run(PATH=path_without_java, JAVA_HOME="")
    assert completed.returncode == 1
    assert completed.stderr == (
        "Java 17 or newer is required for Spark; found none. "
        "Install it (Debian: apt-get install openjdk-17-jre-headless) or set JAVA_HOME.\n"
    )


@pytest.mark.parametrize(
    ("output", "fault"),
    [
        ('openjdk version "1.8.0_392"', "is Java 8"),
        ('openjdk version "11.0.21" 2023-10-17', "is Java 11"),
        ("Error: could not find libjava.so", "printed no version but: Error: could not find libjava.so"),
        ("", "printed no version"),
        ('java version "21" 2023-09-19 LTS', ""),
        ('openjdk version "25-ea" 2025-09-16', ""),
        ('Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "17.0.15" 2025-04-15', ""),
    ],
)
def test_the_java_on_the_path(tmp_path: Path, path_without_java: str, output: str, fault: str) -> None:
    folder = fake_java(tmp_path / "java", output)
    faults = preflight.check_java({"PATH": f"{folder}:{path_without_java}"})
    assert len(faults) == bool(fault)
    assert all(fault in message and str(folder) in message and "apt-get install openjdk-17" in message for message in faults)


def test_java_home_comes_first(tmp_path: Path, path_without_java: str) -> None:
    new = fake_java(tmp_path / "path", 'openjdk version "17.0.15"')
    old = fake_java(tmp_path / "home" / "bin", 'openjdk version "11.0.21"').parent
    [message] = preflight.check_java({"PATH": f"{new}:{path_without_java}", "JAVA_HOME": str(old)})
    assert f"JAVA_HOME={old} is Java 11" in message


def test_a_java_home_without_java(tmp_path: Path) -> None:
    [message] = preflight.check_java({"PATH": os.environ["PATH"], "JAVA_HOME": str(tmp_path)})
    assert f"JAVA_HOME={tmp_path} has no bin/java. Correct JAVA_HOME or unset it." in message


def test_the_real_java() -> None:
    if shutil.which("java") is None:
        pytest.skip("this machine has no Java")
    assert preflight.check_java(os.environ) == []


def test_a_taken_port(taken_port: int) -> None:
    completed = run("--ports", f"{free_port()},{taken_port}")
    assert completed.returncode == 1
    assert f"Port {taken_port} on 127.0.0.1 is in use." in completed.stderr
    assert "make down" in completed.stderr
    assert len(completed.stderr.splitlines()) == 1


def test_a_port_taken_on_all_addresses() -> None:
    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))  # noqa: S104  what a server on all addresses does
        server.listen()
        assert len(preflight.check_port(server.getsockname()[1])) == 1


def test_a_port_that_is_bound_and_does_not_listen() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        [message] = preflight.check_port(server.getsockname()[1])
        assert "cannot be used (Address already in use)" in message


@pytest.mark.parametrize("text", ["eighty", "0", "70000", "8080;5000"])
def test_invalid_ports_are_refused(text: str) -> None:
    completed = run("--ports", text)
    assert completed.returncode == 2
    assert f"expected ports from 1 to 65535, joined by commas, got '{text}'" in completed.stderr


def test_too_little_memory_and_disk() -> None:
    completed = run("--memory-gb", "1e6", "--disk-gb", "1e9")
    assert completed.returncode == 1
    memory, disk = completed.stderr.splitlines()
    assert re.fullmatch(r"1e\+06 GiB of free memory are required; [\d.]+ GiB are available\. End other .*", memory)
    assert re.fullmatch(r"1e\+09 GiB of free disk are required at /\S*; [\d.]+ GiB are free\. Free some space there\.", disk)


def test_the_disk_of_a_missing_folder(tmp_path: Path) -> None:
    assert preflight.check_disk(0.001, tmp_path / "not" / "yet") == []
    assert f"at {tmp_path};" in preflight.check_disk(1e9, tmp_path / "not" / "yet")[0]


def test_all_faults_at_once(path_without_java: str, taken_port: int) -> None:
    faults = preflight.check([taken_port], memory_gb=1e6, disk_gb=1e9, environment={"PATH": path_without_java})
    assert [fault.split()[0] for fault in faults] == ["Java", "1e+06", "1e+09", "Port"]


@pytest.mark.parametrize(
    ("version", "fits"), [((3, 10, 13), False), ((3, 11, 0), True), ((3, 13, 9), True), ((3, 14, 0), False)]
)
def test_python_versions(version: tuple[int, ...], fits: bool) -> None:
    faults = preflight.check_python(version)
    assert (faults == []) is fits
    assert all("Python 3.11 to 3.13 is required; this is " + ".".join(map(str, version)) in message for message in faults)


def test_a_python_without_venv(tmp_path: Path) -> None:
    """Debian's python3 without python3-venv has no module `ensurepip`."""
    block = tmp_path / "sitecustomize.py"
    block.write_text("import sys\nsys.modules['ensurepip'] = None\n")
    find = tmp_path / "find.py"
    find.write_text(
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "import importlib.util as u; found = u.find_spec\n"
        "u.find_spec = lambda name: None if name == 'ensurepip' else found(name)\n"
        "from titleholder import preflight; print(preflight.check_python()[0])\n"
    )
    completed = subprocess.run([sys.executable, str(find)], capture_output=True, text=True, check=True)
    assert "has no ensurepip. Install it (Debian: apt-get install python3." in completed.stdout


def old_interpreters() -> list[str]:
    """The interpreters of this machine that are too old."""
    found = [path for minor in range(6, 11) if (path := shutil.which(f"python3.{minor}"))]
    found += [str(path) for path in Path.home().glob(".pyenv/versions/3.[6-9]*/bin/python")]
    found += [str(path) for path in Path.home().glob(".pyenv/versions/3.10*/bin/python")]
    return [
        path
        for path in dict.fromkeys(found)
        if subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0
    ]


@pytest.mark.parametrize(
    "python", old_interpreters() or [pytest.param("", marks=pytest.mark.skip("no Python before 3.11 here"))]
)
def test_an_old_python_prints_its_own_message(python: str) -> None:
    completed = run(python=python)
    assert completed.returncode == 1
    assert completed.stderr.startswith("Python 3.11 to 3.13 is required; this is 3.")
    assert "make setup PYTHON=python3.11" in completed.stderr
    assert "Traceback" not in completed.stderr


def test_the_syntax_is_that_of_python_3_6() -> None:
    ast.parse(SCRIPT.read_text(), feature_version=(3, 6))
    with pytest.raises(SyntaxError):
        ast.parse("if (n := 1): pass", feature_version=(3, 6))


def test_only_the_standard_library_is_imported() -> None:
    tree = ast.parse(SCRIPT.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names

"""The environment is the locked one, our folders shadow no package, and the layers hold."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest

from tasks.settings import ROOT

IMPORT_NAMES = {
    "apache-airflow": "airflow",
    "scikit-learn": "sklearn",
    "pyyaml": "yaml",
    "prometheus-client": "prometheus_client",
    "pyjwt": "jwt",
    "faiss-cpu": "faiss",
}
LOCKS = [
    "requirements.txt",
    "requirements-dev.txt",
    "docker/requirements-production.txt",
    "serving/requirements.txt",
    "mlflow/requirements.txt",
]


def requirements() -> dict[str, str]:
    """Name -> what requirements.in asks of its version ('' where it leaves it to the lock)."""
    wanted = {}
    for line in (ROOT / "requirements.in").read_text().splitlines():
        found = re.match(r"([A-Za-z0-9_-]+)(?:\[\w+\])?([^#\s]*)", line)
        if found and not line.startswith("#"):
            wanted[found.group(1)] = found.group(2)
    return wanted


def pins(lock: Path) -> dict[str, set[str]]:
    """Name -> its versions in a lock (several where they differ by interpreter)."""
    found: dict[str, set[str]] = {}
    for name, number in re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)", lock.read_text(), flags=re.M):
        found.setdefault(name, set()).add(number)
    return found


@pytest.mark.parametrize("name", requirements())
def test_what_is_required_imports_at_its_version(name: str) -> None:
    assert version(name) in pins(ROOT / "requirements.txt")[name]
    wanted = requirements()[name]
    if wanted.startswith("=="):
        assert version(name) == wanted.removeprefix("==")
    importlib.import_module(IMPORT_NAMES.get(name, name.replace("-", "_")))


def test_mlflow_is_the_installed_one_when_run_from_the_root() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import mlflow; print(mlflow.__file__)"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "site-packages" in told.stdout


def test_the_servers_folder_holds_no_python() -> None:
    assert [str(path) for path in (ROOT / "mlflow").rglob("*.py")] == []


def test_pyspark_owns_its_files() -> None:
    """`pyspark-client` owns the same files as `pyspark`: whichever comes last wins silently."""
    assert packages_distributions()["pyspark"] == ["pyspark"]


def test_every_folder_of_tests_is_a_package() -> None:
    folders = {path.parent for path in (ROOT / "tests").rglob("*.py")}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_carry_hashes_and_no_address(lock: str) -> None:
    entries = re.sub(r"\\\n", "", "\n".join(line for line in (ROOT / lock).read_text().splitlines() if "#" not in line))
    assert entries.strip()
    assert [line for line in entries.splitlines() if line.strip() and "--hash=sha256:" not in line] == []
    assert re.findall(r"https?://|--(?:extra-)?index-url|--find-links|file:", (ROOT / lock).read_text()) == []


@pytest.mark.parametrize("lock", ["requirements-dev.txt", "docker/requirements-production.txt", "serving/requirements.txt"])
def test_locks_agree_with_the_one_that_is_tested(lock: str) -> None:
    tested = pins(ROOT / "requirements.txt")
    assert {name: found for name, found in pins(ROOT / lock).items() if found != tested.get(name, found)} == {}


def test_the_mlflow_server_has_the_clients_version() -> None:
    assert pins(ROOT / "mlflow" / "requirements.txt")["mlflow"] == pins(ROOT / "requirements.txt")["mlflow"]


def test_the_layers_hold() -> None:
    told = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports"))], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout[-3000:]


def test_a_broken_layer_is_refused(tmp_path: Path) -> None:
    package = tmp_path / "tasks"
    for name, text in {"__init__": "", "spark": "", "contracts": "import tasks.spark\n"}.items():
        package.mkdir(exist_ok=True)
        (package / f"{name}.py").write_text(text)
    (tmp_path / "importlinter.ini").write_text(
        "[importlinter]\nroot_package = tasks\n[importlinter:contract:1]\nname = layers\ntype = layers\n"
        "layers =\n    tasks.spark\n    tasks.contracts\n"
    )
    told = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--config", "importlinter.ini"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1, told.stdout
    assert "tasks.contracts -> tasks.spark" in told.stdout


BLOCKED_IMPORT = """
import importlib.abc, sys
from importlib.metadata import packages_distributions
allowed = set(sys.argv[1].split(","))
owners = packages_distributions()

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        owner = {o.lower().replace("_", "-").replace(".", "-") for o in owners.get(name.partition(".")[0], ())}
        if owner and not owner & allowed:
            raise ModuleNotFoundError(f"{name} is not in the image", name=name)

sys.meta_path.insert(0, Refuse())
"""


def import_with(allowed: set[str], statement: str) -> subprocess.CompletedProcess[str]:
    code = BLOCKED_IMPORT + statement
    return subprocess.run(
        [sys.executable, "-c", code, ",".join(allowed)], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_endpoint_starts_with_what_its_image_has(tmp_path: Path) -> None:
    """It imports, it reaches MLflow's client, and it migrates a database that is older than itself."""
    allowed = {"titleholder", *pins(ROOT / "serving" / "requirements.txt")}  # our own packages are copied
    code = (
        "import serving.app\nserving.app.create_app\nimport tasks.io.tracking, mlflow\n"
        f"from tasks.io.ledger import Ledger\nLedger('sqlite:///{tmp_path}/new.db')"
    )
    told = import_with(allowed, code)
    assert told.returncode == 0, told.stderr[-2000:]


def test_an_endpoint_that_wants_more_is_refused() -> None:
    told = import_with(set(pins(ROOT / "serving" / "requirements.txt")), "import pyspark")
    assert told.returncode == 1
    assert "pyspark is not in the image" in told.stderr

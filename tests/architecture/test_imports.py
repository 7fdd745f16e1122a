"""The environment matches the locks, no folder shadows a package, and imports respect the layers."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions, version
from itertools import pairwise
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
    """Name -> the version constraint in requirements.in ('' if the lock decides)."""
    required = {}
    for line in (ROOT / "requirements.in").read_text().splitlines():
        found = re.match(r"([A-Za-z0-9_-]+)(?:\[\w+\])?([^#\s]*)", line)
        if found and not line.startswith("#"):
            required[found.group(1)] = found.group(2)
    return required


def pins(lock: Path) -> dict[str, set[str]]:
    """Name -> its versions in a lock (several if they differ by interpreter)."""
    found: dict[str, set[str]] = {}
    for name, number in re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)", lock.read_text(), flags=re.M):
        found.setdefault(name, set()).add(number)
    return found


@pytest.mark.parametrize("name", requirements())
def test_each_requirement_imports_at_its_version(name: str) -> None:
    assert version(name) in pins(ROOT / "requirements.txt")[name]
    required = requirements()[name]
    if required.startswith("=="):
        assert version(name) == required.removeprefix("==")
    importlib.import_module(IMPORT_NAMES.get(name, name.replace("-", "_")))


@pytest.mark.servers
def test_mlflow_imports_from_site_packages_in_the_root() -> None:
    completed = subprocess.run(
        [sys.executable, "-c", "import mlflow; print(mlflow.__file__)"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "site-packages" in completed.stdout


def test_the_servers_folder_holds_no_python() -> None:
    assert [str(path) for path in (ROOT / "mlflow").rglob("*.py")] == []


def test_pyspark_owns_its_files() -> None:
    """`pyspark-client` owns the same files as `pyspark`, and the last installation overwrites them silently."""
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


@pytest.mark.servers
def test_the_layers_hold() -> None:
    completed = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports"))], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert completed.returncode == 0, completed.stdout[-3000:]


@pytest.mark.servers
def test_a_broken_layer_is_refused(tmp_path: Path) -> None:
    package = tmp_path / "tasks"
    for name, text in {"__init__": "", "spark": "", "contracts": "import tasks.spark\n"}.items():
        package.mkdir(exist_ok=True)
        (package / f"{name}.py").write_text(text)
    (tmp_path / "importlinter.ini").write_text(
        "[importlinter]\nroot_package = tasks\n[importlinter:contract:1]\nname = layers\ntype = layers\n"
        "layers =\n    tasks.spark\n    tasks.contracts\n"
    )
    completed = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--config", "importlinter.ini"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 1, completed.stdout
    assert "tasks.contracts -> tasks.spark" in completed.stdout


# modules that are started or loaded by name


def find_named_imports(root: Path, packages: tuple[str, ...]) -> dict[tuple[str, str], int]:
    """(importer, imported) -> line, for modules that the source names in a string instead of importing them.

    It finds `command("module")`, "-m" followed by "module", "-m module" in a string, and "module:attribute" for a server.
    """
    found = {}
    for path in sorted(path for package in packages for path in (root / package).rglob("*.py")):
        importer = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        for text, line in _started_texts(ast.parse(path.read_text())):
            for imported in re.findall(rf"(?:{'|'.join(packages)})(?:\.\w+)+", text):
                folder = root.joinpath(*imported.split("."))
                if imported != importer and (folder.with_suffix(".py").is_file() or folder.is_dir()):
                    found[importer, imported] = line
    return found


def _started_texts(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """The strings of a module, without docstrings, that name what a process starts, with their lines."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        arguments = node.args if isinstance(node, ast.Call) else node.elts if isinstance(node, ast.List | ast.Tuple) else []
        texts = [(str(one.value), one.lineno) if isinstance(one, ast.Constant) else ("", 0) for one in arguments]
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "command":
            yield from texts[:1]
        yield from (text for (flag, _), text in pairwise(texts) if flag == "-m")
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield from ((part, node.lineno) for part in re.findall(r"-m [\w.]+|[\w.]+(?=:\w)", node.value))


def layers() -> list[list[str]]:
    """The layers of pyproject.toml, the highest first; those of one entry are independent of each other."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return [entry.split(" | ") for entry in contracts[0]["layers"]]


def breaks_layers(importer: str, imported: str) -> bool:
    """Whether an import breaks the layers: it leads to a higher layer, or to another module of the same layer."""
    depths = {module: depth for depth, modules in enumerate(layers()) for module in modules}

    def find(name: str) -> str:
        return next(module for module in depths if name == module or name.startswith(f"{module}."))

    ours, theirs = find(importer), find(imported)
    return ours != theirs and depths[theirs] <= depths[ours]


PACKAGES = ("dags", "tasks", "serving", "titleholder")


def test_the_layers_hold_for_modules_by_name() -> None:
    named = find_named_imports(ROOT, PACKAGES)
    assert ("serving.telemetry.prediction_writer", "tasks.io.prediction_log") in named
    assert [edge for edge in named if breaks_layers(*edge)] == []


@pytest.mark.parametrize(
    "line",
    [
        'command("serving.app")',
        'run("uvicorn", "serving.app:create_app")',
        'command = ["python", "-m", "serving.app"]',
        'shell("python -m serving.app --port 1")',
    ],
)
def test_an_import_by_name_is_found(tmp_path: Path, line: str) -> None:
    """The broken twin is an adapter that starts the endpoint. A docstring that names the module does not count."""
    for path, text in {
        "tasks/io/endpoint.py": line,
        "tasks/io/other.py": '"""`python -m serving.app` is documented here."""',
        "serving/app.py": "",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    (edge,) = find_named_imports(tmp_path, ("tasks", "serving"))
    assert edge == ("tasks.io.endpoint", "serving.app")
    assert breaks_layers(*edge)


BLOCKED_IMPORT = """
import importlib.abc, sys
from collections.abc import Iterator
from itertools import pairwise
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


@pytest.mark.servers
def test_the_endpoint_starts_with_what_its_image_has(tmp_path: Path) -> None:
    """With the packages of the image, the app and MLflow's client import, and the ledger migrates a new database."""
    allowed = {"titleholder", *pins(ROOT / "serving" / "requirements.txt")}  # our own packages are copied
    code = (
        "import serving.app\nserving.app.create_app\nimport tasks.io.tracking, mlflow\n"
        f"from tasks.io.ledger import Ledger\nLedger('sqlite:///{tmp_path}/new.db')"
    )
    completed = import_with(allowed, code)
    assert completed.returncode == 0, completed.stderr[-2000:]


@pytest.mark.servers
def test_a_package_outside_the_image_is_refused() -> None:
    completed = import_with(set(pins(ROOT / "serving" / "requirements.txt")), "import pyspark")
    assert completed.returncode == 1
    assert "pyspark is not in the image" in completed.stderr


# Times of files come from the machine, and are compared with the machine's time.
READS_THE_MACHINE = {"tasks/clock.py", "serving/telemetry/workers.py"}
TIME_OF_DAY = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "time.time_ns"}


def find_times_of_day(source: str) -> list[str]:
    """The calls that read the time of day, by line."""
    return [
        f"{node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and ".".join(ast.unparse(node).split(".")[-2:]) in TIME_OF_DAY
    ]


def test_only_the_clock_reads_the_time_of_day() -> None:
    """A second way to read it would record the machine's time in a backtest."""
    assert find_times_of_day("import datetime\nx = datetime.datetime.now(UTC)\ny = time.time()") == [
        "2: datetime.datetime.now",
        "3: time.time",
    ]
    found = {
        str(path.relative_to(ROOT)): times
        for package in ("dags", "tasks", "serving", "titleholder")
        for path in (ROOT / package).rglob("*.py")
        if (times := find_times_of_day(path.read_text()))
    }
    assert set(found) == READS_THE_MACHINE, found

"""Which code decides a result: the commit with what differs from it, the packages, and the modules that one module calls."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from tasks.settings import ROOT, get_settings

CODE = ("tasks", "serving", "titleholder", "dags", "conf", "expectations")  # folders whose files decide a result
LOCK = "requirements.txt"
_PACKAGES = ("tasks", "serving", "titleholder")
_SUFFIXES = {".py", ".yaml", ".yml", ".j2"}


@lru_cache(maxsize=1)
def get_code_version() -> str:
    """The commit of the running code, and a digest of what differs from it.

    `<commit>` of a clean checkout. `<commit>-dirty-<digest>` where files differ from the commit: the digest covers the
    difference of every tracked file, and the files of `CODE` that git does not know. `files-<digest>` outside a checkout:
    the digest covers all files of `CODE` and the lock. An image states its own version.
    """
    stated = get_settings().code_version
    return stated or describe_checkout(ROOT) or f"files-{_digest_files(_list_files(ROOT), ROOT)[:12]}"


@lru_cache(maxsize=1)
def identify_code() -> str:
    """One digest of all code that could decide a result: the version of ours, the lock, and the installed packages."""
    lock = ROOT / LOCK
    locked = hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else ""
    identity = [get_code_version(), locked, _list_packages()]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]


def describe_checkout(root: Path) -> str:
    """The commit of a checkout, with the digest of what differs from it; empty where there is none."""
    try:
        _git(root, "ls-files", "--error-unmatch", "--", CODE[0])  # a folder inside another project's checkout is none
        commit = _git(root, "rev-parse", "--short=12", "HEAD").decode().strip()
        difference = _git(root, "diff", "--binary", "--no-ext-diff", "--no-textconv", "HEAD", "--", ".")
        unknown = _git(root, "ls-files", "-z", "--others", "--exclude-standard", "--", *CODE).decode()
    except (OSError, subprocess.SubprocessError):
        return ""
    untracked = [root / name for name in unknown.split("\0") if name]
    if not difference and not untracked:
        return commit
    digest = hashlib.sha256(difference + _digest_files(untracked, root).encode()).hexdigest()
    return f"{commit}-dirty-{digest[:12]}"


@lru_cache(maxsize=16)
def digest_modules(module: str, root: Path = ROOT) -> str:
    """The digest of a module and of all modules of ours that it imports, directly or not: the code that it can call.

    A package that is imported by its name counts with its own modules. The packages above an imported module do not count:
    they only list it.
    """
    return _digest_files(find_modules(module, root).values(), root)[:16]


def find_modules(module: str, root: Path = ROOT) -> dict[str, Path]:
    """Name -> file of a module, of a package's own modules, and of all that they import from this project."""
    found: dict[str, Path] = {}
    waiting = [name for name, _ in _own_modules(module, root)]
    while waiting:
        name = waiting.pop()
        path = _find_file(name, root)
        if path is None or name in found:
            continue
        found[name] = path
        waiting += _imports(path)
    return found


def _own_modules(module: str, root: Path) -> Iterator[tuple[str, Path]]:
    """A module, or a package with the modules of its folder and of the folders below."""
    path = _find_file(module, root)
    if path is None:
        raise ModuleNotFoundError(f"no module {module} under {root}")
    yield module, path
    if path.name == "__init__.py":
        for inner in sorted(path.parent.rglob("*.py")):
            parts = inner.relative_to(root).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), inner


def _find_file(module: str, root: Path) -> Path | None:
    base = root.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def _imports(path: Path) -> Iterator[str]:
    """The modules of ours that a file imports, also inside functions; a name that is no module is harmless."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in _PACKAGES)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in _PACKAGES:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _git(root: Path, *arguments: str) -> bytes:
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=True, timeout=30, env=environment)
    return done.stdout


def _list_files(root: Path) -> list[Path]:
    """The files that decide, without those that Python and tools leave behind."""
    files = [path for folder in CODE for path in (root / folder).rglob("*") if path.suffix in _SUFFIXES and path.is_file()]
    return [*files, *(path for path in [root / LOCK] if path.is_file())]


def _digest_files(files: Iterable[Path], root: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(files):
        content = path.read_bytes() if path.is_file() else b""  # a link without a target
        total.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode() + content)
    return total.hexdigest()


def _list_packages() -> list[str]:
    """`name-version` of the installed packages, from the names of their folders, which a reader of all metadata is slow to
    collect.
    """
    folders = {Path(entry) for entry in sys.path if entry and Path(entry).is_dir()}
    return sorted({found.name.removesuffix(".dist-info") for folder in folders for found in folder.glob("*.dist-info")})

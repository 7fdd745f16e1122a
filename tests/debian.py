"""Programs of Debian's packages, unpacked in build/: no installation, no service and no root right is needed."""

from __future__ import annotations

import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

from tasks.settings import ROOT

FOLDER = ROOT / "build" / "debian"


@lru_cache
def fetch(program: str, packages: tuple[str, ...], is_default: bool = False) -> tuple[Path | None, str]:
    """The folder that holds the unpacked packages of a program, or None and the reason.

    Parameters
    ----------
    program : a glob pattern in the folder; nothing is downloaded if a file matches.
    is_default : the packages are metapackages: download their dependencies, and the libraries of these.
    """
    root = FOLDER / "root"
    if list(root.glob(program)):
        return root, ""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return None, "this is no Debian, from which it could be fetched"
    for place in ("state/lists/partial", "cache/archives/partial"):
        (FOLDER / place).mkdir(parents=True, exist_ok=True)
    try:
        _run("apt-get", "update")
        needed = list(packages)
        if is_default:
            needed = [real for name in packages for real in _depends(name)]
            needed += [name for real in tuple(needed) for name in _depends(real) if name.startswith("lib") and name != "libc6"]
        _run("apt-get", "download", *dict.fromkeys(needed))
        for package in sorted(FOLDER.glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", package.name, "root"], cwd=FOLDER, check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        output = getattr(error, "stderr", "") or str(error)
        return None, f"it could not be fetched from Debian: {str(output)[-300:]}"
    return root, ""


def _run(*words: str) -> str:
    places = (f"Dir::State={FOLDER}/state", f"Dir::Cache={FOLDER}/cache", "Dir::State::status=/var/lib/dpkg/status")
    own = [word for place in places for word in ("-o", place)]
    command = [words[0], *own, *words[1:]]
    return subprocess.run(command, cwd=FOLDER, check=True, capture_output=True, text=True, timeout=120).stdout


def _depends(package: str) -> list[str]:
    """The direct dependencies of a package, without virtual packages."""
    lines = _run("apt-cache", "depends", "--no-recommends", "--no-suggests", package).splitlines()
    return [line.split()[-1] for line in lines if "Depends:" in line and "<" not in line]

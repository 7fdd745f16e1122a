"""Adapter: a Python process with a bare environment, for files that are loaded before they are trusted."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def command(module: str) -> list[str]:
    """The command that runs a module of ours. -P: Python imports nothing from the working directory."""
    return [sys.executable, "-P", "-m", module]


def environment() -> dict[str, str]:
    """No credentials, no settings, one thread: only the paths of programs and of our code."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }

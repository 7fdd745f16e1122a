"""Seam: a Python process of our own that knows nothing of this one, for what is loaded before it is trusted."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def command(module: str) -> list[str]:
    """How a module of ours is run; -P: nothing is imported from the folder in which it runs."""
    return [sys.executable, "-P", "-m", module]


def environment() -> dict[str, str]:
    """No credentials, no settings, one thread: the places of programs and of our code alone."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }

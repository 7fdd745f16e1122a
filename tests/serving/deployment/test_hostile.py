"""Fifteen hostile models, none of which runs code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.settings import ROOT
from tests.serving.deployment.hostile import NAMES

HARMLESS = {"a loader_module with code"}  # its extra files are never read, and the model itself is valid


@pytest.mark.servers
def test_hostile_models_run_no_code(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.serving.deployment.hostile", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["hook_works"], "the audit hook detects an unpickling"
    assert found["marks"] == []
    assert [event for event in found["seen"] if not event.startswith("import")] == []
    assert len(NAMES) >= 13
    loaded = {name for name, outcome in found["outcomes"].items() if outcome == "loaded"}
    assert loaded <= HARMLESS, found["outcomes"]
    assert found["peak_mb"] < 1000, "no compressed bomb was unpacked"

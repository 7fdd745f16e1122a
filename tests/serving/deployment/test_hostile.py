"""Hostile models: fifteen ways in, none of which runs anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tasks.settings import ROOT
from tests.serving.deployment.hostile import NAMES

HARMLESS = {"a loader_module with code"}  # its files are never looked at: the model itself is an honest one


def test_no_hostile_model_runs_anything(tmp_path: Path) -> None:
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
    assert found["hook_works"], "the audit hook sees an unpickling where there is one"
    assert found["marks"] == []
    assert [event for event in found["seen"] if not event.startswith("import")] == []
    assert len(NAMES) >= 13
    loaded = {name for name, told in found["told"].items() if told == "loaded"}
    assert loaded <= HARMLESS, found["told"]
    assert found["peak_mb"] < 1000, "a bomb did not go off"

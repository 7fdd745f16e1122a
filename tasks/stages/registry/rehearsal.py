"""A rehearsal before a version becomes champion: a fresh process loads its export and requests predictions."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks import columns as c
from tasks.contracts.data import DatasetRef
from tasks.errors import ModelError, PromotionRefused, SnapshotError
from tasks.io import isolated_process, tracking
from tasks.io.storage import Storage
from tasks.models import SERVED, smoke_test
from tasks.settings import get_settings
from tasks.stages.registry.versions import read_verdict

SECONDS = 120.0
MEMORY_BYTES = 4 * 2**30  # of address space, of which NumPy and Arrow reserve more than they use

Rehearsal = Callable[[str, int, str], Any]


def rehearse(
    use_case: str, version: int, manifest_digest: str, seconds: float = SECONDS, memory_bytes: int = MEMORY_BYTES
) -> list[int]:
    """Load a version as the endpoint would, and predict for the newest features and its own holdout. Nothing is changed.

    The process that loads it is new, has limits of time and memory, and is given no credentials: what would stop the
    endpoint stops only that process.

    Returns
    -------
    How many of its best scores fall into each bin of `tasks.models.smoke_test.SCORE_EDGES`: the scores to expect online.

    Raises
    ------
    PromotionRefused : it does not load, is not the model of `manifest_digest`, or gives invalid predictions.
    """
    settings = get_settings()
    snapshots = _snapshots(use_case, version, Storage(settings.data_root))
    if not snapshots:
        raise _refused(use_case, version, "there is neither a features snapshot nor its holdout to predict for")
    tags = tracking.version_tags(use_case, version)
    if "model_uri" not in tags:
        raise _refused(use_case, version, "its tag model_uri is missing, so that its export cannot be found")
    with tempfile.TemporaryDirectory(prefix="titleholder-rehearsal-") as folder:
        question = {
            "use_case": use_case,
            "native": str(tracking.download_native(tags["model_uri"], Path(folder))),
            "manifest_digest": manifest_digest,
            "data_root": str(settings.data_root.resolve()),
            "snapshots": [ref.to_json() for ref in snapshots],
            "kinds": {kind: (served.__module__, served.__qualname__) for kind, served in SERVED.items()},
            "memory_bytes": memory_bytes,
        }
        command, environment = isolated_process.command(smoke_test.__name__), isolated_process.environment()
        try:
            done = subprocess.run(
                command,
                input=json.dumps(question) + "\n",
                env=environment,
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise _refused(use_case, version, f"it gave no answer within {seconds:g} s") from error
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        last = done.stderr.strip().splitlines()[-1:] or ["no output"]
        raise _refused(use_case, version, f"the process that loaded it died ({done.returncode}): {last[0][:300]}")
    answer = json.loads(lines[-1])
    if answer["fault"]:
        raise _refused(use_case, version, answer["fault"])
    return [int(count) for count in answer["scores"]]


def _snapshots(use_case: str, version: int, storage: Storage) -> list[DatasetRef]:
    """The newest features, which it will predict from; and its holdout, unless that was pruned."""
    newest = storage.newest(use_case, c.FEATURES)
    found = [] if newest is None else [newest]
    try:
        holdout = read_verdict(use_case, version).evaluations[0].holdout
        storage.folder(holdout)
    except (ModelError, SnapshotError):
        return found  # the data of a former champion may be pruned
    return [*found, holdout]


def _refused(use_case: str, version: int, fault: str) -> PromotionRefused:
    return PromotionRefused(f"{use_case}: version {version} is not fit to be champion, and nothing was changed: {fault}")

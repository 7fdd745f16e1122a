"""Load a registered version into memory, for batch scoring and the endpoint."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tasks.contracts.promotion import LedgerEntry
from tasks.contracts.training import ScoringTerms
from tasks.errors import ModelError, ServiceUnavailable, TitleholderError
from tasks.io import tracking
from tasks.models.base import ServedModel, load_model

KEPT_MODELS = 4  # of a use case: the served version, and those that a rollback may need


def fetch_champion(
    entry: LedgerEntry, kinds: Mapping[str, type[ServedModel]], cache: Path | None = None
) -> tuple[ServedModel, ScoringTerms]:
    """The model of a ledger entry, from the registry, verified by the digest in the *ledger*.

    The files pass through a private folder (0700): no other user can change them between check and use.

    Parameters
    ----------
    cache : private folder of the last valid models, which load without MLflow. Each load verifies the digest and fetches the
        model again if it differs. Large arrays are mapped. None: nothing is kept.

    Raises
    ------
    ModelError : the version has no exported model, or it is not the one that the ledger names.
    ServiceUnavailable : MLflow does not answer.
    """
    kept = cache / entry.use_case / entry.manifest_digest if cache is not None else None
    if kept is not None and kept.is_dir():
        try:
            found = _load(kept, entry, kinds, mapped=True)
        except (ModelError, OSError, ValueError):  # altered, or truncated by a full disk
            shutil.rmtree(kept, ignore_errors=True)
        else:
            kept.touch()  # the newest are kept
            return found
    tags = tracking.version_tags(entry.use_case, entry.version)
    if "model_uri" not in tags:
        raise ModelError(f"{entry.use_case} version {entry.version}: its tag 'model_uri' is missing; register it again")
    with tempfile.TemporaryDirectory(prefix="titleholder-model-") as folder:
        native = tracking.download_native(tags["model_uri"], Path(folder))
        found = _load(native, entry, kinds)
        if kept is not None:
            with suppress(OSError):  # a full disk must not prevent serving
                _keep(native, kept)
                found = _load(kept, entry, kinds, mapped=True)
    return found


def describe_failure(error: Exception) -> str:
    """Why a model that was trained on other data cannot answer: whatever its code raises counts.

    A server that does not answer and a fault of this machine (memory, disk) are raised again: another try may succeed.
    """
    if isinstance(error, ServiceUnavailable | MemoryError | OSError):
        raise error
    return (str(error) if isinstance(error, TitleholderError) else f"{type(error).__name__}: {error}")[:1000]


def _load(
    folder: Path, entry: LedgerEntry, kinds: Mapping[str, type[ServedModel]], *, mapped: bool = False
) -> tuple[ServedModel, ScoringTerms]:
    model, terms = load_model(folder, entry.manifest_digest, dict(kinds), mapped=mapped)
    if terms.use_case != entry.use_case:
        raise ModelError(f"{entry.use_case} version {entry.version}: the model was exported for '{terms.use_case}'")
    return model, terms


def _keep(native: Path, kept: Path) -> None:
    """Copy a verified model into the cache by one rename, and remove the oldest."""
    kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=kept.parent))  # 0700
    try:
        shutil.copytree(native, staging, dirs_exist_ok=True)
        staging.rename(kept)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    present = sorted(kept.parent.glob("[0-9a-f]*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in present[KEPT_MODELS:]:
        shutil.rmtree(old, ignore_errors=True)

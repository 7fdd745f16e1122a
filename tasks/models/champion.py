"""How a registered version becomes a model in memory; batch scoring and the endpoint do it alike."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tasks.contracts.promotion import LedgerEntry
from tasks.contracts.training import ServingTerms
from tasks.errors import ModelError
from tasks.io import tracking
from tasks.models.base import ServedModel, load_model

KEPT_MODELS = 4  # of a use case: what is in service, and what could be rolled back to


def fetch_champion(
    entry: LedgerEntry, kinds: Mapping[str, type[ServedModel]], cache: Path | None = None
) -> tuple[ServedModel, ServingTerms]:
    """The model that a ledger entry crowned, from the registry, proved by the digest that the *ledger* names.

    The files pass through a private folder (0700): nobody else can change them between check and use.

    Parameters
    ----------
    cache : private folder of the last good models; what is in it is loaded without asking MLflow. It is proved by the same
        digest each time, and fetched again where it does not hold; its large arrays are mapped. None: nothing is kept.

    Raises
    ------
    ModelError : the version has no exported model, or it is not the one that the ledger names.
    ServiceUnavailable : MLflow does not answer.
    """
    kept = cache / entry.use_case / entry.manifest_digest if cache is not None else None
    if kept is not None and kept.is_dir():
        try:
            found = _load(kept, entry, kinds, mapped=True)
        except (ModelError, OSError, ValueError):  # altered, or torn by a full disk: it is worth nothing
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
            with suppress(OSError):  # a full disk is no reason not to answer
                _keep(native, kept)
                found = _load(kept, entry, kinds, mapped=True)
    return found


def _load(
    folder: Path, entry: LedgerEntry, kinds: Mapping[str, type[ServedModel]], *, mapped: bool = False
) -> tuple[ServedModel, ServingTerms]:
    model, terms = load_model(folder, entry.manifest_digest, dict(kinds), mapped=mapped)
    if terms.use_case != entry.use_case:
        raise ModelError(f"{entry.use_case} version {entry.version}: the model was exported for '{terms.use_case}'")
    return model, terms


def _keep(native: Path, kept: Path) -> None:
    """Copy a proved model into the cache by one rename, and drop the oldest."""
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

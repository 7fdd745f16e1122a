"""How a registered version becomes a model in memory; batch scoring and the endpoint do it alike."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from tasks import tracking
from tasks.contracts import LedgerEntry, ServingTerms
from tasks.errors import ModelError
from tasks.models.base import ServedModel, load_model


def fetch_champion(entry: LedgerEntry, kinds: Mapping[str, type[ServedModel]]) -> tuple[ServedModel, ServingTerms]:
    """The model that a ledger entry crowned, from the registry, proved by the digest that the *ledger* names.

    The files pass through a private folder (0700) that is gone afterwards: nobody can change them between check and use.

    Raises
    ------
    ModelError : the version has no exported model, or it is not the one that the ledger names.
    ServiceUnavailable : MLflow does not answer.
    """
    tags = tracking.version_tags(entry.use_case, entry.version)
    if "model_uri" not in tags:
        raise ModelError(f"{entry.use_case} version {entry.version}: its tag 'model_uri' is missing; register it again")
    with tempfile.TemporaryDirectory(prefix="titleholder-model-") as folder:
        native = tracking.download_native(tags["model_uri"], Path(folder))
        model, terms = load_model(native, entry.manifest_digest, dict(kinds))
    if terms.use_case != entry.use_case:
        raise ModelError(f"{entry.use_case} version {entry.version}: the model was exported for '{terms.use_case}'")
    return model, terms

"""Whether the champion can answer the features that a use case describes, before they are built with other settings."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from tasks import columns as c
from tasks.contracts.data import DatasetRef
from tasks.contracts.promotion import LedgerEntry
from tasks.io.storage import Storage
from tasks.models import SERVED
from tasks.models.base import FeatureTables, ServedModel, read_features
from tasks.models.champion import describe_failure, fetch_champion
from tasks.stages.inference.scoring import score_rows, score_users

SUBJECTS = 50  # so many are asked; a column that a model lacks fails at the first one


def find_champion_fault(
    entry: LedgerEntry,
    features: DatasetRef,
    storage: Storage,
    *,
    lookback_days: Collection[int],
    declared: Collection[str],
    kinds: Mapping[str, type[ServedModel]] = SERVED,
) -> str:
    """Why the champion cannot answer; empty if it can.

    It answers a sample of a features snapshot, without the columns that the snapshot has only by other settings.

    Parameters
    ----------
    entry : the champion's entry of the ledger.
    lookback_days, declared : the windows, and the names of declared features, that the use case describes now.

    Raises
    ------
    ServiceUnavailable : MLflow does not answer.
    """
    try:
        model, terms = fetch_champion(entry, kinds)
        if terms.task.answers_rows:
            score_rows(model, terms, storage.read(features, c.ROWS).head(SUBJECTS))
            return ""
        built_by = storage.manifest(features)["facts"].get("features", {})
        tables = _drop_removed(read_features(storage, features), built_by, lookback_days, declared)
        score_users(model, terms, tables, tables.active_users(None)[:SUBJECTS])
    except Exception as error:
        return describe_failure(error)
    return ""


def _drop_removed(
    tables: FeatureTables, built_by: Mapping[str, Any], lookback_days: Collection[int], declared: Collection[str]
) -> FeatureTables:
    """The tables without the columns that other settings made."""
    windows = set(built_by.get("lookback_days", ())) - set(lookback_days)
    names = {one["name"] for one in built_by.get("declared", ())} - set(declared)

    def is_removed(column: str) -> bool:
        counted = re.fullmatch(r"(?:user|item|pair)_(?:orders|spend|buyers)_(\d+)d", column)
        return column in names or (counted is not None and int(counted[1]) in windows)

    found = {table: getattr(tables, table) for table in (c.USERS, c.ITEMS, c.PAIRS)}
    return replace(
        tables, **{name: table.drop(columns=[one for one in table if is_removed(str(one))]) for name, table in found.items()}
    )

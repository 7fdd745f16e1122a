"""Whom figures describe. Training, evaluation, gates and monitoring take these definitions."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from tasks import columns as c
from tasks.contracts.training import ProbabilityOf, ScoringTerms
from tasks.models.base import FeatureTables

if TYPE_CHECKING:
    import pandas as pd

MOST_USERS = 50_000  # whose lists measure probabilities; of more, those with the smallest hash of their id


def probability_users(terms: ScoringTerms, features: FeatureTables, labels: pd.DataFrame) -> list[str]:
    """The users by whom probabilities are calibrated and judged, sorted: those whom batch scoring answers, or buyers.

    Parameters
    ----------
    labels : all labels of the window, one row a pair.
    """
    is_of_buyers = terms.probability_of is ProbabilityOf.BUYERS
    users = sorted(set(labels[c.USER_ID])) if is_of_buyers else features.active_users(terms.active_days)
    if len(users) > MOST_USERS:
        users = sorted(sorted(users, key=lambda user: (zlib.crc32(user.encode()), user))[:MOST_USERS])
    return users


def wanted_labels(labels: pd.DataFrame, pairs: pd.DataFrame, *, exclude_seen: bool) -> pd.DataFrame:
    """The labels that lists can fulfil: with `exclude_seen` without those of items that their user had met before.

    Parameters
    ----------
    labels : one row a pair of a user and an item.
    pairs : of the features: one row for each user and item that had met.
    """
    import pandas as pd

    if not exclude_seen:
        return labels
    keys = [c.USER_ID, c.ITEM_ID]
    pairs = pairs[pairs[c.USER_ID].isin(labels[c.USER_ID].unique())]
    return labels[~pd.MultiIndex.from_frame(labels[keys]).isin(pd.MultiIndex.from_frame(pairs[keys]))]

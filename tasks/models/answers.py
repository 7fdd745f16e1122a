"""Whether an answer of a model is valid: one definition for the rehearsal, batch scoring and the endpoint's smoke test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.contracts.arrays import Floats
from tasks.contracts.training import ScoringTerms
from tasks.models.base import FeatureTables


def find_list_fault(
    user_id: str, items: Sequence[str], scores: Sequence[float], terms: ScoringTerms, features: FeatureTables
) -> str:
    """What is wrong with a list of recommendations; empty if nothing is.

    Parameters
    ----------
    items : recommended item ids, the best first.
    scores : of the items; a list with raw and calibrated scores has both here.
    """
    pairs = features.pairs_of(user_id)
    available = len(features.item_ids) - (pairs.stop - pairs.start if terms.exclude_seen else 0)
    least = min(1, available)
    if not least <= len(items) <= terms.k:
        found = f"{len(items)} items"
    elif len(set(items)) != len(items):
        found = "an item twice"
    elif not np.isfinite(scores).all():
        found = "a score that is not finite"
    else:
        return ""
    return f"expected {least} to {terms.k} different items with finite scores for user {user_id!r}, got {found}"


def find_probability_fault(probabilities: Floats, rows: Sequence[str]) -> str:
    """What is wrong with the probabilities of rows; empty if nothing is.

    Parameters
    ----------
    probabilities : expected (rows,), each between 0 and 1.
    rows : the name of each row.
    """
    expected = f"expected a probability for each of {len(rows)} rows"
    if probabilities.shape != (len(rows),):
        return f"{expected}, got an array of shape {probabilities.shape}"
    wrong = np.flatnonzero(~((probabilities >= 0.0) & (probabilities <= 1.0)))
    if not len(wrong):
        return ""
    return f"{expected}, got {len(wrong)} other values, first {probabilities[wrong[0]]:g} for row {rows[wrong[0]]}"


def find_rating_fault(ratings: Floats, pairs: int) -> str:
    """What is wrong with the ratings of pairs; empty if nothing is.

    Parameters
    ----------
    ratings : expected (pairs,), each finite.
    """
    expected = f"expected a finite rating for each of {pairs} pairs"
    if ratings.shape != (pairs,):
        return f"{expected}, got an array of shape {ratings.shape}"
    wrong = int((~np.isfinite(ratings)).sum())
    return f"{expected}, got {wrong} that are not finite" if wrong else ""

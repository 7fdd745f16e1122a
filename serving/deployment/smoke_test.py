"""The smoke test of a bundle before it is put into service: a few subjects, by every path that requests take."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from serving.deployment.bundle import Bundle
from tasks import columns as c
from tasks.contracts.data import DatasetRef
from tasks.contracts.training import ScoringTerms
from tasks.errors import ModelError
from tasks.io.storage import Storage
from tasks.models.answers import find_list_fault, find_probability_fault, find_rating_fault
from tasks.models.smoke_test import UNKNOWN_ID

if TYPE_CHECKING:
    import pandas as pd

SUBJECTS = 32  # spread evenly over all; the rehearsal before a promotion tests more of them, in a process of its own


def read_smoke_rows(storage: Storage, newest: DatasetRef | None, terms: ScoringTerms) -> pd.DataFrame | None:
    """Up to `SUBJECTS` rows of a tabular use case's newest snapshot. None without a snapshot that has the model's columns."""
    if newest is None:
        return None
    import pyarrow.dataset as ds

    dataset = ds.dataset(storage.table(newest, c.ROWS), format="parquet")
    if not set(terms.row_columns) <= set(dataset.schema.names):
        return None
    found: pd.DataFrame = dataset.head(SUBJECTS, columns=list(terms.row_columns)).to_pandas()
    return found if len(found) else None


def run_smoke_test(bundle: Bundle, rows: pd.DataFrame | None = None) -> Bundle:
    """The bundle, after it answered the smoke test. All that it computes lazily is computed afterwards.

    Parameters
    ----------
    rows : the rows for a tabular bundle; None: one row of zeros and empty texts.

    Raises
    ------
    ModelError : an answer is not valid.
    """
    if bundle.terms.task.answers_rows:
        _test_rows(bundle, rows)
    else:
        _test_users(bundle)
    return bundle


def _test_rows(bundle: Bundle, rows: pd.DataFrame | None) -> None:
    import pandas as pd

    names, texts = bundle.terms.row_columns, bundle.terms.text_columns
    _ = bundle.row_decoder, bundle.loose_row_decoder, bundle.checked_places, bundle.provenance
    table = pd.DataFrame({name: ["" if name in texts else 0.0] for name in names}) if rows is None else rows[list(names)]
    values = table.to_numpy(dtype=object) if texts else table.to_numpy(dtype=np.float64, na_value=np.nan)
    probabilities = bundle.model.predict_rows(table)
    one_by_one = np.concatenate([bundle.model.predict_values(values[place : place + 1], names) for place in range(len(values))])
    if not np.allclose(one_by_one, probabilities, rtol=1e-9, atol=0.0, equal_nan=True):
        raise ModelError(f"{bundle.label}: predict_rows and predict_values give different answers for the same rows")
    if fault := find_probability_fault(probabilities, [str(row) for row in range(len(table))]):
        raise ModelError(f"{bundle.label}: {fault}")


def _test_users(bundle: Bundle) -> None:
    terms, tables = bundle.terms, bundle.features
    _ = tables.item_ids, tables.sorted_items, tables.item_position, tables.sorted_pairs, tables.pairs_of(""), tables.user_row
    _ = bundle.provenance
    bundle.ranks.warm_up()
    known = tables.users[c.USER_ID].iloc[:: max(1, len(tables.users) // SUBJECTS)].head(SUBJECTS)
    users = [*known, UNKNOWN_ID]
    by_model = (
        (one.user_id, one.items, one.scores) for one in bundle.model.recommend(users, tables, terms.k, terms.exclude_seen)
    )
    by_request = ((user, *bundle.ranks.rank(user, terms.k)[:2]) for user in users)
    for user, items, scores in chain(by_model, by_request):
        if fault := find_list_fault(user, items, scores, terms, tables):
            raise ModelError(f"{bundle.label}: {fault}")
    if terms.task.rates_pairs:
        import pandas as pd

        frame = pd.DataFrame({c.USER_ID: users, c.ITEM_ID: [tables.item_ids[0]] * len(users)})
        ratings = bundle.model.predict_ratings(frame, tables)
        if fault := find_rating_fault(ratings, len(users)):
            raise ModelError(f"{bundle.label}: {fault}")

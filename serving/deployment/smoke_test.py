"""A bundle is asked before it is in service: the smoke set, by every way that requests will go."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.data import DatasetRef
from tasks.contracts.training import ServingTerms
from tasks.errors import ModelError
from tasks.io.storage import Storage
from tasks.models.smoke_test import STRANGER

if TYPE_CHECKING:
    import pandas as pd

    from serving.deployment.store import Served

SUBJECTS = 32  # evenly over all; the rehearsal before a promotion asks more, in a process of its own


def smoke_rows(storage: Storage, newest: DatasetRef | None, terms: ServingTerms) -> pd.DataFrame | None:
    """Rows of the newest snapshot of a tabular use case; None where there is none with the model's columns."""
    if newest is None:
        return None
    import pyarrow.dataset as ds

    dataset = ds.dataset(storage.table(newest, c.ROWS), format="parquet")
    if not set(terms.row_columns) <= set(dataset.schema.names):
        return None
    found: pd.DataFrame = dataset.head(SUBJECTS, columns=list(terms.row_columns)).to_pandas()
    return found if len(found) else None


def warmed(served: Served, rows: pd.DataFrame | None = None) -> Served:
    """The bundle, after the smoke set was asked of it and everything lazy in it was made.

    Parameters
    ----------
    rows : the smoke set of a tabular bundle; None: one row of zeros.

    Raises
    ------
    ModelError : an answer is not one that could be given to anybody.
    """
    if served.terms.task.is_tabular:
        _try_rows(served, rows)
    else:
        _try_users(served)
    return served


def _try_rows(served: Served, rows: pd.DataFrame | None) -> None:
    import pandas as pd

    of, names = f"{served.entry.use_case} version {served.entry.version}", served.terms.row_columns
    _ = served.row_decoder, served.provenance
    texts = served.terms.text_columns
    asked = pd.DataFrame({name: ["" if name in texts else 0.0] for name in names}) if rows is None else rows[list(names)]
    values = asked.to_numpy(dtype=object) if texts else asked.to_numpy(dtype=np.float64, na_value=np.nan)
    probabilities = served.model.predict_rows(asked)
    bare = np.concatenate([served.model.predict_values(values[place : place + 1], names) for place in range(len(values))])
    if not np.allclose(bare, probabilities, rtol=1e-9, atol=0.0, equal_nan=True):
        raise ModelError(f"{of}: a table and a matrix of the same rows differ in their answers")
    if probabilities.shape != (len(asked),) or not ((probabilities >= 0.0) & (probabilities <= 1.0)).all():
        raise ModelError(f"{of}: its first answer is {probabilities!r:.300}, no probability")


def _try_users(served: Served) -> None:
    terms, tables = served.terms, served.features
    of = f"{served.entry.use_case} version {served.entry.version}"
    _ = tables.item_ids, tables.sorted_items, tables.item_position, tables.sorted_pairs, tables.pairs_of(""), tables.user_row
    _ = served.provenance
    served.ranks.warm()
    known = tables.users[c.USER_ID].iloc[:: max(1, len(tables.users) // SUBJECTS)].head(SUBJECTS)
    users = [*known, STRANGER]
    of_model = (
        (one.user_id, one.items, one.scores) for one in served.model.recommend(users, tables, terms.k, terms.exclude_seen)
    )
    as_asked = ((user, *served.ranks.rank(user, terms.k)[:2]) for user in users)
    for user, items, scores in chain(of_model, as_asked):
        met = tables.pairs_of(user)
        empty = not items and (not terms.exclude_seen or met.stop - met.start < len(tables.item_ids))
        twice = len(set(items)) != len(items) or len(items) > terms.k
        if empty or twice or not np.isfinite(scores).all():
            raise ModelError(f"{of}: its first answer is {items!r:.150} with {scores!r:.150}, to {user!r}")
    if terms.task is TaskKind.RATING:
        import pandas as pd

        pairs = pd.DataFrame({c.USER_ID: users, c.ITEM_ID: [tables.item_ids[0]] * len(users)})
        ratings = served.model.predict_ratings(pairs, tables)
        if ratings.shape != (len(users),) or not np.isfinite(ratings).all():
            raise ModelError(f"{of}: its first ratings are {ratings!r:.300}")

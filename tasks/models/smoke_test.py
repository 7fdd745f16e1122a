"""Test a served model before it is promoted: load it in a new process, and send the requests that the endpoint receives.

`python -m tasks.models.smoke_test` reads a job as JSON from standard input and writes the result as its last line. It uses
neither MLflow nor the ledger, and has no credentials, because the export could be hostile.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.contracts.data import DatasetRef
from tasks.contracts.training import ScoringTerms
from tasks.errors import ModelError
from tasks.io.storage import Storage
from tasks.models.answers import find_list_fault, find_probability_fault, find_rating_fault
from tasks.models.base import Examples, FeatureTables, ServedModel, load_model, read_examples, read_features

if TYPE_CHECKING:
    import pandas as pd

SUBJECTS = 200
UNKNOWN_ID = "nobody has this id \N{SNOWMAN}"
# One set of bins for all scores (probabilities, ratings, raw scores), so that versions are comparable by bin.
SCORE_EDGES = (
    -10.0,
    -1.0,
    -0.1,
    0.0,
    0.001,
    0.002,
    0.005,
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.3,
    0.4,
    0.5,
    0.6,
    0.7,
    0.8,
    0.9,
    1.0,
    1.5,
    2.0,
    2.5,
    3.0,
    3.5,
    4.0,
    4.5,
    5.0,
    10.0,
    100.0,
    1000.0,
)


def count_scores(scores: Floats) -> NDArray[np.int64]:
    """Count scores (scores,) by bin: up to the first edge, (edge, next edge], ..., above the last one. Returns (bins,)."""
    places = np.searchsorted(np.array(SCORE_EDGES), scores, side="left")
    return np.bincount(places, minlength=len(SCORE_EDGES) + 1).astype(np.int64)


def try_model(model: ServedModel, terms: ScoringTerms, examples: Examples) -> Floats:
    """Ask for up to `SUBJECTS` subjects, evenly spread over all, and for an unknown user.

    Returns
    -------
    The best score of each known subject, (subjects,): its probability, its rating, or the score of its first item.

    Raises
    ------
    ModelError : predictions have another shape, are not finite, are out of range, or are all equal.
    """
    if terms.task.answers_rows:
        scores = best = _try_rows(model, terms, examples.rows)
    else:
        if examples.features is None or examples.features.users.empty:
            raise ModelError("there are no users to ask about")
        users = [*_spread(sorted(examples.features.users[c.USER_ID])), UNKNOWN_ID]
        scores, best = _try_lists(model, terms, examples.features, users)
        if terms.task.rates_pairs:
            scores = best = _try_ratings(model, examples.features, examples.labels, users)
    if len(scores) > 1 and (scores == scores[0]).all():
        raise ModelError(f"expected different predictions, got {scores[0]:g} for all {len(scores)}")
    return best


def _try_rows(model: ServedModel, terms: ScoringTerms, rows: pd.DataFrame | None) -> Floats:
    if rows is None or rows.empty:
        raise ModelError("expected at least one row to predict, got none")
    missing = [column for column in terms.row_columns if column not in rows]
    if missing:
        raise ModelError(f"the rows lack columns that the model needs: {', '.join(missing)}")
    ordered = rows.sort_values(c.ROW_ID, ignore_index=True)
    places = _spread(list(range(len(ordered))))
    asked = ordered.loc[places, list(terms.row_columns)].reset_index(drop=True)
    answers = np.asarray(model.predict_rows(asked), dtype=np.float64)
    if fault := find_probability_fault(answers, [str(name) for name in ordered.loc[places, c.ROW_ID]]):
        raise ModelError(fault)
    return answers


def _try_lists(model: ServedModel, terms: ScoringTerms, features: FeatureTables, users: list[str]) -> tuple[Floats, Floats]:
    """All raw scores of all lists, and the calibrated score of each list's first item."""
    answers = model.recommend(users, features, terms.k, terms.exclude_seen)
    if [answer.user_id for answer in answers] != users:
        raise ModelError(f"expected a list for each of {len(users)} users in this order, got {len(answers)} or another order")
    for answer in answers:
        scores = [*answer.scores, *answer.raw_scores]
        if fault := find_list_fault(answer.user_id, answer.items, scores, terms, features):
            raise ModelError(fault)
    best = np.array([answer.scores[0] for answer in answers if answer.scores])
    if model.calibration is not None and ((best < 0.0) | (best > 1.0)).any():
        raise ModelError(f"expected calibrated probabilities from 0 to 1, got {best.min():g} to {best.max():g}")
    known = np.array([not answer.path.is_cold for answer in answers if answer.scores], dtype=bool)
    return np.array(list(chain.from_iterable(answer.raw_scores for answer in answers))), best[known]


def _try_ratings(model: ServedModel, features: FeatureTables, labels: pd.DataFrame | None, users: list[str]) -> Floats:
    """One item for each user, in turn. Ratings may exceed the given ones by at most their range. Returns (users,)."""
    import pandas as pd

    items = features.item_ids[np.arange(len(users)) % len(features.item_ids)]
    ratings = np.asarray(model.predict_ratings(pd.DataFrame({c.USER_ID: users, c.ITEM_ID: items}), features), dtype=np.float64)
    if fault := find_rating_fault(ratings, len(users)):
        raise ModelError(fault)
    if labels is not None and len(labels):
        low, high = float(labels[c.LABEL].min()), float(labels[c.LABEL].max())
        if ratings.min() < low - (high - low) or ratings.max() > high + (high - low):
            raise ModelError(f"expected ratings near {low:g} to {high:g}, got {ratings.min():g} to {ratings.max():g}")
    return ratings


def _spread(values: list[Any]) -> list[Any]:
    """At most `SUBJECTS` values, evenly spread."""
    places = np.unique(np.linspace(0, len(values) - 1, min(SUBJECTS, len(values))).astype(int))
    return [values[place] for place in places]


def _examples(storage: Storage, ref: DatasetRef) -> Examples:
    has_labels = c.LABELS in ref.rows or c.ROWS in ref.rows
    return read_examples(storage, ref) if has_labels else Examples(features=read_features(storage, ref))


def _run(job: dict[str, Any]) -> dict[str, Any]:
    kinds = {kind: getattr(import_module(module), name) for kind, (module, name) in job["kinds"].items()}
    model, terms = load_model(Path(job["native"]), job["manifest_digest"], kinds)
    if terms.use_case != job["use_case"]:
        return {"fault": f"the model was exported for {terms.use_case!r}"}
    storage, found = Storage(Path(job["data_root"])), None
    for ref in map(DatasetRef.from_json, job["snapshots"]):
        scores = try_model(model, terms, _examples(storage, ref))
        found = scores if found is None else found  # the first snapshot is the one that the endpoint uses
    return {"fault": "", "scores": count_scores(np.empty(0) if found is None else found).tolist()}


def main(lines: Iterator[str]) -> int:
    """Run one job and write its result."""
    import resource

    job = json.loads(next(lines))
    resource.setrlimit(resource.RLIMIT_AS, (job["memory_bytes"],) * 2)
    try:
        result = _run(job)
    except ModelError as error:
        result = {"fault": str(error)[:500]}
    except Exception as error:  # every failure of a model is a result
        result = {"fault": f"{type(error).__name__}: {error}"[:500]}
    sys.stdout.write(f"\n{json.dumps(result)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.stdin))

"""The answers of a model, checked: a table of rows, or a list for each user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tasks import columns as c
from tasks.contracts.training import ScoringTerms
from tasks.errors import ModelError
from tasks.models.answers import find_list_fault, find_probability_fault
from tasks.models.base import FeatureTables, Recommendation, ServedModel

if TYPE_CHECKING:
    import pandas as pd


def score_rows(model: ServedModel, terms: ScoringTerms, rows: pd.DataFrame) -> pd.DataFrame:
    """`row_id`, `prediction` (the probability of class 1) and `predicted_class` of each row, ordered by `row_id`."""
    ordered = rows.sort_values(c.ROW_ID, ignore_index=True)
    missing = [column for column in terms.row_columns if column not in ordered]
    if missing:
        raise ModelError(f"{terms.use_case}: the features lack columns that the model needs: {', '.join(missing)}")
    probabilities = model.predict_rows(ordered[list(terms.row_columns)])
    if fault := find_probability_fault(probabilities, [str(name) for name in ordered[c.ROW_ID]]):
        raise ModelError(f"{terms.use_case}: {fault}; nothing was published")
    classes = model.choose_classes(probabilities).astype(np.int64)
    return ordered[[c.ROW_ID]].assign(**{c.PREDICTION: probabilities, c.PREDICTED_CLASS: classes})


def score_users(model: ServedModel, terms: ScoringTerms, features: FeatureTables, users: list[str]) -> list[Recommendation]:
    """The top k of each user, in their order, each answer checked."""
    answers = model.recommend(users, features, terms.k, terms.exclude_seen)
    if [answer.user_id for answer in answers] != users:
        raise ModelError(f"{terms.use_case}: {len(answers)} answers for {len(users)} users, or in another order")
    for answer in answers:
        scores = [*answer.scores, *answer.raw_scores]
        if fault := find_list_fault(answer.user_id, answer.items, scores, terms, features):
            raise ModelError(f"{terms.use_case}: {fault}; nothing was published")
    return answers


def as_frame(answers: list[Recommendation]) -> pd.DataFrame:
    """Recommendations as rows, one an item."""
    import pandas as pd

    counts = [len(answer.items) for answer in answers]
    return pd.DataFrame(
        {
            c.USER_ID: np.repeat(np.array([answer.user_id for answer in answers], dtype=object), counts),
            c.ITEM_ID: np.array([item for answer in answers for item in answer.items], dtype=object),
            c.RANK: np.array([rank for count in counts for rank in range(1, count + 1)], dtype=np.int64),
            c.PREDICTION: np.array([value for answer in answers for value in answer.scores], dtype=np.float64),
            c.RAW_SCORE: np.array([value for answer in answers for value in answer.raw_scores], dtype=np.float64),
            "path": np.repeat(np.array([answer.path for answer in answers], dtype=object), counts),
        }
    )

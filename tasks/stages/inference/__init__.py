"""The inference stage: batch scoring. The champion scores every user or row of a features snapshot, once."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING

import numpy as np

from tasks import columns as c
from tasks.contracts.data import DatasetRef
from tasks.contracts.predictions import BATCH, AnswerPath, Prediction
from tasks.contracts.promotion import LedgerEntry
from tasks.contracts.training import ScoringTerms
from tasks.errors import ModelError
from tasks.io.prediction_log import PredictionLog
from tasks.io.storage import Storage, frame_writer
from tasks.models import SERVED
from tasks.models.answers import find_list_fault, find_probability_fault
from tasks.models.base import FeatureTables, Recommendation, ServedModel, read_features
from tasks.models.champion import fetch_champion

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["score"]


def score(
    use_case: str,
    entry: LedgerEntry,
    features: DatasetRef,
    storage: Storage,
    log: PredictionLog,
    made_at: datetime,
    *,
    kinds: Mapping[str, type[ServedModel]] = SERVED,
) -> DatasetRef:
    """Let the champion answer for every user (or row) of a features snapshot, and publish the answers.

    The snapshot has one table `rows`: `user_id`, `item_id`, `rank` (from 1), `prediction`, `raw_score`, `path`; for tabular
    use cases `row_id`, `prediction`, `predicted_class`. Each subject is in the prediction log too, under an id that follows
    from use case, version, features and subject: doing it again changes nothing.

    Parameters
    ----------
    entry : the champion's entry of the ledger. The fetched model must have its digest.
    made_at : the moment that the log gives the answers; the run's, not the clock's.

    Raises
    ------
    ModelError : the model is not the one that the ledger names, or its answers are not fit to be published.
    """
    if (entry.use_case, features.use_case) != (use_case, use_case):
        raise ModelError(f"{use_case}: got an entry of '{entry.use_case}' and features of '{features.use_case}'")
    model, terms = fetch_champion(entry, kinds)
    subjects: list[tuple[str, tuple[str, ...], tuple[float, ...], AnswerPath]]
    if terms.task.answers_rows:
        frame = score_rows(model, terms, storage.read(features, c.ROWS))
        subjects = [
            (row_id, (), (value,), AnswerPath.MODEL) for row_id, value in zip(frame[c.ROW_ID], frame[c.PREDICTION], strict=True)
        ]
    else:
        answers = score_users(model, terms, read_features(storage, features))
        frame = as_frame(answers)
        subjects = [(a.user_id, a.items, a.scores, a.path) for a in answers]
    published = storage.publish(
        use_case=use_case,
        layer=c.PREDICTIONS,
        partition=f"v{entry.version}.{features.partition}",
        tables={c.ROWS: frame_writer(frame)},
        inputs=[features],
        facts={"version": entry.version, "manifest_digest": entry.manifest_digest, "k": terms.k},
    )
    log.write_batch(
        use_case,
        f"v{entry.version}.{features.version}",
        (
            Prediction(
                prediction_id=_prediction_id(entry, features, subject),
                made_at=made_at,
                use_case=use_case,
                channel=BATCH,
                subject=subject,
                model_version=entry.version,
                manifest_digest=entry.manifest_digest,
                features_version=features.version,
                features_as_of=date.fromisoformat(features.partition),
                path=path,
                items=items,
                scores=scores,
                latency_ms=0.0,
            )
            for subject, items, scores, path in subjects
        ),
    )
    return published


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


def score_users(model: ServedModel, terms: ScoringTerms, features: FeatureTables) -> list[Recommendation]:
    """The top k of every user, ordered by user, each answer checked."""
    users = sorted(features.users[c.USER_ID])
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


def _prediction_id(entry: LedgerEntry, features: DatasetRef, subject: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{entry.use_case}/{entry.version}/{features.version}/{subject}"))

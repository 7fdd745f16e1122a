"""The inference stage: batch scoring. The champion scores every active user, or every row, of a features snapshot, once."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import date, datetime

from tasks import columns as c
from tasks.contracts.data import DatasetRef
from tasks.contracts.predictions import BATCH, AnswerPath, Prediction
from tasks.contracts.promotion import LedgerEntry
from tasks.errors import ModelError, NothingToDo
from tasks.io.prediction_log import PredictionLog
from tasks.io.storage import Storage, frame_writer
from tasks.models import SERVED
from tasks.models.base import ServedModel, read_features
from tasks.models.champion import fetch_champion
from tasks.stages.inference.present_features import find_champion_fault
from tasks.stages.inference.scoring import as_frame, score_rows, score_users

__all__ = ["find_champion_fault", "score"]


def score(
    use_case: str,
    entry: LedgerEntry,
    features: DatasetRef,
    storage: Storage,
    log: PredictionLog,
    made_at: datetime,
    *,
    active_days: int | None,
    kinds: Mapping[str, type[ServedModel]] = SERVED,
) -> DatasetRef:
    """Let the champion answer for every active user (or every row) of a features snapshot, and publish the answers.

    The snapshot has one table `rows`: `user_id`, `item_id`, `rank` (from 1), `prediction`, `raw_score`, `path`; for tabular
    use cases `row_id`, `prediction`, `predicted_class`. Each subject is in the prediction log too, under an id that follows
    from use case, version, features and subject: doing it again changes nothing.

    Parameters
    ----------
    entry : the champion's entry of the ledger. The fetched model must have its digest.
    made_at : the moment that the log gives the answers; the run's, not the clock's.
    active_days : answer the users who came in the newest so many days; None: all who ever came.

    Raises
    ------
    NothingToDo : no user is active.
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
        tables = read_features(storage, features)
        users = tables.active_users(active_days)
        if not users:
            raise NothingToDo(
                f"{use_case}: no user came in the {active_days} days before {features.partition}: nobody to answer"
            )
        answers = score_users(model, terms, tables, users)
        frame = as_frame(answers)
        subjects = [(a.user_id, a.items, a.scores, a.path) for a in answers]
    published = storage.publish(
        use_case=use_case,
        layer=c.PREDICTIONS,
        partition=f"v{entry.version}.{features.partition}",
        tables={c.ROWS: frame_writer(frame)},
        inputs=[features],
        facts={
            "version": entry.version,
            "manifest_digest": entry.manifest_digest,
            "k": terms.k,
            "active_days": None if terms.task.answers_rows else active_days,
        },
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


def _prediction_id(entry: LedgerEntry, features: DatasetRef, subject: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{entry.use_case}/{entry.version}/{features.version}/{subject}"))

"""From a bundle and a checked request to answers and their log lines. No clock and no HTTP in here but the refusals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import TypeVar

import numpy as np

from serving.problems import Refusal, cut
from serving.schemas import Pair, PairPrediction, RecommendedItem, RowPrediction, UserRecommendations
from serving.store import Served
from tasks import columns as c
from tasks.contracts import Prediction
from tasks.models.popularity import POPULAR

Subject = TypeVar("Subject", UserRecommendations, RowPrediction, PairPrediction)


@dataclass(frozen=True)
class Asked:
    """When a request came, and the ids that its answers get, one a subject."""

    at: datetime
    ids: Sequence[str]


def recommend(served: Served, users: Sequence[str], k: int, asked: Asked) -> list[UserRecommendations]:
    """The top `k` items of each user."""
    answers = served.model.recommend(list(users), served.features, k, served.terms.exclude_seen)
    return [
        UserRecommendations(
            prediction_id=asked.ids[place],
            user_id=answer.user_id,
            path=answer.path,
            items=[
                RecommendedItem(item_id=item, rank=rank, score=score)
                for rank, (item, score) in enumerate(zip(answer.items, answer.scores, strict=True), start=1)
            ],
        )
        for place, answer in enumerate(answers)
    ]


def predict_rows(
    served: Served, rows: Sequence[dict[str, float]], row_ids: Sequence[str] | None, asked: Asked
) -> list[RowPrediction]:
    """The probability of class 1 of each row.

    Raises
    ------
    Refusal : 422, where a row lacks a column, has one too many, or is too large to be computed with.
    """
    import pandas as pd

    wanted = served.terms.row_columns
    known = set(wanted)
    faults = []
    for place, row in enumerate(rows):
        missing, extra = [name for name in wanted if name not in row], [name for name in row if name not in known]
        if missing:
            faults.append((f"rows.{place}", f"missing columns: {', '.join(missing)}"))
        if extra:
            faults.append((f"rows.{place}", f"unknown columns: {', '.join(cut(name) for name in extra)}"))
    if faults:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "rows do not have the columns of this model", faults)
    frame = pd.DataFrame.from_records(list(rows), columns=list(wanted)).astype("float64")
    with np.errstate(all="ignore"):  # what overflows is refused below
        probabilities = served.model.predict_rows(frame)
    _refuse_infinite("rows", probabilities)
    names = row_ids or [str(place) for place in range(len(rows))]
    return [
        RowPrediction(prediction_id=asked.ids[place], row_id=name, path="model", probability=float(probability))
        for place, (name, probability) in enumerate(zip(names, probabilities, strict=True))
    ]


def predict_pairs(served: Served, pairs: Sequence[Pair], asked: Asked) -> list[PairPrediction]:
    """The rating that each user would give the item."""
    import pandas as pd

    frame = pd.DataFrame({c.USER_ID: [pair.user_id for pair in pairs], c.ITEM_ID: [pair.item_id for pair in pairs]})
    ratings = served.model.predict_ratings(frame, served.features)
    _refuse_infinite("pairs", ratings)
    return [
        PairPrediction(
            prediction_id=asked.ids[place], user_id=pair.user_id, item_id=pair.item_id, path="model", rating=float(rating)
        )
        for place, (pair, rating) in enumerate(zip(pairs, ratings, strict=True))
    ]


def logged(served: Served, answers: Sequence[Subject], at: datetime, latency_ms: float) -> list[Prediction]:
    """The lines of the prediction log for answers: what was said, to whom, by what."""
    lines = []
    for answer in answers:
        subject, items, scores = _content(answer)
        lines.append(
            Prediction(
                prediction_id=answer.prediction_id,
                made_at=at,
                use_case=served.entry.use_case,
                channel="online",
                subject=subject,
                model_version=served.entry.version,
                manifest_digest=served.entry.manifest_digest,
                features_version=served.features_version,
                features_as_of=served.features_as_of,
                path=answer.path,
                items=items,
                scores=scores,
                latency_ms=latency_ms,
            )
        )
    return lines


def _content(answer: UserRecommendations | RowPrediction | PairPrediction) -> tuple[str, tuple[str, ...], tuple[float, ...]]:
    """Subject, items and scores as the log has them; a row has a score and no item."""
    match answer:
        case UserRecommendations():
            return answer.user_id, tuple(i.item_id for i in answer.items), tuple(i.score for i in answer.items)
        case RowPrediction():
            return answer.row_id, (), (answer.probability,)
        case PairPrediction():
            return answer.user_id, (answer.item_id,), (answer.rating,)


def paths(answers: Sequence[Subject]) -> Counter[str]:
    """How many answers each path made."""
    return Counter(answer.path for answer in answers)


def best_scores(answers: Sequence[Subject]) -> list[float]:
    """The first score of each subject that the model knows: what strangers get would tell of the visitors, not of the model."""
    contents = [_content(answer)[2] for answer in answers if answer.path != POPULAR]
    return [scores[0] for scores in contents if scores]


def _refuse_infinite(what: str, values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        faults = [(f"{what}.{place}", "the model has no finite answer: its values are too large") for place in bad]
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"some {what} cannot be computed with", faults)

"""Makes answers and their log rows from a bundle and a validated request. Reads no clock."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
import numpy as np

from serving.deployment.bundle import Bundle
from serving.http import messages
from serving.http.problems import Refusal, shorten
from serving.ranking.ranking import Ranked, RecentEvent
from serving.telemetry.prediction_writer import LogRow
from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.contracts.predictions import ITEM_SUBJECT, AnswerPath

MIN_EXPLORED_ITEMS = 5  # shorter lists are not explored: each of their places is too valuable


@dataclass(frozen=True)
class Answers:
    """The answers of one request and their log rows."""

    answers: list[Any]
    rows: list[LogRow]

    @property
    def paths(self) -> Mapping[AnswerPath, int]:
        """The number of answers of each path."""
        return {self.rows[0].path: 1} if len(self.rows) == 1 else Counter(row.path for row in self.rows)

    @property
    def best_scores(self) -> list[float]:
        """The best score of each subject that the model knows; those of others say nothing about the model."""
        return [max(row.scores) for row in self.rows if row.scores and not row.path.is_cold]


def recommend(
    bundle: Bundle,
    users: Sequence[str],
    k: int,
    *,
    segment: str | None,
    recent_of: Callable[[str], Sequence[RecentEvent]],
    explore_share: float,
    shuffle_share: float,
    ids: Sequence[str],
) -> Answers:
    """The top `k` items of each user.

    Parameters
    ----------
    segment : of users whom the features do not know.
    recent_of : the recent events of a user.
    explore_share, shuffle_share : see `explore` and `shuffle`.
    ids : one prediction id per user.
    """
    answers, rows = [], []
    for prediction_id, user_id in zip(ids, users, strict=True):
        recent = recent_of(user_id)
        ranked = bundle.ranks.rank(user_id, k, recent, segment)
        new_items = bundle.ranks.items_to_explore(user_id, recent) if explore_share else []
        ranked, explored, probability = explore(new_items, ranked, explore_share, prediction_id)
        ranked, place = shuffle(ranked, 0.0 if explored else shuffle_share, prediction_id)
        answers.append(
            messages.UserRecommendations(
                prediction_id=prediction_id, user_id=user_id, path=ranked.path, items=_items(ranked), explored=explored
            )
        )
        rows.append(LogRow(prediction_id, user_id, ranked.path, ranked.items, ranked.scores, explored, probability, place))
    return Answers(answers, rows)


def explore(new: Sequence[str], ranked: Ranked, share: float, prediction_id: str) -> tuple[Ranked, list[str], float]:
    """In a `share` of the answers, replace the last item by a random item of `new`.

    The prediction id is random and serves as the random number, so that the draw can be repeated.

    Returns
    -------
    ranked : the answer to give.
    explored : the new item, or nothing.
    probability : of this item in this answer, share / number of new items. It is logged, to weigh the outcome by it.
    """
    if not share or not new or len(ranked.items) < MIN_EXPLORED_ITEMS:
        return ranked, [], 0.0
    drawn = int(prediction_id[:8], 16) / 2**32
    if drawn >= share:
        return ranked, [], 0.0
    item = new[min(int(drawn / share * len(new)), len(new) - 1)]
    if item in ranked.items:
        return ranked, [], 0.0
    # The new item has no score of its own. It takes the replaced item's, which keeps the list in order.
    return ranked._replace(items=[*ranked.items[:-1], item]), [item], share / len(new)


def shuffle(ranked: Ranked, share: float, prediction_id: str) -> tuple[Ranked, int]:
    """In a `share` of the answers, put two neighbouring items in random order: which two is random, too.

    The log then shows how much less often a place is viewed than the one above it, because what is worth more is above as
    often as below (FairPairs, Radlinski and Joachims 2006). Random bits of the prediction id decide, others than those of
    `explore`, so that the draw can be repeated.

    Returns
    -------
    ranked : the answer to give. Each item keeps its score, so that in half of these answers one score is out of order.
    place : the upper one of the two places, from 1; 0 if the answer is as it was.
    """
    pairs = len(ranked.items) - 1
    if not share or pairs < 1:
        return ranked, 0
    drawn = int(prediction_id[-8:], 16) / 2**32
    if drawn >= share:
        return ranked, 0
    place = 1 + min(int(drawn / share * pairs), pairs - 1)
    if int(prediction_id[-9], 16) % 2:
        return ranked, place
    order = list(range(len(ranked.items)))
    order[place - 1], order[place] = order[place], order[place - 1]
    items, scores = [ranked.items[n] for n in order], [ranked.scores[n] for n in order]
    return ranked._replace(items=items, scores=scores), place


def recommend_to_session(bundle: Bundle, items: Sequence[str], k: int, segment: str | None, ids: Sequence[str]) -> Answers:
    """The top `k` items for a session without a user id."""
    ranked = bundle.ranks.rank_for_session(items, k, segment)
    answer = messages.UserRecommendations(prediction_id=ids[0], user_id="", path=ranked.path, items=_items(ranked))
    return Answers([answer], [LogRow(ids[0], "", ranked.path, ranked.items, ranked.scores)])


def find_similar(bundle: Bundle, item_id: str, k: int, ids: Sequence[str]) -> Answers:
    """The `k` items most similar to one.

    Raises
    ------
    Refusal : 404 if the features do not know the item.
    """
    ranked = bundle.ranks.similar_items(item_id, k)
    if ranked is None:
        raise Refusal(HTTPStatus.NOT_FOUND, f"{bundle.use_case} has no item {shorten(item_id)!a}")
    answer = {"prediction_id": ids[0], "path": ranked.path, "items": _items(ranked)}
    return Answers([answer], [LogRow(ids[0], f"{ITEM_SUBJECT}{item_id}", ranked.path, ranked.items, ranked.scores)])


def _items(ranked: Ranked) -> list[messages.RecommendedItem]:
    return [
        messages.RecommendedItem(item, rank, score)
        for rank, (item, score) in enumerate(zip(ranked.items, ranked.scores, strict=True), start=1)
    ]


def predict_rows(
    bundle: Bundle, rows: Sequence[tuple[float | str | None, ...]], row_ids: Sequence[str] | None, ids: Sequence[str]
) -> Answers:
    """The probability of class 1 of each row, whose values are in the order of the model's columns.

    Raises
    ------
    Refusal : 422 if the values of a row are too large for the model.
    """
    with np.errstate(all="ignore"):  # an overflow is refused below
        values = np.array(rows, dtype=object if bundle.terms.text_columns else np.float64)
        probabilities = bundle.model.predict_values(values, bundle.terms.row_columns)
    finite = _require_finite("rows", probabilities)
    names = row_ids or [str(place) for place in range(len(rows))]
    threshold = bundle.model.class_threshold
    answers = [
        messages.RowPrediction(
            prediction_id=prediction_id,
            row_id=name,
            path=AnswerPath.MODEL,
            probability=value,
            predicted_class=int(value >= threshold),
        )
        for prediction_id, name, value in zip(ids, names, finite, strict=True)
    ]
    return Answers(
        answers,
        [
            LogRow(prediction_id, name, AnswerPath.MODEL, (), (value,))
            for prediction_id, name, value in zip(ids, names, finite, strict=True)
        ],
    )


def refuse_rows(bundle: Bundle, body: bytes, error: messages.InvalidRequest) -> None:
    """Name all wrong columns or values of rows that the model's decoder refused. Return if the fault is another one.

    Raises
    ------
    Refusal : 422 with one fault for each wrong row or value.
    """
    if not error.where:
        _refuse_non_finite(body)
        return
    try:
        loose = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        rows = msgspec.json.decode(loose["rows"], type=list[dict[str, msgspec.Raw]])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        if error.where == "body" and b'"pairs"' in body:
            raise Refusal(
                HTTPStatus.UNPROCESSABLE_ENTITY, f"{bundle.use_case} classifies rows: send 'rows', not 'pairs'"
            ) from None
        return
    columns = bundle.terms.row_columns
    known, faults = set(columns), []
    for place, row in enumerate(rows):
        missing, extra = [name for name in columns if name not in row], [name for name in row if name not in known]
        if missing:
            faults.append((f"body.rows.{place}", f"missing columns: {', '.join(missing)}"))
        if extra:
            faults.append((f"body.rows.{place}", f"unknown columns: {', '.join(shorten(name) for name in extra[:20])}"))
    if faults:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "rows do not have the columns of this model", faults=faults)


def _refuse_non_finite(body: bytes) -> None:
    """Name the NaN and infinite values, which are not JSON but which many programs write."""
    try:
        rows = json.loads(body)["rows"]
        faults = [
            (f"body.rows.{place}.{name}", "must be a finite number; NaN and infinities are not JSON")
            for place, row in enumerate(rows)
            for name, value in row.items()
            if isinstance(value, float) and not math.isfinite(value)
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return
    if faults:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "rows contain values that are not finite", faults=faults)


def predict_pairs(bundle: Bundle, pairs: Sequence[messages.Pair], ids: Sequence[str]) -> Answers:
    """The rating that each user would give the item."""
    import pandas as pd

    frame = pd.DataFrame({c.USER_ID: [pair.user_id for pair in pairs], c.ITEM_ID: [pair.item_id for pair in pairs]})
    ratings = _require_finite("pairs", bundle.model.predict_ratings(frame, bundle.features))
    answers = [
        messages.PairPrediction(
            prediction_id=prediction_id, user_id=pair.user_id, item_id=pair.item_id, path=AnswerPath.MODEL, rating=rating
        )
        for prediction_id, pair, rating in zip(ids, pairs, ratings, strict=True)
    ]
    rows = [LogRow(one.prediction_id, one.user_id, AnswerPath.MODEL, (one.item_id,), (one.rating,)) for one in answers]
    return Answers(answers, rows)


def _require_finite(what: str, values: Floats) -> list[float]:
    found: list[float] = values.tolist()
    if all(map(math.isfinite, found)):
        return found
    bad = np.flatnonzero(~np.isfinite(values))
    faults = [(f"body.{what}.{place}", "the values are too large for a finite prediction") for place in bad]
    raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"some {what} have no finite prediction", faults=faults)

"""From a bundle and a checked request to answers and their log rows. No clock and no HTTP in here but the refusals."""

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

from serving.deployment.store import Served
from serving.http import messages
from serving.http.problems import Refusal, cut
from serving.ranking.ranking import Ranked, Recent
from serving.telemetry.prediction_writer import Row
from tasks import columns as c
from tasks.contracts.predictions import AnswerPath

LEAST_PLACES = 5  # shorter lists are not explored in: their only places are too dear


@dataclass(frozen=True)
class Answered:
    """What is given, what is logged, and how many answers each path made."""

    given: list[Any]
    rows: list[Row]

    @property
    def paths(self) -> Mapping[AnswerPath, int]:
        return {self.rows[0].path: 1} if len(self.rows) == 1 else Counter(row.path for row in self.rows)

    @property
    def best_scores(self) -> list[float]:
        """The first score of each subject that the model knows: what strangers get would tell of the visitors, not of it."""
        return [row.scores[0] for row in self.rows if row.scores and not row.path.is_cold]


def recommend(
    served: Served,
    users: Sequence[str],
    k: int,
    segment: str | None,
    recent_of: Callable[[str], Sequence[Recent]],
    explore_share: float,
    ids: Sequence[str],
) -> Answered:
    """The top `k` items of each user."""
    given, rows = [], []
    for prediction_id, user_id in zip(ids, users, strict=True):
        ranked = served.ranks.rank(user_id, k, recent_of(user_id), segment)
        ranked, tried, chance = explore(served, ranked, explore_share, prediction_id)
        given.append(
            messages.UserRecommendations(
                prediction_id=prediction_id, user_id=user_id, path=ranked.path, items=_items(ranked), explored=tried
            )
        )
        rows.append(Row(prediction_id, user_id, ranked.path, ranked.items, ranked.scores, tried, chance))
    return Answered(given, rows)


def explore(served: Served, ranked: Ranked, share: float, prediction_id: str) -> tuple[Ranked, list[str], float]:
    """In a `share` of the answers, put one new item into the last place.

    Drawn by the prediction's id, which is random, so that the draw can be repeated. The item and its probability (share /
    new items) are logged: what was tried can be weighed by it.
    """
    new = served.ranks.new_items
    if not share or not new or len(ranked.items) < LEAST_PLACES:
        return ranked, [], 0.0
    drawn = int(prediction_id[:8], 16) / 2**32
    if drawn >= share:
        return ranked, [], 0.0
    tried = new[min(int(drawn / share * len(new)), len(new) - 1)]
    if tried in ranked.items:
        return ranked, [], 0.0
    # It takes over the score of its place: it has none of its own, and the list stays in order.
    return ranked._replace(items=[*ranked.items[:-1], tried]), [tried], share / len(new)


def recommend_to_session(served: Served, items: Sequence[str], k: int, segment: str | None, ids: Sequence[str]) -> Answered:
    """The top `k` items for somebody without an id."""
    ranked = served.ranks.session(items, k, segment)
    given = messages.UserRecommendations(prediction_id=ids[0], user_id="", path=ranked.path, items=_items(ranked))
    return Answered([given], [Row(ids[0], "", ranked.path, ranked.items, ranked.scores)])


def find_similar(served: Served, item_id: str, k: int, ids: Sequence[str]) -> Answered:
    """The items most alike one.

    Raises
    ------
    Refusal : 404, where the features do not know the item.
    """
    ranked = served.ranks.similar(item_id, k)
    if ranked is None:
        raise Refusal(HTTPStatus.NOT_FOUND, f"{served.entry.use_case} knows no item {cut(item_id)!a}")
    given = {"prediction_id": ids[0], "path": ranked.path, "items": _items(ranked)}
    return Answered([given], [Row(ids[0], f"item:{item_id}", ranked.path, ranked.items, ranked.scores)])


def _items(ranked: Ranked) -> list[messages.RecommendedItem]:
    return [
        messages.RecommendedItem(item, place, score)
        for place, (item, score) in enumerate(zip(ranked.items, ranked.scores, strict=True), start=1)
    ]


def predict_rows(
    served: Served, rows: Sequence[tuple[float | str | None, ...]], row_ids: Sequence[str] | None, ids: Sequence[str]
) -> Answered:
    """The probability of class 1 of each row, whose values are in the order of the model's columns.

    Raises
    ------
    Refusal : 422, where a row is too large to be computed with.
    """
    with np.errstate(all="ignore"):  # what overflows is refused below
        values = np.array(rows, dtype=object if served.terms.text_columns else np.float64)
        probabilities = served.model.predict_values(values, served.terms.row_columns)
    told = _finite("rows", probabilities)
    names = row_ids or [str(place) for place in range(len(rows))]
    given = [
        messages.RowPrediction(prediction_id=prediction_id, row_id=name, path=AnswerPath.MODEL, probability=value)
        for prediction_id, name, value in zip(ids, names, told, strict=True)
    ]
    return Answered(
        given,
        [
            Row(prediction_id, name, AnswerPath.MODEL, (), (value,))
            for prediction_id, name, value in zip(ids, names, told, strict=True)
        ],
    )


def refuse_rows(served: Served, body: bytes, error: messages.WrongForm) -> None:
    """Say all that is wrong with rows that the model's own decoder refused; nothing, where the fault lies elsewhere."""
    if not error.where:
        _refuse_constants(body)
        return
    try:
        loose = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        rows = msgspec.json.decode(loose["rows"], type=list[dict[str, msgspec.Raw]])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        if error.where == "body" and b'"pairs"' in body:
            raise Refusal(
                HTTPStatus.UNPROCESSABLE_ENTITY, f"{served.entry.use_case} classifies rows: send 'rows', not 'pairs'"
            ) from None
        return
    wanted = served.terms.row_columns
    known, faults = set(wanted), []
    for place, row in enumerate(rows):
        missing, extra = [name for name in wanted if name not in row], [name for name in row if name not in known]
        if missing:
            faults.append((f"body.rows.{place}", f"missing columns: {', '.join(missing)}"))
        if extra:
            faults.append((f"body.rows.{place}", f"unknown columns: {', '.join(cut(name) for name in extra[:20])}"))
    if faults:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "rows do not have the columns of this model", faults)


def _refuse_constants(body: bytes) -> None:
    """Name the values that are no JSON at all, but which many programs write: NaN and the infinities."""
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
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "rows hold values that cannot be computed with", faults)


def predict_pairs(served: Served, pairs: Sequence[messages.Pair], ids: Sequence[str]) -> Answered:
    """The rating that each user would give the item."""
    import pandas as pd

    frame = pd.DataFrame({c.USER_ID: [pair.user_id for pair in pairs], c.ITEM_ID: [pair.item_id for pair in pairs]})
    ratings = _finite("pairs", served.model.predict_ratings(frame, served.features))
    given = [
        messages.PairPrediction(
            prediction_id=prediction_id, user_id=pair.user_id, item_id=pair.item_id, path=AnswerPath.MODEL, rating=rating
        )
        for prediction_id, pair, rating in zip(ids, pairs, ratings, strict=True)
    ]
    rows = [Row(one.prediction_id, one.user_id, AnswerPath.MODEL, (one.item_id,), (one.rating,)) for one in given]
    return Answered(given, rows)


def _finite(what: str, values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> list[float]:
    found: list[float] = values.tolist()
    if all(map(math.isfinite, found)):
        return found
    bad = np.flatnonzero(~np.isfinite(values))
    faults = [(f"body.{what}.{place}", "the model has no finite answer: its values are too large") for place in bad]
    raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"some {what} cannot be computed with", faults)

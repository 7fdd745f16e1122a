"""Requests and responses of the frequent routes. msgspec validates and encodes these types, and OpenAPI describes them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from serving.deployment.row_decoder import MAX_SUBJECTS, Cell, Id
from tasks.contracts.predictions import AnswerPath

MAX_ITEMS = 1000
MAX_ANSWERS = 100_000  # users times k: bounds the size of a response and of its log rows
MAX_SESSION_ITEMS = 50
MAX_EVENTS = 1000

K = Annotated[int, Meta(ge=1, le=MAX_ITEMS, description="number of items; default: the k of the use case")]
Segment = Annotated[str, Meta(min_length=1, max_length=100, description="segment of an unknown user, such as a country")]
Name = Annotated[
    str, Meta(min_length=1, max_length=200, pattern="^[^\\x00]+$", description="without NUL, which databases refuse")
]
EventKind = Annotated[
    str, Meta(max_length=100, description="view, cart, purchase or rating, or a word that source.cells turns into one")
]


class RequestModel(msgspec.Struct, forbid_unknown_fields=True):
    """Base of all request bodies. Refuses unknown fields, which are mistakes of the client."""


class ResponseModel(msgspec.Struct):
    """Base of all responses."""


# recommendations


class RecommendationsRequest(RequestModel):
    """Users who get recommendations in one response."""

    users: Annotated[list[Id], Meta(min_length=1, max_length=MAX_SUBJECTS)]
    k: K | None = None
    segment: Segment | None = None


class SessionRequest(RequestModel):
    """A session without a user id: the items that were viewed or bought recently, the last one last."""

    items: Annotated[list[Id], Meta(min_length=1, max_length=MAX_SESSION_ITEMS)]
    k: K | None = None
    segment: Segment | None = None


class RecommendedItem(ResponseModel):
    """One item of a ranking."""

    item_id: str
    rank: int
    score: Annotated[float, Meta(description="a probability or rating on the paths model, published, fold_in")]


class UserRecommendations(ResponseModel, kw_only=True):
    """The items for one user of several."""

    prediction_id: Annotated[str, Meta(description="identifies it in the prediction log and in outcomes")]
    user_id: str
    path: Annotated[AnswerPath, Meta(description="model, published, fold_in, similar, popular_in_segment, or popular")]
    items: list[RecommendedItem]
    explored: Annotated[list[str], Meta(description="new items that were inserted to explore them")] = []


class Provenance(ResponseModel, kw_only=True):
    """The model and the features that made an answer. Part of every response."""

    use_case: str
    model_version: int
    manifest_digest: str
    features_version: Annotated[str, Meta(description="'request' if the features came with the request")]


class OneUser(Provenance, kw_only=True):
    """The items for one user."""

    prediction_id: str
    user_id: str
    path: AnswerPath
    items: list[RecommendedItem]
    explored: list[str] = []


class ManyUsers(Provenance, kw_only=True):
    """The items for each user, in the order of the request."""

    recommendations: list[UserRecommendations]


class SimilarItems(Provenance, kw_only=True):
    """The items most similar to one, best first. The score is the cosine of the sets of their customers."""

    prediction_id: str
    item_id: str
    path: AnswerPath
    items: list[RecommendedItem]


# predictions


class Pair(RequestModel):
    """A user and an item to predict a rating for."""

    user_id: Id
    item_id: Id


class PredictionsRequest(RequestModel):
    """Either `rows` (classification) or `pairs` (rating). null is a missing cell."""

    rows: Annotated[list[dict[str, float | Cell | None]], Meta(min_length=1, max_length=MAX_SUBJECTS)] | None = None
    row_ids: (
        Annotated[
            list[Id],
            Meta(max_length=MAX_SUBJECTS, description="ids of the rows, by which labels are joined; default: 0, 1, ..."),
        ]
        | None
    ) = None
    pairs: Annotated[list[Pair], Meta(min_length=1, max_length=MAX_SUBJECTS)] | None = None


class RowPrediction(ResponseModel, kw_only=True):
    """The prediction for one row."""

    prediction_id: str
    row_id: str
    path: AnswerPath
    probability: Annotated[float, Meta(description="of class 1")]
    predicted_class: Annotated[int, Meta(description="0 or 1, by the model's threshold of classes")]


class PairPrediction(ResponseModel, kw_only=True):
    """The prediction for one pair."""

    prediction_id: str
    user_id: str
    item_id: str
    path: AnswerPath
    rating: float


class RowPredictions(Provenance, kw_only=True):
    """One prediction for each row, in the order of the request."""

    predictions: list[RowPrediction]


class PairPredictions(Provenance, kw_only=True):
    """One prediction for each pair, in the order of the request."""

    predictions: list[PairPrediction]


class InvalidRequest(ValueError):
    """A request that does not have the form that its route expects. `where` is empty if the body is not JSON."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(what)
        self.where, self.what = where, what


def decode(decoder: msgspec.json.Decoder[Any], raw: bytes) -> Any:
    """A request body as the decoder's type.

    Raises
    ------
    InvalidRequest : with the place of the fault. The message does not contain the input, which may be a megabyte.
    """
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        raise InvalidRequest("body" + where.rstrip("`").replace("[", ".").replace("]", ""), what) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidRequest("", "the body is not JSON in UTF-8 (NaN, Infinity and lone surrogates are not JSON)") from None


# events and outcomes


class Event(RequestModel, kw_only=True):
    """An action of a user. Sending the same `event_id` again changes nothing."""

    event_id: Name
    user_id: Name
    item_id: Name
    event_type: EventKind
    event_at: Annotated[datetime, Meta(tz=True, description="with its offset from UTC")]
    value: Annotated[float | Cell | None, Meta(description="the rating, or the amount paid")] = None
    quantity: Annotated[float | Cell, Meta(description="above 0, at most 1e9")] = 1.0
    prediction_id: Annotated[
        Name | None, Meta(description="of the answer that led to it: the purchase or rating is its outcome, too")
    ] = None


class EventsRequest(RequestModel):
    """One or more events."""

    events: Annotated[list[Event], Meta(min_length=1, max_length=MAX_EVENTS)]


class EventsAccepted(ResponseModel):
    """The events are stored."""

    accepted: int
    duplicates: Annotated[int, Meta(description="events whose ids were stored before; they change nothing")]
    ingested_at: datetime


class Outcome(RequestModel, kw_only=True):
    """The outcome of one prediction. The first outcome counts; later ones change nothing."""

    prediction_id: Name
    label: Annotated[
        float | Cell, Meta(description="1 for bought or class 1, else 0, or the word that files have; or the rating given")
    ]
    item_id: Annotated[Name | None, Meta(description="which of the recommended items")] = None
    happened_at: Annotated[datetime, Meta(tz=True)]


class OutcomesRequest(RequestModel):
    """One or more outcomes."""

    outcomes: Annotated[list[Outcome], Meta(min_length=1, max_length=MAX_EVENTS)]


class OutcomesAccepted(ResponseModel):
    """The outcomes are stored."""

    accepted: int
    duplicates: int

"""What the hot addresses take and give. msgspec checks and writes them in C; the OpenAPI document is made from these types."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tasks.contracts.predictions import AnswerPath

MOST_SUBJECTS = 1000
MOST_ITEMS = 1000
MOST_ANSWERS = 100_000  # users times k: bounds the size of one answer and of its log lines
MOST_RECENT = 50
MOST_EVENTS = 1000

Id = Annotated[str, Meta(min_length=1, max_length=200)]
K = Annotated[int, Meta(ge=1, le=MOST_ITEMS, description="how many items; default: the k of the use case")]
Segment = Annotated[str, Meta(min_length=1, max_length=100, description="where somebody unknown belongs, such as a country")]
Name = Annotated[
    str, Meta(min_length=1, max_length=200, pattern="^[^\\x00]+$", description="without NUL: no database keeps it")
]
Cell = Annotated[str, Meta(max_length=10_000, description="of a column that holds text")]
EventKind = Literal["view", "purchase", "rating"]


class RequestModel(msgspec.Struct, forbid_unknown_fields=True):
    """Base of all bodies: an unknown field is a misunderstanding, so it is refused."""


class Given(msgspec.Struct):
    """Base of all answers."""


# recommendations


class RecommendationsRequest(RequestModel):
    """Users to recommend to, in one answer."""

    users: Annotated[list[Id], Meta(min_length=1, max_length=MOST_SUBJECTS)]
    k: K | None = None
    segment: Segment | None = None


class SessionRequest(RequestModel):
    """Somebody who has no id: what they looked at or bought lately, the last one last."""

    items: Annotated[list[Id], Meta(min_length=1, max_length=MOST_RECENT)]
    k: K | None = None
    segment: Segment | None = None


class RecommendedItem(Given):
    item_id: str
    rank: int
    score: Annotated[float, Meta(description="a probability or rating on the paths of the model, where it has one")]


class UserRecommendations(Given, kw_only=True):
    prediction_id: Annotated[str, Meta(description="finds it in the prediction log, and takes its outcome")]
    user_id: str
    path: Annotated[AnswerPath, Meta(description="model, published, fold_in, similar, popular_in_segment, or popular")]
    items: list[RecommendedItem]
    explored: Annotated[list[str], Meta(description="new items that were put in to be tried")] = []


class Provenance(Given, kw_only=True):
    """Who answered. Every answer carries it, and is made by exactly this model with exactly these features."""

    use_case: str
    model_version: int
    manifest_digest: str
    features_version: Annotated[str, Meta(description="'request' where the features came with the request")]


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
    """What the customers of one item met too, most alike first. The score is the cosine of their customers."""

    prediction_id: str
    item_id: str
    path: AnswerPath
    items: list[RecommendedItem]


# predictions


class Pair(RequestModel):
    user_id: Id
    item_id: Id


class PredictionsRequest(RequestModel):
    """`rows` for a classification, `pairs` for a rating. One of them. null is a cell that is missing."""

    rows: Annotated[list[dict[str, float | Cell | None]], Meta(min_length=1, max_length=MOST_SUBJECTS)] | None = None
    row_ids: (
        Annotated[
            list[Id],
            Meta(max_length=MOST_SUBJECTS, description="names of the rows, by which labels are joined; default: 0, 1, ..."),
        ]
        | None
    ) = None
    pairs: Annotated[list[Pair], Meta(min_length=1, max_length=MOST_SUBJECTS)] | None = None


class RowPrediction(Given, kw_only=True):
    prediction_id: str
    row_id: str
    path: AnswerPath
    probability: Annotated[float, Meta(description="of class 1")]


class PairPrediction(Given, kw_only=True):
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


class WrongForm(ValueError):
    """A body that is not of the form that its address takes. `where` is empty where the JSON itself is broken."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(what)
        self.where, self.what = where, what


def decode(decoder: msgspec.json.Decoder[Any], raw: bytes) -> Any:
    """The body as its type.

    Raises
    ------
    WrongForm : with the place of the fault. What came is not repeated: a body may have a megabyte.
    """
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        raise WrongForm("body" + where.rstrip("`").replace("[", ".").replace("]", ""), what) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise WrongForm("", "the body is not JSON in UTF-8 (NaN, Infinity and lone surrogates are not JSON)") from None


def row_decoder(names: tuple[str, ...], texts: tuple[str, ...] = ()) -> msgspec.json.Decoder[Any]:
    """A decoder of `PredictionsRequest` for a model of these columns: each row comes out as a tuple in their order.

    Numbers, or text where `texts` says so; null is a cell that is missing.
    """
    fields = {f"c{place}": name for place, name in enumerate(names)}
    typed = [(field, Cell | None if name in texts else float | None) for field, name in fields.items()]
    row = msgspec.defstruct("Row", typed, rename=fields, frozen=True, forbid_unknown_fields=True, gc=False)
    rows = Annotated[list[row], Meta(min_length=1, max_length=MOST_SUBJECTS)]  # type: ignore[valid-type]
    names_of_rows = Annotated[list[Id], Meta(max_length=MOST_SUBJECTS)] | None
    body = msgspec.defstruct(
        "Rows", [("rows", rows), ("row_ids", names_of_rows, None)], frozen=True, forbid_unknown_fields=True
    )
    return msgspec.json.Decoder(body)


# events and outcomes


class Event(RequestModel, kw_only=True):
    """Something that somebody did. The same `event_id` again changes nothing."""

    event_id: Name
    user_id: Name
    item_id: Name
    event_type: EventKind
    event_at: Annotated[datetime, Meta(tz=True, description="when it happened, with its offset from UTC")]
    value: Annotated[float | None, Meta(description="the rating, or the money paid")] = None
    quantity: Annotated[float, Meta(gt=0, le=1e9)] = 1.0


class EventsRequest(RequestModel):
    """One event or many."""

    events: Annotated[list[Event], Meta(min_length=1, max_length=MOST_EVENTS)]


class EventsTaken(Given):
    """What became of them. All are kept when this is answered."""

    accepted: int
    duplicates: Annotated[int, Meta(description="their ids were known already: nothing changed")]
    ingested_at: datetime


class Outcome(RequestModel, kw_only=True):
    """What became of one prediction, by its id. The first word counts; the same again changes nothing."""

    prediction_id: Name
    label: Annotated[float, Meta(ge=-1e12, le=1e12, description="1 bought or of class 1, 0 not; or the rating given")]
    item_id: Annotated[Name | None, Meta(description="which of the recommended items, where there were many")] = None
    happened_at: Annotated[datetime, Meta(tz=True)]


class OutcomesRequest(RequestModel):
    """One outcome or many."""

    outcomes: Annotated[list[Outcome], Meta(min_length=1, max_length=MOST_EVENTS)]


class OutcomesTaken(Given):
    accepted: int
    duplicates: int

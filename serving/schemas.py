"""What the endpoint takes and gives, with examples for the OpenAPI page."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from tasks.contracts import TaskKind

MOST_SUBJECTS = 1000
MOST_ITEMS = 1000
MOST_ANSWERS = 100_000  # users times k: bounds the size of one answer and of its log lines


def _is_text(value: str) -> str:
    """JSON can spell half a surrogate pair, which no encoding can write down again."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError("is not valid Unicode text (a lone surrogate)") from error
    return value


Id = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_is_text)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
K = Annotated[int, Field(ge=1, le=MOST_ITEMS, description="how many items; default: the k of the use case")]


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RecommendationsRequest(Request):
    """Users to recommend to, in one answer."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"users": ["17850", "13047"], "k": 10}]})

    users: list[Id] = Field(min_length=1, max_length=MOST_SUBJECTS)
    k: K | None = None


class Pair(Request):
    user_id: Id
    item_id: Id


class PredictionsRequest(Request):
    """`rows` for a classification, `pairs` for a rating. One of them."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"pairs": [{"user_id": "196", "item_id": "242"}]},
                {"rows": [{"mean radius": 14.1, "mean texture": 19.3}], "row_ids": ["patient-7"]},
            ]
        }
    )

    rows: list[dict[str, Number]] | None = Field(None, min_length=1, max_length=MOST_SUBJECTS)
    row_ids: list[Id] | None = Field(
        None, description="names of the rows, by which labels are joined later; default: 0, 1, ..."
    )
    pairs: list[Pair] | None = Field(None, min_length=1, max_length=MOST_SUBJECTS)

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if (self.rows is None) == (self.pairs is None):
            raise ValueError("send either 'rows' (classification) or 'pairs' (rating)")
        if self.row_ids is not None and len(self.row_ids) != len(self.rows or []):
            raise ValueError(f"'row_ids' must be as many as 'rows'; got {len(self.row_ids)} and {len(self.rows or [])}")
        return self


class Answer(BaseModel):
    model_config = ConfigDict(protected_namespaces=(), frozen=True)


class Provenance(Answer):
    """Who answered. Every answer carries it, and is made by exactly this model with exactly these features."""

    use_case: str = Field(examples=["purchase_propensity"])
    model_version: int = Field(examples=[3])
    manifest_digest: str = Field(examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"])
    features_version: str = Field(
        examples=["0123456789abcdef"], description="'request' where the features came with the request"
    )


class RecommendedItem(Answer):
    item_id: str = Field(examples=["85123A"])
    rank: int = Field(examples=[1])
    score: float = Field(examples=[0.137], description="the probability or rating where the use case has one")


class UserRecommendations(Answer):
    prediction_id: str = Field(examples=["5f0c2d6e-6f0f-4f0e-9a53-0d6fbb4f7a10"], description="finds it in the prediction log")
    user_id: str = Field(examples=["17850"])
    path: str = Field(examples=["model"], description="model, fold_in, or popular")
    items: list[RecommendedItem]


class OneUser(Provenance, UserRecommendations):
    """The items for one user."""


class ManyUsers(Provenance):
    """The items for each user, in the order of the request."""

    recommendations: list[UserRecommendations]


class RowPrediction(Answer):
    prediction_id: str
    row_id: str
    path: str
    probability: float = Field(examples=[0.93], description="of class 1")


class PairPrediction(Answer):
    prediction_id: str
    user_id: str
    item_id: str
    path: str
    rating: float = Field(examples=[3.9])


class Predictions(Provenance):
    """One prediction for each row or pair, in the order of the request."""

    predictions: list[RowPrediction] | list[PairPrediction]


class ModelInService(Answer):
    """The model that answers now."""

    use_case: str
    task: TaskKind
    version: int
    kind: str
    k: int
    exclude_seen: bool
    row_columns: list[str]
    manifest_digest: str
    data_digest: str
    features_version: str
    since: datetime
    by: str
    reason: str
    action: str
    sequence: int


class UseCaseSummary(Answer):
    use_case: str
    ready: bool
    task: TaskKind | None
    version: int | None
    address: str


class UseCases(Answer):
    use_cases: list[UseCaseSummary]


class SeatReadiness(Answer):
    ready: bool = Field(description="something answers")
    current: bool = Field(description="it is what the ledger names")
    version: int | None
    champion_version: int
    sequence: int
    features_version: str | None
    alias: str = Field(description="whether the MLflow alias agrees with the ledger")
    last_error: str


class Readiness(Answer):
    ready: bool
    reason: str
    use_cases: dict[str, SeatReadiness]


class Fault(Answer):
    where: str
    what: str


class Problem(Answer):
    """An error as RFC 9457 has it (application/problem+json)."""

    type: str = Field("about:blank")
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["there is no use case 'shoes'; there are: movie_rating, purchase_propensity"])
    errors: list[Fault] = []

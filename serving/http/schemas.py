"""What the cold addresses give, with examples for the OpenAPI page. The hot ones: `serving.http.messages`."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from tasks.contracts.base import TaskKind


class Answer(BaseModel):
    model_config = ConfigDict(protected_namespaces=(), frozen=True)


class ModelInService(Answer):
    """The model that answers now."""

    use_case: str
    task: TaskKind
    version: int
    kind: str
    k: int
    exclude_seen: bool
    row_columns: list[str]
    text_columns: list[str]
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
    log: str = Field(description="what is wrong with the prediction log; empty when nothing is")
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

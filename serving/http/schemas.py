"""Responses of the FastAPI routes. Those of the frequent routes are in `serving.http.messages`."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from tasks.contracts.base import TaskKind


class ResponseBody(BaseModel):
    """Base of all responses."""

    model_config = ConfigDict(protected_namespaces=(), frozen=True)


class ModelInService(ResponseBody):
    """The model in service, and the ledger entry that promoted it."""

    use_case: str
    task: TaskKind
    version: int
    kind: str
    k: int
    exclude_seen: bool
    probability_of: str | None = Field(description="whose purchases the probabilities of lists are about; null without them")
    relevant_from: float | None = Field(description="the least rating of a relevant item; null for other tasks")
    class_threshold: float | None = Field(description="from which probability on a row is of class 1; null for other tasks")
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


class UseCaseSummary(ResponseBody):
    """A use case and whether it is in service."""

    use_case: str
    ready: bool
    task: TaskKind | None
    version: int | None
    address: str


class UseCases(ResponseBody):
    """Every use case that has a champion."""

    use_cases: list[UseCaseSummary]


class DeploymentReadiness(ResponseBody):
    """What serves one use case, and whether it is what the ledger names."""

    ready: bool = Field(description="a model is in service")
    current: bool = Field(description="the model in service is the one that the ledger names")
    version: int | None
    champion_version: int | None = Field(description="null for a model that is served without a promotion")
    sequence: int | None = Field(description="of the newest ledger entry; null as above")
    features_version: str | None
    alias: str = Field(description="whether the MLflow alias agrees with the ledger")
    last_error: str


class Readiness(ResponseBody):
    """Whether every use case has a model in service."""

    ready: bool
    reason: str
    log: str = Field(description="why the prediction log cannot be written; empty if it can")
    use_cases: dict[str, DeploymentReadiness]


class Fault(ResponseBody):
    """A single fault of a request."""

    where: str
    what: str


class Problem(ResponseBody):
    """An error as defined by RFC 9457 (application/problem+json)."""

    type: str = Field("about:blank")
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["use case 'shoes' has no champion; use cases with one: movie_rating, purchase_propensity"])
    errors: list[Fault] = []

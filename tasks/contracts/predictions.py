"""Predictions as the prediction log stores them."""

from __future__ import annotations

from datetime import date, datetime

from pydantic import Field

from tasks.contracts.base import Contract, Name


class Prediction(Contract):
    """One answer, online or batch, as the prediction log keeps it."""

    prediction_id: str
    made_at: datetime
    use_case: Name
    channel: str = Field(description="online or batch")
    subject: str = Field(description="the user, or the row's key")
    model_version: int
    manifest_digest: str
    features_version: str
    features_as_of: date | None = Field(None, description="the day of the features; None where rows were sent with the request")
    path: str = Field(description="which way made the answer: model, published, fold_in, similar, popular_in_segment, popular")
    items: tuple[str, ...]
    scores: tuple[float, ...]
    latency_ms: float
    arm: str = Field("champion", description="which of several models answered; one until a router splits the traffic")
    arm_probability: float = Field(1.0, description="with which probability this arm was drawn")
    explored: tuple[str, ...] = Field((), description="items that were put in for exploration, not for their score")
    explored_probability: float = Field(0.0, description="with which probability such an item was put into this answer")

"""Predictions as the prediction log stores them."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum

from pydantic import Field

from tasks.contracts.base import Contract, Name

ONLINE, BATCH = "online", "batch"  # channels
ITEM_SUBJECT = "item:"  # begins the subject of an answer about an item, not for a user


class AnswerPath(StrEnum):
    """Which way made an answer. The values are stored in the prediction log and in batch snapshots."""

    MODEL = "model"  # the model, from what it learned of the subject
    PUBLISHED = "published"  # a stored batch answer of the model
    FOLD_IN = "fold_in"  # the model, from the subject's newest events
    SIMILAR = "similar"  # items similar to those that an unknown subject met
    POPULAR_IN_SEGMENT = "popular_in_segment"  # what is popular in the segment of an unknown subject
    POPULAR = "popular"  # what is popular everywhere

    @property
    def is_cold(self) -> bool:
        """Whether the model knew nothing of the subject, so that neighbours or popularity answered instead of it."""
        return self in COLD_PATHS


COLD_PATHS = frozenset({AnswerPath.SIMILAR, AnswerPath.POPULAR_IN_SEGMENT, AnswerPath.POPULAR})


class Prediction(Contract):
    """One answer, online or batch, as the prediction log keeps it."""

    prediction_id: str
    made_at: datetime
    use_case: Name
    channel: str = Field(description=f"{ONLINE} or {BATCH}")
    subject: str = Field(description="the user, or the row's key")
    model_version: int
    manifest_digest: str
    features_version: str
    features_as_of: date | None = Field(None, description="the day of the features; None where rows were sent with the request")
    path: AnswerPath = Field(description="which way made the answer")
    items: tuple[str, ...]
    scores: tuple[float, ...]
    latency_ms: float
    arm: str = Field("champion", description="which of several models answered; one until a router splits the traffic")
    arm_probability: float = Field(1.0, description="with which probability this arm was drawn")
    explored: tuple[str, ...] = Field((), description="items that were put in for exploration, not for their score")
    explored_probability: float = Field(0.0, description="with which probability such an item was put into this answer")
    shuffled_place: int = Field(
        0, ge=0, description="the upper one of two neighbouring places whose order was drawn at random; 0: none was"
    )

    @property
    def has_subject(self) -> bool:
        """Whether it is for a known user or a row. The answers to sessions and about items are for nobody in particular."""
        return bool(self.subject) and not (self.path is AnswerPath.SIMILAR and self.subject.startswith(ITEM_SUBJECT))

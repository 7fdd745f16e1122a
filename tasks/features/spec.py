"""How features are made and how examples are split, as in the use case's YAML."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tasks.contracts import TaskKind
from tasks.features.vocabulary import Declared
from tasks.spec import Room, Spec


class FeatureSpec(BaseModel):
    """The `features` section.

    Attributes
    ----------
    lookback_days : each counting feature is made once for each of these windows, which end at `as_of`.
    known_by : `ingested_at` counts a row only once the pipeline could know of it; `event_at` counts it from when it
        happened, which is for sources that were back-filled in one go and tell no honest time of arrival.
    declared : features beside those that every use case has, each by name, window and aggregate.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    lookback_days: tuple[int, ...] = Field((7, 28, 90), min_length=1)
    known_by: Literal["ingested_at", "event_at"] = "ingested_at"
    declared: tuple[Declared, ...] = ()

    @field_validator("lookback_days")
    @classmethod
    def _ascending(cls, days: tuple[int, ...]) -> tuple[int, ...]:
        if list(days) != sorted(set(days)) or not all(1 <= day <= 3650 for day in days):
            raise ValueError("lookback_days are distinct days from 1 to 3650, the shortest first, as in [7, 28, 90]")
        return days

    @field_validator("declared")
    @classmethod
    def _distinct(cls, declared: tuple[Declared, ...]) -> tuple[Declared, ...]:
        names = [one.name for one in declared]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"each feature has a name of its own; twice: {', '.join(twice)}")
        return declared


class SplitSpec(Spec):
    """A way to tell what is learned from, what chooses and calibrates, and what judges."""

    tasks: ClassVar[frozenset[TaskKind]]


class ByTime(SplitSpec):
    """Three consecutive label windows of `holdout_days` each that end at `as_of` (see `contracts.Split`)."""

    tasks = frozenset({TaskKind.RECOMMENDATION, TaskKind.PROPENSITY, TaskKind.RATING})
    kind: Literal["by_time"] = "by_time"
    holdout_days: int = Field(28, ge=1, le=366)


class Stratified(SplitSpec):
    """Shares of the rows of each class, drawn within each source file by a hash of the row's id.

    Where files do not change, a row stays in its part when later files arrive, so that no later holdout holds a row that
    an earlier champion has learned from.
    """

    tasks = frozenset({TaskKind.CLASSIFICATION})
    kind: Literal["stratified"] = "stratified"
    validation_share: float = Field(0.2, gt=0.0, lt=1.0)
    holdout_share: float = Field(0.25, gt=0.0, lt=1.0)

    @model_validator(mode="after")
    def _leaves_train(self) -> Stratified:
        if self.validation_share + self.holdout_share > 0.9:
            raise ValueError("validation_share and holdout_share leave at least 0.1 for training together")
        return self


SPLITS = Room("split", ByTime, Stratified)

"""How features are made and how examples are split, as in the use case's YAML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tasks.contracts.base import TaskKind
from tasks.contracts.data import DatasetRef
from tasks.kinds import KindRegistry, Spec
from tasks.stages.features.vocabulary import Declared


class FeatureSpec(BaseModel):
    """The `features` section.

    Attributes
    ----------
    lookback_days : each counting feature is made once for each of these windows, which end at `as_of`.
    known_by : `ingested_at` counts a row only once the pipeline could know of it; `event_at` counts it from when it
        happened, for sources that were back-filled at once and have no true time of arrival.
    declared : features beside those that every use case has, each by name, window and aggregate.
    ordinal : of tabular rows: column of text -> its values, the least first. The models use their positions.
    text : of tabular rows: columns of free text, whose words the models use. Other columns of text are nominal.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    lookback_days: tuple[int, ...] = Field((7, 28, 90), min_length=1)
    known_by: Literal["ingested_at", "event_at"] = "ingested_at"
    declared: tuple[Declared, ...] = ()
    ordinal: dict[str, tuple[str, ...]] = Field({})
    text: tuple[str, ...] = ()

    @property
    def stated_texts(self) -> tuple[str, ...]:
        """The columns of text whose reading the use case declares."""
        return (*self.ordinal, *self.text)

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

    @model_validator(mode="after")
    def _one_kind_each(self) -> FeatureSpec:
        if both := sorted(set(self.ordinal) & set(self.text)):
            raise ValueError(f"ordinal and text: {', '.join(both)} cannot be both")
        for name, values in self.ordinal.items():
            if len(values) < 2 or len(set(values)) < len(values):
                raise ValueError(f"ordinal.{name}: two distinct values or more, the least first; got {list(values)}")
        return self


@dataclass(frozen=True)
class FeatureRequest:
    """Which features to build, out of what, as of which day.

    history : current validated snapshots; their windows may overlap.
    as_of : only what happened before this day's midnight, and could be known then, counts.
    """

    use_case: str
    task: TaskKind
    spec: FeatureSpec
    history: Sequence[DatasetRef]
    as_of: date


class SplitSpec(Spec):
    """A way to part examples into train, validation (chooses and calibrates) and holdout (judges)."""

    tasks: ClassVar[frozenset[TaskKind]]
    copies_at_most: float = Field(
        0.05, ge=0.0, le=1.0, description="of tabular rows: share of the holdout that may equal training rows cell by cell"
    )


class ByTime(SplitSpec):
    """One cut for all. Three consecutive label windows of `holdout_days` each that end at `as_of` (see `contracts.Split`).

    Tabular rows of the last two windows are validation and holdout, by `event_at`. All earlier rows are train.
    """

    tasks = frozenset(TaskKind)
    kind: Literal["by_time"] = "by_time"
    holdout_days: int = Field(28, ge=1, le=366)


class Stratified(SplitSpec):
    """Shares of the rows of each class, drawn within each source file by a hash of the row's id.

    Where files do not change, a row stays in its part when later files arrive, so that no later holdout holds a row that
    an earlier champion was trained on.
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


SPLITS = KindRegistry("split", ByTime, Stratified)

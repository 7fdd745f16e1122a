"""How features are made and how examples are split, as in the use case's YAML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tasks.contracts.base import Name, TaskKind
from tasks.contracts.calendar import UTC_ZONE
from tasks.contracts.data import DatasetRef
from tasks.errors import ConfigurationError
from tasks.io.orders import ORDER_DAYS
from tasks.kinds import KindRegistry, Spec
from tasks.stages.features.vocabulary import Declared


class FeatureSpec(BaseModel):
    """The `features` section.

    Attributes
    ----------
    lookback_days : each counting feature is made once for each of these windows, which end at `as_of`.
    known_by : `ingested_at` counts a row only once the pipeline could know of it; `event_at` counts it from when it
        happened, for sources that were back-filled at once and have no true time of arrival.
    order_days : rows of one `event_id` that lie so many days or more apart are of different orders; less than 1 where numbers
        begin anew each day. Where it is not stated, a split of orders most of which lie a day apart is refused.
    declared : features beside those that every use case has, each by name, window and aggregate.
    ordinal : of tabular rows: column of text -> its values, the least first. The models use their positions.
    text : of tabular rows: columns of free text, whose words the models use. Other columns of text are nominal.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    lookback_days: tuple[int, ...] = Field((7, 28, 90), min_length=1)
    known_by: Literal["ingested_at", "event_at"] = "ingested_at"
    order_days: float = Field(ORDER_DAYS, ge=1 / 24, le=366)
    declared: tuple[Declared, ...] = ()
    ordinal: dict[str, tuple[str, ...]] = Field({})
    text: tuple[str, ...] = ()

    @property
    def states_order_days(self) -> bool:
        """Whether the use case says itself how far apart the rows of one order may lie."""
        return "order_days" in self.model_fields_set

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
    zone : whose days they are.
    """

    use_case: str
    task: TaskKind
    spec: FeatureSpec
    history: Sequence[DatasetRef]
    as_of: date
    zone: ZoneInfo = UTC_ZONE


class TestSet(BaseModel):
    """Rows that are set aside by name, and judged apart from the holdout. A row must fit every condition that is stated.

    where : column -> the value, or the values, that a row has. files : pattern of the names of source files, such as
    `clinic_b_*.csv`. first_day, last_day : of what happened, both included.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    __test__ = False  # no test of pytest's

    where: dict[str, str | int | float | tuple[str | int | float, ...]] = Field({})
    files: str = ""
    first_day: date | None = None
    last_day: date | None = None

    @model_validator(mode="after")
    def _has_a_condition(self) -> TestSet:
        if not (self.where or self.files or self.first_day or self.last_day):
            raise ValueError("expected at least one of where, files, first_day and last_day")
        if self.first_day and self.last_day and self.first_day > self.last_day:
            raise ValueError(f"first_day {self.first_day} is after last_day {self.last_day}")
        return self


class SplitSpec(Spec):
    """A way to part examples into train, validation (chooses and calibrates) and holdout (judges)."""

    tasks: ClassVar[frozenset[TaskKind]]
    draws_rows: ClassVar[bool] = False  # whether neighbouring rows may be in different parts: tuning may then draw its folds
    copies_at_most: float = Field(
        0.05, ge=0.0, le=1.0, description="of tabular rows: share of the holdout that may equal training rows cell by cell"
    )
    test_sets: dict[Name, TestSet] = Field(
        {},
        description="of tabular rows: name -> rows that are set aside before the split, and on which the challenger and "
        "the champion are reported",
    )

    @property
    def origins(self) -> int:
        """How many cuts measure each candidate before the holdout."""
        return 1

    @property
    def label_days(self) -> int | None:
        """How many days after an answer its label covers; None where labels are not what happens in a window."""
        return None

    @property
    def window_days(self) -> int:
        """The days of the label windows of all parts together; 0 where days do not cut."""
        return 0

    def check_task(self, task: TaskKind) -> None:
        """Refuse a split that cannot be made for a task.

        Raises
        ------
        ConfigurationError : names what is allowed.
        """
        if task not in self.tasks:
            raise ConfigurationError(f"split '{self.kind}' is for {', '.join(sorted(self.tasks))}; the task is {task}")
        if self.test_sets and not task.answers_rows:
            raise ConfigurationError(f"split.test_sets: only rows have test sets; the task is {task}")


class Shares(SplitSpec):
    """Splits by shares of all rows."""

    validation_share: float = Field(0.2, gt=0.0, lt=1.0)
    holdout_share: float = Field(0.25, gt=0.0, lt=1.0)

    @model_validator(mode="after")
    def _leaves_train(self) -> Self:
        if self.validation_share + self.holdout_share > 0.9:
            raise ValueError("validation_share and holdout_share leave at least 0.1 for training together")
        return self

    @property
    def shares(self) -> tuple[float, float]:
        """Of validation and holdout."""
        return self.validation_share, self.holdout_share


class TimeCut(SplitSpec):
    """Splits by one cut in time for all."""

    tasks = frozenset(TaskKind)
    holdout_days: int | None = Field(None, ge=1, le=3660, description="28 where no share is stated")
    validation_days: int | None = Field(None, ge=1, le=3660, description="as many as of the holdout where it is not stated")
    train_days: int | None = Field(
        None,
        ge=1,
        le=36_600,
        description="of interactions the label window of train, as long as the holdout's where it is not stated; of rows the "
        "newest days that are learned from, all where it is not stated",
    )
    holdout_share: float | None = Field(None, gt=0.0, lt=1.0)
    validation_share: float | None = Field(None, gt=0.0, lt=1.0, description="that of the holdout where it is not stated")

    @model_validator(mode="before")
    @classmethod
    def _states_one_length(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        if data.get("holdout_share") is None:
            if data.get("validation_share") is not None:
                raise ValueError("validation_share stands beside holdout_share; state both, or days")
            return {**data, "holdout_days": 28 if data.get("holdout_days") is None else data["holdout_days"]}
        if days := [name for name in ("holdout_days", "validation_days") if data.get(name) is not None]:
            raise ValueError(f"state days or shares, not both: got holdout_share and {', '.join(days)}")
        return data

    @model_validator(mode="after")
    def _leaves_train(self) -> Self:
        if self.holdout_share is not None and sum(self.shares) > 0.9:
            raise ValueError("validation_share and holdout_share leave at least 0.1 for training together")
        return self

    @property
    def shares(self) -> tuple[float, float]:
        """Of validation and holdout."""
        holdout = self.holdout_share or 0.0
        return self.validation_share or holdout, holdout

    @property
    def label_days(self) -> int | None:
        return self.holdout_days

    @property
    def window_days(self) -> int:
        if self.holdout_days is None:
            return 0
        return self.holdout_days + (self.validation_days or self.holdout_days) + (self.train_days or self.holdout_days)

    def check_task(self, task: TaskKind) -> None:
        super().check_task(task)
        if task.answers_rows or not task.has_probabilities:
            return
        if self.holdout_days is None:
            raise ConfigurationError(
                "split.holdout_share: a propensity is the probability of an event within so many days, and a share of the "
                "history has more days each time; state holdout_days"
            )
        if self.validation_days not in (None, self.holdout_days):
            raise ConfigurationError(
                f"split.validation_days ({self.validation_days}) must equal holdout_days ({self.holdout_days}): probabilities "
                "are calibrated on the validation window, and hold for windows of its length"
            )


class ByTime(TimeCut):
    """One cut for all: the newest days are holdout, those before validation, those before train (see `contracts.Split`).

    Of interactions, each part has the labels of its days, and features as of their first day. Rows are cut by `event_at`, and
    all earlier rows are train. Shares are of the days of the history for interactions, of the rows for rows. Rows of
    one moment stay together.
    """

    kind: Literal["by_time"] = "by_time"


class Rolling(TimeCut):
    """As `by_time`, and each candidate is measured at `origins` cuts: the newest one, and earlier ones before it.

    Of each metric the mean and the spread over the cuts are reported, and the mean selects the candidate. The holdout is
    that of the newest cut.
    """

    kind: Literal["rolling"] = "rolling"
    cuts: int = Field(3, ge=2, le=20, description="how many cuts measure each candidate")

    @property
    def origins(self) -> int:
        return self.cuts


class Stratified(Shares):
    """Shares of the rows of each class, drawn within each source file by a hash of the row's id.

    Where files do not change, a row stays in its part when later files arrive, so that no later holdout holds a row that
    an earlier champion was trained on.
    """

    tasks = frozenset({TaskKind.CLASSIFICATION})
    draws_rows: ClassVar[bool] = True
    kind: Literal["stratified"] = "stratified"


class ByGroup(Shares):
    """Shares of the groups of rows that belong together (a patient, a household, a machine). No group is in two parts.

    Groups are drawn by a hash of their name within the first file that has them. So a group stays in its part when later files
    arrive. The column `group_by` is no feature: a model that knows the groups says nothing about others. Rows without a
    value are groups of their own.
    """

    tasks = frozenset({TaskKind.CLASSIFICATION})
    kind: Literal["by_group"] = "by_group"
    group_by: str = Field(min_length=1)


class ByOrder(Shares):
    """Shares of the rows in their order: of the files by name, and of the rows within each. The last ones are the holdout."""

    tasks = frozenset({TaskKind.CLASSIFICATION})
    kind: Literal["by_order"] = "by_order"


SPLITS = KindRegistry("split", ByTime, Rolling, Stratified, ByGroup, ByOrder)

"""The base class of all contracts, names, windows and kinds of tasks."""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

NAME_PATTERN = r"^[a-z][a-z0-9_]{0,62}$"

Name = Annotated[str, Field(pattern=NAME_PATTERN)]


class Contract(BaseModel):
    """Base of all values that stages pass to each other."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    def to_json(self) -> dict[str, Any]:
        """The value as plain JSON types, for XCom and artifacts."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, payload: dict[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls.model_validate(payload)


class AnswerForm(StrEnum):
    """What a served model answers to one question."""

    LISTS = "lists"  # the best items of a user
    PAIRS = "pairs"  # a value for a user and an item, and lists ordered by it
    ROWS = "rows"  # a value for a row of feature columns; needs no features of users and items


class TaskKind(StrEnum):
    """What a use case predicts."""

    # Code outside `tasks.contracts` and `tasks.problems` does not compare members: a new one would pass it by. It reads the
    # properties below, or calls the task's `Problem`.
    RECOMMENDATION = "recommendation", AnswerForm.LISTS, False  # top-k items for a user
    PROPENSITY = "propensity", AnswerForm.LISTS, True  # top-k items for a user, with a calibrated probability
    RATING = "rating", AnswerForm.PAIRS, False  # the rating that a user would give an item, and top-k
    CLASSIFICATION = "classification", AnswerForm.ROWS, True  # the probability that a row is of class 1

    form: AnswerForm
    has_probabilities: bool  # whether its answers are probabilities

    def __new__(cls, value: str, form: AnswerForm = AnswerForm.LISTS, has_probabilities: bool = False) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.form, member.has_probabilities = form, has_probabilities
        return member

    @property
    def answers_rows(self) -> bool:
        """Whether examples are rows with a target, and a model answers from the row alone."""
        return self.form is AnswerForm.ROWS

    @property
    def rates_pairs(self) -> bool:
        """Whether labels are values that users gave to items, and a model predicts them."""
        return self.form is AnswerForm.PAIRS


class Window(Contract):
    """Days from `start` to before `end`, in the time zone of the use case. Always from the run, never from the clock."""

    start: date
    end: date

    @model_validator(mode="after")
    def _ends_after_start(self) -> Self:
        if self.end <= self.start:
            raise ValueError(f"a window ends after it starts; got start {self.start} and end {self.end} (end is exclusive)")
        return self

    @property
    def days(self) -> int:
        return (self.end - self.start).days

    @property
    def label(self) -> str:
        """`2011-01-01..2011-01-08`, the name of a partition; sorts by time."""
        return f"{self.start.isoformat()}..{self.end.isoformat()}"

    @classmethod
    def from_label(cls, label: str) -> Window:
        start, _, end = label.partition("..")
        return cls(start=date.fromisoformat(start), end=date.fromisoformat(end))

    @classmethod
    def before(cls, end: date, days: int) -> Window:
        """The `days` days that end before `end`."""
        return cls(start=end - timedelta(days=days), end=end)

"""How candidates are tuned, as in the use case's YAML."""

from __future__ import annotations

import json
import types
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tasks.contracts.base import Name, TaskKind
from tasks.errors import ConfigurationError
from tasks.kinds import explain
from tasks.models import MODELS
from tasks.models.base import ModelSpec, SparkTuned, WarmStart
from tasks.problems import problem_of

SPARK_METRICS = ("rmse", "mae", "r2", "roc_auc", "pr_auc")  # those of Spark's evaluators that mean what ours mean


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class SearchKind(StrEnum):
    """What measures the settings that Optuna's TPE proposes."""

    TPE = "tpe"  # rounds of our own, cut as the use case's split is; pruned between rounds
    CROSS_VALIDATION = "cross_validation"  # Spark's CrossValidator
    TRAIN_VALIDATION_SPLIT = "train_validation_split"  # Spark's TrainValidationSplit

    @property
    def is_sparks(self) -> bool:
        return self is not SearchKind.TPE


class Values(_Section):
    """The range of a setting: between `low` and `high`, both included, or among `choices`."""

    low: float | None = None
    high: float | None = None
    log: bool = Field(False, description="draw evenly on the logarithm")
    choices: tuple[Any, ...] | None = None

    @model_validator(mode="after")
    def _is_one_of_the_two(self) -> Values:
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log or len(self.choices) < 2:
                raise ValueError("expected two or more choices, without low, high or log beside them")
        elif self.low is None or self.high is None or not self.low < self.high:
            raise ValueError("either low and high, low below high, or choices")
        elif self.log and self.low <= 0:
            raise ValueError("log needs a low above 0")
        return self

    def holds(self, value: Any) -> bool:
        """Whether a value could be drawn."""
        if self.choices is not None:
            return bool(self._equal(value))
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and self.low is not None and self.high is not None and self.low <= value <= self.high

    def encode(self, value: Any) -> Any:
        """A value as Optuna takes it: choices as JSON text, because Optuna takes plain values only, not lists."""
        return value if self.choices is None else json.dumps(self._equal(value)[0])

    def decode(self, drawn: Any) -> Any:
        """The inverse of `encode`."""
        return drawn if self.choices is None else json.loads(drawn)

    def _equal(self, value: Any) -> list[Any]:
        plain = list(value) if isinstance(value, tuple) else value
        return [choice for choice in self.choices or () if choice == plain and (choice is None) == (plain is None)]


class Search(_Section):
    """What is tuned of one candidate."""

    search: SearchKind = SearchKind.TPE
    space: dict[str, Values] = Field(min_length=1, description="setting -> its range")


class TuningSpec(_Section):
    """The `tuning` section. Without candidates, nothing is tuned and nothing is spent."""

    trials: int = Field(20, ge=2, le=10_000, description="settings that are tried of each candidate, or")
    minutes: float | None = Field(None, gt=0.0, le=24 * 60, description="no new trial after so long; null: trials alone count")
    rounds: int = Field(
        3, ge=1, le=20, description="how often each is judged: folds of rows, cut as the split is, or windows in time"
    )
    candidates: dict[Name, Search] = {}

    def earlier_windows(self, task: TaskKind) -> int:
        """How many windows before those of the split tuning needs."""
        by_time = any(not search.search.is_sparks for search in self.candidates.values())
        return problem_of(task).earlier_windows(self.rounds) if by_time else 0

    def check(self, candidates: Iterable[ModelSpec], task: TaskKind, primary: str) -> None:
        """Whether every space fits the fields of its candidate's kind.

        Raises
        ------
        ConfigurationError : names the setting, what is allowed and what came.
        """
        known = {spec.candidate_name: spec for spec in candidates}
        for name, search in self.candidates.items():
            where = f"tuning.candidates.{name}"
            if name not in known:
                raise ConfigurationError(f"{where}: no candidate of that name; allowed: {', '.join(known)}")
            for setting, values in search.space.items():
                _check_values(known[name], setting, values, f"{where}.space.{setting}")
            if search.search.is_sparks:
                self._check_spark(known[name], search, task, primary, where)
            elif self.rounds < (least := problem_of(task).min_rounds):
                raise ConfigurationError(f"tuning.rounds: the task {task} needs at least {least}; got {self.rounds}")

    def check_split(self, kind: str, *, draws_rows: bool) -> None:
        """Whether the tuners cut their folds as the use case's split cuts its parts.

        Raises
        ------
        ConfigurationError : Spark's tuners are named for a split that does not draw rows.
        """
        for name, search in self.candidates.items():
            if search.search.is_sparks and not draws_rows:
                raise ConfigurationError(
                    f"tuning.candidates.{name}.search: {search.search} draws its folds at random, so that a trial would learn "
                    f"from the neighbours of what measures it; the split is '{kind}': take {SearchKind.TPE}, whose rounds are "
                    "cut as the split is"
                )

    def _check_spark(self, spec: ModelSpec, search: Search, task: TaskKind, primary: str, where: str) -> None:
        if not isinstance(spec, SparkTuned) or task not in spec.spark_tasks:
            allowed = (", ".join(sorted(spec.spark_tasks)) if isinstance(spec, SparkTuned) else "") or "no task"
            raise ConfigurationError(
                f"{where}.search: {search.search} is Spark's, and '{spec.kind}' is fitted by an Estimator of pyspark.ml for "
                f"{allowed}; the task is {task}: take {SearchKind.TPE}"
            )
        if others := sorted(set(search.space) - set(spec.spark_params)):
            allowed = ", ".join(sorted(spec.spark_params))
            raise ConfigurationError(f"{where}.space.{others[0]}: no parameter of Spark's Estimator; allowed: {allowed}")
        if primary not in SPARK_METRICS:
            raise ConfigurationError(
                f"{where}.search: Spark judges by {', '.join(SPARK_METRICS)}; metrics.primary is {primary}"
            )
        if self.rounds < 2:
            raise ConfigurationError(f"tuning.rounds: {search.search} needs at least 2; got {self.rounds}")


class IncrementalSpec(_Section):
    """The `incremental` section: which candidates begin from the champion of their kind, and when they learn anew."""

    candidates: tuple[Name, ...] = ()
    full_after_runs: int = Field(4, ge=1, le=1000, description="warm champions in a row, then one that learns from nothing")
    full_after_days: int = Field(28, ge=1, le=3660, description="or so long after the last that did")

    def check(self, candidates: Iterable[ModelSpec]) -> None:
        """Whether each is there and can begin warm.

        Raises
        ------
        ConfigurationError : names the candidate, and why not.
        """
        known = {spec.candidate_name: spec for spec in candidates}
        kinds = sorted(kind for kind, spec in MODELS.kinds.items() if issubclass(spec, WarmStart))
        for name in self.candidates:
            if name not in known:
                raise ConfigurationError(f"incremental.candidates: no candidate '{name}'; allowed: {', '.join(known)}")
            if not isinstance(known[name], WarmStart):
                raise ConfigurationError(
                    f"incremental.candidates: '{name}' is of kind '{known[name].kind}', whose training cannot start from a "
                    f"champion; kinds that can: {', '.join(kinds)}"
                )


def number_type(spec: type[ModelSpec], setting: str) -> type[int] | type[float] | None:
    """int or float for a setting that is a number, None for any other."""
    annotation = spec.model_fields[setting].annotation
    members = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    return float if float in members else int if int in members else None


def settings_of(spec: ModelSpec) -> tuple[str, ...]:
    """The fields that can be tuned."""
    return tuple(name for name in type(spec).model_fields if name not in ("kind", "name"))


def _check_values(spec: ModelSpec, setting: str, values: Values, where: str) -> None:
    if setting not in settings_of(spec):
        raise ConfigurationError(f"{where}: '{spec.kind}' has no such setting; allowed: {', '.join(settings_of(spec))}")
    tried: tuple[Any, ...] = values.choices or ()
    if values.choices is None:
        number = number_type(type(spec), setting)
        if number is None:
            raise ConfigurationError(f"{where}: low and high are for numbers, which '{setting}' is not; list its choices")
        tried = (values.low, values.high)
        if number is int and not all(float(end or 0).is_integer() for end in tried):
            raise ConfigurationError(f"{where}: '{setting}' is a whole number; got low {values.low} and high {values.high}")
    for value in tried:
        try:
            with_settings(spec, {setting: value})
        except ValidationError as error:
            raise ConfigurationError(explain(error, type(spec), where)) from error
    own = getattr(spec, setting)
    if not values.holds(own):
        raise ConfigurationError(
            f"{where}: the candidate's own {setting} is where the search begins, so it must be among the values of the "
            f"space; got {own!r}"
        )


def with_settings(spec: ModelSpec, settings: dict[str, Any]) -> ModelSpec:
    """The spec with some settings in place of its own, checked like those of the YAML."""
    return type(spec).model_validate({**spec.model_dump(mode="json"), **settings})

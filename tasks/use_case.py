"""The YAML file of a use case, parsed and checked. The only module that imports the kinds of every stage."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tasks import metrics
from tasks.contracts.base import NAME_PATTERN, Name, TaskKind
from tasks.contracts.calendar import Calendar, TimeZone
from tasks.contracts.data import DatasetRef
from tasks.contracts.judging import GateMode
from tasks.contracts.training import Costs, ProbabilityOf, RefitPolicy, ScoringTerms
from tasks.documents import parse_document, read_text, write_in_one_line
from tasks.errors import ConfigurationError
from tasks.io.cells import CellReader, LostCell
from tasks.kinds import KindRegistry, explain
from tasks.models import MODELS
from tasks.models.base import ModelSpec
from tasks.problems import problem_of
from tasks.settings import get_settings
from tasks.stages.evaluation import baseline_of, check_gates
from tasks.stages.evaluation.gates import GATES
from tasks.stages.evaluation.gates.base import Gate
from tasks.stages.features.spec import SPLITS, FeatureRequest, FeatureSpec, SplitSpec
from tasks.stages.ingestion.base import Source
from tasks.stages.ingestion.mapped import Mapped
from tasks.stages.ingestion.sources import SOURCES
from tasks.stages.monitoring.checks import CHECKS
from tasks.stages.monitoring.checks.base import DriftCheck
from tasks.stages.monitoring.decision import RetrainPolicy
from tasks.stages.monitoring.labels import LabelPolicy
from tasks.stages.registry.bake import BakePolicy
from tasks.stages.training.spec import IncrementalSpec, TuningSpec
from tasks.use_case_defaults import add_defaults

_OF_ROWS = tuple(task for task in TaskKind if task.answers_rows)
FIRST_DAY = date(2000, 1, 1)  # of schedules that catch nothing up: only the newest window runs, whichever day is stated
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), arbitrary_types_allowed=True)


class ValidationSpec(_Section):
    """The expectation suite, and the share of rows that may go to quarantine before the run stops."""

    suite: Name
    tolerance: float = Field(0.05, ge=0.0, le=1.0)


class RecommendSpec(_Section):
    """How recommendations are made. Evaluation, batch and endpoint share these settings."""

    k: int = Field(10, ge=1, le=1000)
    exclude_seen: bool = False
    relevant_from: float = Field(4.0, description="of ratings: from which a rated item counts as relevant in a list")


class ProbabilitySpec(_Section):
    """Whose purchases the probabilities of a recommender are about. Calibration, metrics, gates and monitoring share it."""

    of: ProbabilityOf = ProbabilityOf.ALL_KNOWN_USERS


class BatchSpec(_Section):
    """Whom batch scoring answers. The endpoint answers everybody who asks."""

    active_days: int | None = Field(
        365, ge=1, description="users who came in the newest so many days; null: all who ever came. Rows are all answered"
    )


class MetricsSpec(_Section):
    """Names of metrics; each carries its k."""

    primary: str
    report: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.primary, *self.report)))


class GatesSpec(_Section):
    """The gates that a challenger must pass. Enabled by default. Every report shows a different mode."""

    mode: GateMode = GateMode.ENABLED
    checks: tuple[Gate, ...]
    anchor: int = Field(10, ge=0, le=100, description="former champions of which one is compared with, too; 0 is off")
    false_promotions_per_year: float = Field(
        0.05, gt=0.0, le=100.0, description="of challengers that are no better; a year of new labels pays for so many"
    )


class ReviewSpec(_Section):
    """Who approves after the gates: the policy (`auto`) or a person. A review without an answer is rejected at its end."""

    by: Literal["auto", "person"] = "person"
    expires_after: timedelta = Field(timedelta(days=7), description="how long a review is open: 7d, 12h or 30m")
    reviewers: dict[Name, str] = Field({}, description="name -> public key: the reviewers whose signed codes are valid")

    @field_validator("expires_after", mode="before")
    @classmethod
    def _reads_as_written(cls, value: object) -> object:
        found = re.fullmatch(r"([1-9]\d{0,4})([dhm])", value) if isinstance(value, str) else None
        if found is None and not isinstance(value, timedelta):
            raise ValueError("expected a number with d, h or m, such as 7d")
        return value if found is None else timedelta(**{_UNITS[found[2]]: int(found[1])})

    @field_validator("reviewers")
    @classmethod
    def _are_public_keys(cls, reviewers: dict[str, str]) -> dict[str, str]:
        for name, line in reviewers.items():
            try:
                size = len(base64.b64decode(line, validate=True))
            except ValueError:
                size = 0
            if size != 32:
                raise ValueError(f"expected the line that `titleholder reviewer-key {name}` prints, 44 characters of base64")
        return reviewers


class RegistrySpec(_Section):
    """What the reconciler may change. It always reports what it found."""

    restore_aliases: bool = Field(True, description="restore moved aliases to what the ledger says")
    restore_deleted: bool = Field(True, description="restore MLflow's experiment and runs of versions that were deleted")
    close_runs_after_hours: float = Field(
        24.0, gt=3.0, description="an MLflow run that is still RUNNING then was interrupted; a task may take 3 hours"
    )


class DriftSpec(_Section):
    checks: tuple[DriftCheck, ...] = ()
    reference_days: int = Field(
        56, ge=1, description="the reference window: the newest days of the data that the champion learned from"
    )
    current_days: int | None = Field(None, ge=1, description="the days of the current window; null: those of the run's window")
    labels: LabelPolicy = LabelPolicy()
    retrain_when: RetrainPolicy = RetrainPolicy()


class UseCase(_Section):
    """All settings of one use case. `tasks.use_case_defaults` makes those that its file does not state."""

    _defaults: Mapping[str, Any] = PrivateAttr({})

    name: Name
    title: str = Field(min_length=1, max_length=120)
    description: str = ""
    owner: str = "unowned"
    task: TaskKind
    time_zone: TimeZone = Field("UTC", description="whose days windows and schedules are of, such as Europe/London")
    calendar: Calendar = Calendar()
    schedule: str | None = "@daily"
    start_date: date = FIRST_DAY
    catchup: bool = False
    late_within_days: int = Field(14, ge=0, description="how far back each run looks for late deliveries; 0: not at all")
    seed: int = Field(7, ge=0)
    source: Source
    validation: ValidationSpec
    features: FeatureSpec
    split: SplitSpec
    candidates: tuple[ModelSpec, ...] = Field(min_length=1)
    tuning: TuningSpec = TuningSpec()
    incremental: IncrementalSpec = IncrementalSpec()
    refit: RefitPolicy = Field(
        RefitPolicy.BEFORE_SERVING, description="whether a challenger that passed is fitted again on all data before it serves"
    )
    recommend: RecommendSpec = RecommendSpec()
    probability: ProbabilitySpec = ProbabilitySpec()
    costs: Costs | None = Field(None, description="of wrong classes; null: the threshold of classes is chosen on validation")
    batch_scoring: BatchSpec = BatchSpec()
    metrics: MetricsSpec
    gates: GatesSpec
    review: ReviewSpec = ReviewSpec()
    bake: BakePolicy = BakePolicy()
    registry: RegistrySpec = RegistrySpec()
    drift: DriftSpec = DriftSpec()

    @field_validator("source")
    @classmethod
    def _has_its_days(cls, source: Source, parsed: ValidationInfo) -> Source:
        return source.in_days_of(ZoneInfo(parsed.data.get("time_zone", "UTC")))

    @field_validator("schedule")
    @classmethod
    def _fires_at_most_once_a_day(cls, schedule: str | None) -> str | None:
        from croniter import croniter

        if schedule is None:
            return schedule
        fields = croniter.expand(schedule)[0] if croniter.is_valid(schedule) else []
        if len(fields) != 5:
            raise ValueError("expected a cron expression of five fields, @daily, @weekly, @monthly, @yearly, or null for none")
        if any(len(field) > 1 or field[0] == "*" for field in fields[:2]):
            raise ValueError(
                f"{schedule!r} fires more than once a day, and a window is whole days: state one minute and one hour, such as "
                "'0 6 * * *'. What happens within the day reaches the endpoint as events"
            )
        return schedule

    @model_validator(mode="before")
    @classmethod
    def _attributes_within_the_label_window(cls, document: Any) -> Any:
        """Where the YAML states no `drift.labels.attribution_days`, it is the length of the split's label windows."""
        split, drift = document.get("split"), document.get("drift", {})
        days = split.label_days if isinstance(split, SplitSpec) and document.get("task") not in _OF_ROWS else None
        if days is None or not isinstance(drift, dict) or not isinstance(drift.get("labels", {}), dict):
            return document
        return {**document, "drift": {**drift, "labels": {"attribution_days": days, **drift.get("labels", {})}}}

    @model_validator(mode="after")
    def _knows_where_to_begin(self) -> UseCase:
        if self.catchup and "start_date" not in self.model_fields_set:
            raise ValueError("catchup: true runs every window since start_date: state start_date")
        return self

    @model_validator(mode="after")
    def _judges_what_it_learned(self) -> UseCase:
        learned, judged = self.split.label_days, self.drift.labels.attribution_days
        if learned is not None and learned != judged and self.task not in _OF_ROWS:
            raise ValueError(
                f"drift.labels.attribution_days ({judged}) must equal split.holdout_days ({learned}): models predict what "
                "happens in that many days, and monitoring must count outcomes of the same time. Leave attribution_days out or "
                "change one of the two"
            )
        return self

    @model_validator(mode="after")
    def _states_what_applies(self) -> UseCase:
        if "probability" in self.model_fields_set and not problem_of(self.task).calibrates:
            allowed = ", ".join(task for task in TaskKind if problem_of(task).calibrates)
            raise ValueError(f"probability: is for {allowed}; the task is {self.task}: leave it out")
        if self.costs is not None and not self.task.answers_rows:
            raise ValueError(f"costs: are of wrong classes of rows; the task is {self.task}: leave them out")
        if "relevant_from" in self.recommend.model_fields_set and not self.task.rates_pairs:
            raise ValueError(
                f"recommend.relevant_from: is for ratings; the task is {self.task}, where what is bought is relevant"
            )
        return self

    @model_validator(mode="after")
    def _names_values_that_cells_have(self) -> UseCase:
        """Values that the use case compares with cells are spelt as the source reads them."""
        stated: dict[str, tuple[str, Sequence[str | float]]] = {
            f"features.ordinal.{name}": (name, values) for name, values in self.features.ordinal.items()
        }
        for test, conditions in self.split.test_sets.items():
            for name, value in conditions.where.items():
                stated[f"split.test_sets.{test}.where.{name}"] = name, value if isinstance(value, tuple) else (value,)
        for where, (name, values) in stated.items():
            cell = self.source.requested.get(name)
            if cell is None:
                continue
            reader = CellReader(cell)
            for value in values:
                try:
                    read = reader(value)
                except LostCell as error:
                    raise ValueError(f"{where}: {error}, so that no row has this value") from error
                if read is None:
                    raise ValueError(
                        f"{where}: {value!r} means a missing cell; state source.cells.{name}.missing without it, such as []"
                    )
                if read != (value if not reader.gives_text else str(value)):
                    raise ValueError(f"{where}: cells of {name} that say {value!r} are read as {read!r}; state this")
        return self

    @model_validator(mode="after")
    def _has_its_labels(self) -> UseCase:
        if self.task.rates_pairs and isinstance(self.source, Mapped) and not self.source.states_events:
            raise ValueError(
                "source: labels of ratings are events of the type rating, and no column says what happened: state "
                "constants: {event_type: rating}"
            )
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> UseCase:
        for candidate in self.candidates:
            if self.task not in candidate.tasks:
                allowed = ", ".join(sorted(candidate.tasks))
                raise ValueError(f"candidate '{candidate.kind}' is for {allowed}; the task is {self.task}")
        names = [candidate.candidate_name for candidate in self.candidates]
        if len(set(names)) != len(names):
            raise ValueError(f"candidates need distinct names; got {', '.join(names)}: give the second one a 'name'")
        try:
            self.split.check_task(self.task)
            self.tuning.check(self.candidates, self.task, self.metrics.primary)
            self.tuning.check_split(self.split.kind, draws_rows=self.split.draws_rows)
            self.incremental.check(self.candidates)
        except ConfigurationError as error:
            raise ValueError(str(error)) from error
        for name in self.metrics.all:
            try:
                metrics.get_metric(name, self.task)
            except ConfigurationError as error:
                raise ValueError(f"metrics: {error}") from error
        try:
            check_gates(self.gates.checks, self.gates.mode, self.task, self.metrics.all, names)
        except ConfigurationError as error:
            raise ValueError(f"gates: {error}") from error
        if self.gates.mode is GateMode.ENABLED and baseline_of(self.gates.checks) is None:
            raise ValueError(
                "gates: no gate judges the first champion. Add {kind: minimum_metric, metric: <primary>, over_baseline: "
                "<the name of a trivial candidate>}, or set mode: disabled, which every report then shows"
            )
        return self

    def candidate(self, name: str) -> ModelSpec:
        """The candidate of a name."""
        for spec in self.candidates:
            if spec.candidate_name == name:
                return spec
        allowed = ", ".join(spec.candidate_name for spec in self.candidates)
        raise ConfigurationError(f"{self.name}: no candidate '{name}'; allowed: {allowed}")

    @property
    def defaults(self) -> list[str]:
        """What the file does not state, one line for each section in the syntax of the file."""
        return [f"{section}: {write_in_one_line(value)}" for section, value in self._defaults.items()]

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of its days."""
        return ZoneInfo(self.time_zone)

    @property
    def scoring_terms(self) -> ScoringTerms:
        """How models of this use case are queried and measured."""
        return ScoringTerms(
            use_case=self.name,
            task=self.task,
            metrics=self.metrics.all,
            k=self.recommend.k,
            exclude_seen=self.recommend.exclude_seen,
            relevant_from=self.recommend.relevant_from,
            probability_of=self.probability.of,
            active_days=self.batch_scoring.active_days,
            costs=self.costs,
            cells=dict(self.source.requested),
        )

    def features_as_of(self, as_of: date, history: Sequence[DatasetRef]) -> FeatureRequest:
        """The request for this use case's features as of a day, out of a history of validated snapshots."""
        return FeatureRequest(self.name, self.task, self.features, history, as_of, self.zone)

    @property
    def source_path(self) -> Path | None:
        """The folder of raw files: of this machine if set, else the YAML's (relative to the installation's home)."""
        override = get_settings().source_paths.get(self.name)
        path = override or self.source.path
        return None if path is None else get_settings().home / path


def parse_use_case(text: str, where: str) -> UseCase:
    """One YAML text -> a use case.

    Raises
    ------
    ConfigurationError : one line per fault, with file, field, what is allowed and what came.
    """
    document = parse_document(text, where)
    try:
        filled = add_defaults(document)
        case = UseCase.model_validate(_parse_kinds(filled, where))
    except ValidationError as error:
        raise ConfigurationError(explain(error, UseCase, where)) from error
    case._defaults = _find_defaults(case, document, filled)
    return case


def _find_defaults(case: UseCase, document: Mapping[str, Any], filled: Mapping[str, Any]) -> dict[str, Any]:
    """Section -> what the document does not state of it."""
    found: dict[str, Any] = {}
    for section, value in case.model_dump(mode="json", serialize_as_any=True).items():
        made, stated = filled.get(section), document.get(section)
        if isinstance(value, dict):
            rest = {key: one for key, one in {**value, **(made or {})}.items() if key not in (stated or {})}
            if rest:
                found[section] = rest
        elif section not in document:
            found[section] = value if made is None else made
    return found


def _parse_kinds(document: dict[str, Any], where: str) -> dict[str, Any]:
    """Replace every entry with a `kind` by its spec, so that each registry of kinds validates its own."""
    parsed = dict(document)
    singles: dict[str, KindRegistry[Any]] = {"source": SOURCES, "split": SPLITS}
    lists: dict[str, KindRegistry[Any]] = {"gates": GATES, "drift": CHECKS}
    for key, registry in singles.items():
        if key in parsed:
            parsed[key] = registry.parse(parsed[key], f"{where}: {key}")
    if "candidates" in parsed:
        parsed["candidates"] = _parse_list(parsed["candidates"], MODELS, f"{where}: candidates")
    for key, registry in lists.items():
        section = parsed.get(key)
        if isinstance(section, dict) and "checks" in section:
            parsed[key] = {**section, "checks": _parse_list(section["checks"], registry, f"{where}: {key}.checks")}
    return parsed


def _parse_list(entries: Any, registry: KindRegistry[Any], where: str) -> tuple[Any, ...]:
    if not isinstance(entries, list):
        raise ConfigurationError(f"{where}: expected a list, got {entries!r}")
    return tuple(registry.parse(entry, f"{where}[{place}]") for place, entry in enumerate(entries))


@lru_cache(maxsize=64)
def _parse_file(path: Path, _modified_ns: int) -> UseCase:
    try:
        use_case = parse_use_case(read_text(path), path.name)
    except ConfigurationError:
        raise
    except Exception as error:  # whatever a kind's own check raises stays with the file that names the kind
        raise ConfigurationError(f"{path.name}: a check of its settings failed: {type(error).__name__}: {error}") from error
    if use_case.name != path.stem:
        raise ConfigurationError(f"{path.name}: name: must be the file's own name '{path.stem}'; got {use_case.name!r}")
    return use_case


def list_use_cases(folder: Path | None = None) -> list[str]:
    """The names of all use-case files, sorted."""
    folder = folder or get_settings().use_cases
    if not folder.is_dir():
        raise ConfigurationError(f"TITLEHOLDER_USE_CASES: no folder {folder}")
    return sorted(path.stem for path in folder.glob("*.yaml"))


def load_use_case(name: str, folder: Path | None = None) -> UseCase:
    """The use case of a name.

    Raises
    ------
    ConfigurationError : the name is not one (slashes, dots, capitals), there is no such file, or the file is wrong.
    """
    folder = folder or get_settings().use_cases
    if not re.fullmatch(NAME_PATTERN, name):
        raise ConfigurationError(f"use case {name!r}: a name is small letters, digits and _, and begins with a letter")
    path = folder / f"{name}.yaml"
    if not path.is_file():
        raise ConfigurationError(f"use case '{name}': no file {path}; there are: {', '.join(list_use_cases(folder)) or 'none'}")
    return _parse_file(path, path.stat().st_mtime_ns)

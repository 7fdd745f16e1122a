"""Training: how a model is scored, candidates, tuning and learning curves."""

from __future__ import annotations

import math
from datetime import date
from enum import StrEnum
from typing import Any

from pydantic import Field

from tasks.contracts.base import Contract, Name, TaskKind
from tasks.contracts.cells import Cell
from tasks.contracts.data import Split


class ProbabilityOf(StrEnum):
    """Whose purchases the probabilities of a recommender are about. Calibration, its metrics and monitoring share it."""

    ALL_KNOWN_USERS = "all_known_users"  # everybody whom the features know: who buys nothing counts with zeros
    BUYERS = "buyers"  # given that the user buys something in the label window

    @property
    def words(self) -> str:
        """Whom a figure about these probabilities describes."""
        return "known users, buyers or not" if self is ProbabilityOf.ALL_KNOWN_USERS else "users who bought in the label window"


class Population(Contract):
    """Whom some metrics describe."""

    whom: str
    units: int = Field(ge=0, description="users or rows")
    metrics: tuple[str, ...]
    left_out: str = Field("", description="who else was in the data and is not described, and why")

    def __str__(self) -> str:
        return f"{self.units:,} {self.whom}{f' ({self.left_out})' if self.left_out else ''}"


class Costs(Contract):
    """What mistakes about the class of a row cost, in any unit; only their ratio counts."""

    false_positive: float = Field(gt=0.0, description="class 1 is told, and the row is of class 0")
    false_negative: float = Field(gt=0.0, description="class 0 is told, and the row is of class 1")


class ScoringTerms(Contract):
    """How a model is queried and measured. It is stored in the exported model, so that every caller queries it alike.

    An export that was written without `metrics` loads with none: only training and evaluation read them.
    """

    use_case: Name
    task: TaskKind
    metrics: tuple[str, ...] = Field((), description="what it is measured by; the first one is the primary metric")
    k: int = Field(10, ge=1, description="length of a recommendation list")
    exclude_seen: bool = Field(False, description="whether lists leave out the items that the user has met")
    probability_of: ProbabilityOf = Field(
        ProbabilityOf.ALL_KNOWN_USERS, description="whose purchases the probabilities of lists are about"
    )
    active_days: int | None = Field(None, description="known users are those who came in so many days; None: all who ever came")
    relevant_from: float = Field(4.0, description="of ratings: from which a rated item counts as relevant in a list")
    costs: Costs | None = Field(None, description="of rows: what mistakes cost; None: the threshold is chosen on validation")
    row_columns: tuple[str, ...] = Field((), description="feature columns, in order, of a model that answers rows")
    text_columns: tuple[str, ...] = Field((), description="of them those that hold text; the others hold numbers")
    cells: dict[str, Cell] = Field(
        {}, description="how what clients send is read, by canonical name or feature; others are ids, text or numbers"
    )

    @property
    def primary(self) -> str:
        """The metric that chooses between models.

        Raises
        ------
        ValueError : the terms name no metric.
        """
        if not self.metrics:
            raise ValueError(f"{self.use_case}: the scoring terms name no metric; set `metrics`")
        return self.metrics[0]

    def measured_by(self, *metrics: str) -> ScoringTerms:
        """The same terms with other metrics."""
        return self.model_copy(update={"metrics": metrics})


class Start(Contract):
    """What a candidate began from: the champion of its kind (warm), or nothing (full)."""

    is_warm: bool
    reason: str = Field(description="why warm, or why not")
    champion_version: int | None = Field(None, description="whose arrays it began from")
    champion_digest: str = Field("", description="sha256 of that model's manifest")
    warm_runs: int = Field(0, ge=0, description="warm ones in a row since the last full one, this one included")
    full_as_of: date = Field(description="the day of the last full one in its line")


class Candidate(Contract):
    """A trained model, logged and exported, not yet judged."""

    use_case: Name
    name: Name
    kind: Name
    run_id: str
    model_uri: str = Field(description="models:/m-...")
    manifest_digest: str = Field(description="sha256 of the exported model's manifest")
    split: Split
    code_version: str
    metrics: dict[str, float] = Field(description="measured on the validation window")
    populations: tuple[Population, ...] = Field((), description="whom the metrics describe")
    fit_seconds: float
    settings: dict[str, Any] = Field({}, description="of its kind, as they were fitted: the YAML's, or those that tuning chose")
    start: Start | None = Field(None, description="what it learned from; None where the use case does not let it begin warm")
    cuts: tuple[dict[str, float], ...] = Field(
        (), description="of a rolling split: the metrics of its settings at each earlier cut, oldest first"
    )

    def mean(self, metric: str) -> float:
        """The mean of a metric over all cuts, the validation window's included; NaN where one has no number."""
        values = self.values(metric)
        return sum(values) / len(values)

    def spread(self, metric: str) -> float | None:
        """The standard deviation of a metric over all cuts; None where there is one cut."""
        values = self.values(metric)
        if len(values) < 2:
            return None
        return math.sqrt(sum((value - self.mean(metric)) ** 2 for value in values) / (len(values) - 1))

    def values(self, metric: str) -> tuple[float, ...]:
        """A metric at each cut, oldest first; that of the validation window is the last."""
        return tuple(one.get(metric, math.nan) for one in (*self.cuts, self.metrics))


class RefitPolicy(StrEnum):
    """Whether a challenger that passed its gates is fitted again, on all data, before it serves."""

    BEFORE_SERVING = "before_serving"
    NEVER = "never"


class Refit(Contract):
    """A judged candidate, fitted again on all data with the same settings: the model that serves."""

    run_id: str = ""
    model_uri: str = ""
    manifest_digest: str = Field("", description="sha256 of its manifest; empty where the judged model serves")
    learned: dict[str, int] = Field({}, description="what it learned from, by name, such as the labels of the newest window")
    carried: tuple[str, ...] = Field((), description="what it has from the judged model, such as the calibration")
    fit_seconds: float = 0.0
    problem: str = Field("", description="why it was not made, so that the judged model serves; empty where it was")


class TrialState(StrEnum):
    COMPLETE = "complete"
    PRUNED = "pruned"  # given up after a round in which it stood behind three of four before it
    FAILED = "failed"  # its settings cannot be fitted to these data


class Trial(Contract):
    """One setting that tuning tried."""

    number: int
    origin: str = Field(description="yaml, champion, or search: who proposed it")
    state: TrialState
    settings: dict[str, Any]
    figures: tuple[float, ...] = Field(description="the metric of each round that it went through")
    seconds: float
    note: str = Field("", description="why it failed")

    @property
    def value(self) -> float:
        """The mean of its rounds."""
        return sum(self.figures) / len(self.figures) if self.figures else float("nan")


class Tuned(Contract):
    """What tuning chose for a candidate, and how it came to it. Settings are those that were looked for, no others."""

    run_id: str = Field(description="the MLflow run whose children are the trials")
    metric: str
    settings: dict[str, Any]
    trials: tuple[Trial, ...]


class LearningPoint(Contract):
    """A model of the same settings that was fitted on a share of the training data."""

    share: float = Field(gt=0, le=1)
    units: int = Field(description="users or rows that it learned from")
    fitted: float | None = Field(None, description="its metric on what it learned from; rows only")
    validation: float = Field(description="its metric on the whole validation window")


class LearningCurve(Contract):
    """Would more data help, and does the model overfit? Points by ascending share; the last one is the candidate itself."""

    metric: str
    unit: str = Field(description="users or rows")
    greater_is_better: bool
    points: tuple[LearningPoint, ...]
    stopped: str = Field("", description="why a point is missing; empty when none is")

    @property
    def gap(self) -> float | None:
        """By how much the last point does better on what it learned from; None where that was not measured."""
        last = self.points[-1] if self.points else None
        if last is None or last.fitted is None:
            return None
        return (last.fitted - last.validation) * (1.0 if self.greater_is_better else -1.0)

    @property
    def is_overfitting(self) -> bool:
        """The flag of overfitting: the gap is more than a tenth of what it reaches on the validation window."""
        return self.gap is not None and self.gap > 0.1 * abs(self.points[-1].validation)

"""The values at the doors: what rooms hand to each other, and what Airflow carries between tasks.

All are frozen, refuse unknown fields, and turn into JSON and back without loss (`to_json`, `from_json`): XCom carries
them, never data.
"""

from __future__ import annotations

import hashlib
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

NAME_PATTERN = r"^[a-z][a-z0-9_]{0,62}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]


class Contract(BaseModel):
    """Base of all values at the doors."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    def to_json(self) -> dict[str, Any]:
        """The value as plain JSON types, for XCom and artifacts."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, payload: dict[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls.model_validate(payload)


class TaskKind(StrEnum):
    """What a use case predicts."""

    RECOMMENDATION = "recommendation"  # top-k items for a user
    PROPENSITY = "propensity"  # top-k items for a user, with a calibrated probability
    RATING = "rating"  # the rating a user would give an item, and top-k
    CLASSIFICATION = "classification"  # the probability that a row is of class 1

    @property
    def is_tabular(self) -> bool:
        return self is TaskKind.CLASSIFICATION


class Window(Contract):
    """Days from `start` to before `end`, both in UTC. Always from the run, never from the clock."""

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


class DatasetRef(Contract):
    """One immutable snapshot of a data set. `version` names it, `digest` proves its rows."""

    use_case: Name
    layer: Name
    partition: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")
    version: str = Field(pattern=r"^[0-9a-f]{16}$")
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    rows: dict[str, int] = Field(description="rows of each table")

    @property
    def key(self) -> str:
        return f"{self.use_case}/{self.layer}/{self.partition}/{self.version}"


class Reign(Contract):
    """That a version became the current one of its partition."""

    version: str = Field(pattern=r"^[0-9a-f]{16}$")
    since: datetime | None = Field(None, description="None where an old installation did not note it")
    run: str = Field("", description="what published it")


class Severity(StrEnum):
    ROW = "row"  # the row goes to quarantine
    BATCH = "batch"  # the run stops
    WARN = "warn"  # told, nothing more


class RuleResult(Contract):
    """What one expectation found."""

    rule: str
    expectation: str
    severity: Severity
    passed: bool
    broken_rows: int = Field(ge=0)
    rows: int = Field(ge=0)
    observed: str = ""
    reason: str


class ValidationReport(Contract):
    """What a suite found in one raw snapshot. `rows_in == rows_validated + rows_quarantined`, always."""

    suite: str
    dataset: DatasetRef
    rows_in: int
    rows_validated: int
    rows_quarantined: int
    tolerance: float
    passed: bool
    rules: tuple[RuleResult, ...]

    @property
    def broken(self) -> tuple[RuleResult, ...]:
        return tuple(rule for rule in self.rules if not rule.passed)


class Validated(Contract):
    """The outcome of the validation room."""

    validated: DatasetRef
    quarantine: DatasetRef | None
    report: ValidationReport


class Split(Contract):
    """Three consecutive label windows; features of each are as of the day before its window starts.

    `as_of` is the day up to which data may be known. For interactions with `h` holdout days the label windows are
    [as_of-3h, as_of-2h) for train, [as_of-2h, as_of-h) for validation and [as_of-h, as_of) for holdout.
    """

    as_of: date
    train: DatasetRef
    validation: DatasetRef
    holdout: DatasetRef
    earlier: tuple[DatasetRef, ...] = Field(
        (), description="the windows before train's, newest first, where tuning asks for them"
    )

    @property
    def before_holdout(self) -> tuple[DatasetRef, ...]:
        """All windows but the holdout, in the order of time: what tuning is given."""
        return (*reversed(self.earlier), self.train, self.validation)

    @property
    def digest(self) -> str:
        """One digest of all rows that a model saw: the `data_digest` of its version."""
        digests = (self.train.digest, self.validation.digest, self.holdout.digest)
        return hashlib.sha256("\n".join(digests).encode()).hexdigest()


class ServingTerms(Contract):
    """How a model is to be asked; travels inside the exported model, so that every caller asks alike."""

    use_case: Name
    task: TaskKind
    k: int = Field(10, ge=1)
    exclude_seen: bool = False
    row_columns: tuple[str, ...] = Field((), description="feature columns, in order, of a tabular model")
    text_columns: tuple[str, ...] = Field((), description="of them those that hold text; the others hold numbers")


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
    fit_seconds: float
    settings: dict[str, Any] = Field({}, description="of its kind, as they were fitted: the YAML's, or those that tuning chose")
    start: Start | None = Field(None, description="what it learned from; None where the use case does not let it begin warm")


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
    """Would more data help, and does it learn by heart? Points by ascending share; the last one is the candidate itself."""

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
    def learns_by_heart(self) -> bool:
        """The flag of overfitting: the gap is more than a tenth of what it reaches on the validation window."""
        return self.gap is not None and self.gap > 0.1 * abs(self.points[-1].validation)


class Evaluation(Contract):
    """One model, re-scored on one holdout. `units` holds one row per user (or row, for tabular) with each metric's part."""

    subject: str = Field(description="who was scored: challenger, champion or baseline")
    name: str
    model_uri: str
    holdout: DatasetRef
    metrics: dict[str, float]
    units: DatasetRef


class Outcome(StrEnum):
    BETTER = "better"
    NOT_WORSE = "not_worse"
    WORSE = "worse"
    INCONCLUSIVE = "inconclusive"


class Comparison(Contract):
    """A paired difference, challenger minus champion, signed so that positive is better.

    `detectable` and `power` say how much the holdout could have told: a comparison without power proves nothing.
    """

    metric: str
    challenger: float
    champion: float
    difference: float
    low: float
    high: float
    confidence: float
    units: int
    resamples: int
    outcome: Outcome
    slice: str = Field("", description="of whom, such as new_users or segment=France; empty for everybody")
    detectable: float | None = Field(None, description="true difference that would be called better in 4 of 5 such holdouts")
    effect: float | None = Field(None, description="the smallest difference that matters, where somebody stated one")
    power: float | None = Field(None, description="chance that a true difference of `effect` is called better")
    p_worse: float | None = Field(None, description="chance of such a loss if it were within the margin; Holm-corrected")
    p_better: float | None = Field(None, description="chance of such a gain if there were none; Holm-corrected")
    family: int = Field(1, ge=1, description="how many comparisons were corrected for together")


class GateMode(StrEnum):
    DISABLED = "disabled"
    DRY_RUN = "dry_run"
    ENABLED = "enabled"


class GateResult(Contract):
    gate: Name
    mode: GateMode
    passed: bool
    reason: str
    figures: dict[str, float] = {}
    comparisons: tuple[Comparison, ...] = Field((), description="what it judged one by one, such as slices")


class Verdict(Contract):
    """What the gates said of the chosen candidate. `passed` is True only if no enabled gate refused."""

    use_case: Name
    candidate: Candidate
    champion_version: int | None
    evaluations: tuple[Evaluation, ...]
    comparisons: tuple[Comparison, ...]
    gates: tuple[GateResult, ...]
    passed: bool
    outcome: Outcome | None = Field(description="against the champion; None where there is none")

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it was refused; empty when it passed."""
        return tuple(f"{g.gate}: {g.reason}" for g in self.gates if not g.passed and g.mode is GateMode.ENABLED)


class ModelVersion(Contract):
    """One version in the MLflow registry."""

    use_case: Name
    version: int = Field(ge=1)
    run_id: str
    model_uri: str
    kind: Name
    manifest_digest: str
    data_digest: str
    report_digest: str
    code_version: str
    passed: bool
    as_of: date = Field(description="the split's day: what the model could know lies before it")


class Trust(StrEnum):
    """How it is known that a word is its speaker's."""

    POLICY = "policy"  # nobody's word: the use case says review: {by: auto}, or the bake period gave the title back
    AIRFLOW = "airflow"  # signed in to Airflow
    SIGNED = "signed"  # a code that the reviewer's own key signed
    LOCAL = "local"  # somebody with a shell on this installation
    ON_TRUST = "on_trust"  # a name that anybody could have written; accepted on loopback only


class Approval(Contract):
    """A reviewer's yes to one version as its report shows it. Counts for nothing else, and not after `expires_at`."""

    use_case: Name
    version: int = Field(ge=1)
    report_digest: str = Field(description="of the verdict that the reviewer saw")
    actor: str = Field(description="who says yes")
    reason: str = Field(description="why; an override cannot do without")
    trust: Trust
    is_override: bool = Field(False, description="promote although a gate refused")
    expires_at: datetime | None = Field(None, description="None: a yes that policy gives anew each time")


class Decision(StrEnum):
    APPROVED = "approved"
    REJECTED = "rejected"


class Rejection(Contract):
    """A reviewer's no to one version as its report shows it."""

    use_case: Name
    version: int = Field(ge=1)
    report_digest: str
    actor: str
    reason: str
    trust: Trust


class Door(StrEnum):
    """Where a reviewer's word came in."""

    MLFLOW = "mlflow"  # a tag on the model version
    PAGE = "airflow_page"  # Airflow's Required Actions
    FORM = "airflow_form"  # the promotion DAG, triggered by hand


class ReviewRecord(Contract):
    """One word on a version, also one that did not count. Kept beside the ledger, append-only."""

    use_case: Name
    version: int
    report_digest: str
    said: str = Field(description="approved, rejected, or what came instead, cut to 100 characters")
    actor: str = Field(description="who, or who is said to be")
    trust: Trust | None = Field(description="None for a word that did not count")
    reason: str
    door: Door
    dag_run: str
    at: datetime
    why_not: str = Field("", description="empty for a word that counted")

    @property
    def counted(self) -> bool:
        return not self.why_not


class Action(StrEnum):
    PROMOTE = "promote"
    ROLLBACK = "rollback"


class LedgerEntry(Contract):
    """One line of the ledger: who became champion, when, by whose word, and why."""

    sequence: int = Field(ge=1, description="consecutive within a use case")
    use_case: Name
    action: Action
    version: int
    previous_version: int | None
    manifest_digest: str
    data_digest: str
    report_digest: str
    code_version: str
    actor: str
    trust: Trust
    is_override: bool = Field(False, description="promoted although a gate refused")
    reason: str
    dag_run: str
    at: datetime
    entry_digest: str
    previous_digest: str


class Signal(StrEnum):
    """What a violated check says about the window, and therefore what is to be done."""

    FAULT = "fault"  # the data are broken: stop, tell a person, never train on them
    DRIFT = "drift"  # inputs or predictions moved: retrain
    LABEL_SHIFT = "label_shift"  # what is to be predicted moved: retrain, and tell a person
    QUALITY = "quality"  # matured labels say that the champion got worse: retrain


class CheckResult(Contract):
    """One check on one column or figure."""

    check: Name
    column: str
    method: str
    value: float
    threshold: float
    violated: bool
    signal: Signal = Signal.DRIFT
    note: str = Field("", description="why it was not judged (too few rows); empty when it was")


class DriftReport(Contract):
    """What monitoring saw in one window. `violated` if any check was."""

    use_case: Name
    window: Window
    reference: str
    current_rows: int
    reference_rows: int
    checks: tuple[CheckResult, ...]
    violated: bool
    report_uri: str = Field(description="address of the HTML report, empty if none was made")
    run_id: str
    evidence: str = Field("", description="digest of all that was looked at; another one means that the data were repaired")
    new_labels: int | None = Field(None, description="labels that came after what the champion has learned; None: not counted")
    figures: dict[str, float] = Field({}, description="what was measured and is not judged by a threshold")

    @property
    def signals(self) -> tuple[Signal, ...]:
        """What the violated checks say, each once."""
        said = {check.signal for check in self.checks if check.violated}
        return tuple(signal for signal in Signal if signal in said)


class Cause(StrEnum):
    """Why a retraining was asked for."""

    NO_CHAMPION = "no_champion"
    DRIFT = "drift"
    LABEL_SHIFT = "label_shift"
    QUALITY = "quality"
    SCHEDULE = "schedule"
    NEW_LABELS = "new_labels"
    BY_HAND = "by_hand"  # a person asked
    ALERT = "alert"  # an alert that is labelled to retrain
    FAULT = "fault"  # nothing was asked for: the window's data are broken
    NONE = "none"


class Ask(Contract):
    """A word from outside: a person or an alert asks for a retraining. The same `key` is the same word."""

    cause: Literal[Cause.BY_HAND, Cause.ALERT]
    by: str = Field(min_length=1, max_length=200)
    reason: str = Field(max_length=1000)
    key: str = Field(min_length=1, max_length=100)


class RetrainDecision(Contract):
    """Retrain or not, and because of what. Recorded also when the answer is no."""

    use_case: Name
    window: Window
    retrain: bool
    cause: Cause
    reason: str
    violated: bool = Field(False, description="whether this window itself was violated")
    signals: tuple[Signal, ...] = Field((), description="what this window's violated checks say; later decisions count them")
    alert: bool = Field(False, description="whether a person is to be told")
    violations: int
    considered_windows: int
    idempotency_key: str
    report_uri: str = ""


class RetrainRequest(Contract):
    """What became of a yes: who took it, and what came of it."""

    idempotency_key: str
    as_of: date = Field(description="the end of the window that asked")
    taken_by: str = Field("", description="the training run that answers it; empty: nobody yet")
    version: int | None = Field(None, description="the version that was registered; None: none yet")
    passed: bool | None = Field(None, description="whether the version passed its gates")


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

"""Data sets: snapshot references, validation reports and splits."""

from __future__ import annotations

import hashlib
from datetime import date, datetime
from enum import StrEnum

from pydantic import Field

from tasks.contracts.base import Contract, Name


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


class CurrentVersion(Contract):
    """That a version became the current one of its partition."""

    version: str = Field(pattern=r"^[0-9a-f]{16}$")
    since: datetime | None = Field(None, description="None where an old installation did not note it")
    run: str = Field("", description="what published it")


class Severity(StrEnum):
    ROW = "row"  # the row goes to quarantine
    BATCH = "batch"  # the run stops
    WARN = "warn"  # reported only


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
    """The outcome of the validation stage."""

    validated: DatasetRef
    quarantine: DatasetRef | None
    report: ValidationReport


class Split(Contract):
    """Three consecutive label windows; features of each are as of the day before its window starts.

    `as_of` is the day up to which data may be known. For interactions with `t`, `v` and `h` days the label windows are
    [as_of-h-v-t, as_of-h-v) for train, [as_of-h-v, as_of-h) for validation and [as_of-h, as_of) for holdout.
    """

    as_of: date
    train: DatasetRef
    validation: DatasetRef
    holdout: DatasetRef
    earlier: tuple[DatasetRef, ...] = Field(
        (), description="the windows before train's, newest first, where tuning or a rolling split asks for them"
    )
    tests: dict[Name, DatasetRef] = Field({}, description="test sets by name: rows that are in no other part")

    @property
    def before_holdout(self) -> tuple[DatasetRef, ...]:
        """All windows but the holdout, in the order of time: what tuning is given."""
        return (*reversed(self.earlier), self.train, self.validation)

    @property
    def digest(self) -> str:
        """One digest of all rows that a model saw: the `data_digest` of its version."""
        digests = (self.train.digest, self.validation.digest, self.holdout.digest)
        return hashlib.sha256("\n".join(digests).encode()).hexdigest()

"""Promotion: registered versions, approvals, review records and ledger entries."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum

from pydantic import Field

from tasks.contracts.base import Contract, Name


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
    judged_uri: str = Field("", description="the model that was judged, where another fit of it serves")
    judged_digest: str = Field("", description="sha256 of the manifest of that model")

    @property
    def judged(self) -> tuple[str, str]:
        """Address and manifest digest of the model that was judged: what later challengers are compared with.

        It did not learn from the newest data, as no challenger did that is compared with it.
        """
        return (self.judged_uri, self.judged_digest) if self.judged_digest else (self.model_uri, self.manifest_digest)


class LostVersion(Contract):
    """A version that the ledger names as champion and that the registry no longer has, and why."""

    use_case: Name
    version: int = Field(ge=1)
    reason: str


class Trust(StrEnum):
    """How it is known that a word is its speaker's."""

    POLICY = "policy"  # no person: the use case says review: {by: auto}, or the bake period rolled back
    AIRFLOW = "airflow"  # signed in to Airflow
    SIGNED = "signed"  # a code that the reviewer's own key signed
    LOCAL = "local"  # a user with a shell on this installation
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


class ReviewChannel(StrEnum):
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
    channel: ReviewChannel
    dag_run: str
    at: datetime
    why_not: str = Field("", description="empty for a word that counted")

    @property
    def counted(self) -> bool:
        return not self.why_not


class OpenReview(Contract):
    """A review that waits for a decision. Travels to Airflow's triggerer and survives its restarts."""

    version: ModelVersion
    champion_version: int | None
    dag_run: str
    opened_at: datetime
    expires_at: datetime
    early: str = Field("", description="the tag `review` from before the opening: it cannot be a decision on this report")

    @property
    def mark(self) -> str:
        """The beginning of the report's digest, by which a plain tag can name it."""
        return self.version.report_digest[:12]


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
    judged_digest: str | None = Field(None, description="manifest digest of the model that was judged, where a refit serves")
    entry_digest: str
    previous_digest: str

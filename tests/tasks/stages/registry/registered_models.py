"""A harness for tests of the registry: it logs, registers and promotes real models with given verdicts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.contracts.data import DatasetRef
from tasks.contracts.judging import Evaluation, GateMode, GateResult, Outcome, Verdict
from tasks.contracts.promotion import Approval, LedgerEntry, Trust
from tasks.contracts.training import Candidate
from tasks.io import tracking
from tasks.io.ledger import Ledger
from tasks.io.storage import Storage
from tasks.jobs.training import register_verdict
from tasks.stages.registry import promote, rollback, version_of
from tests.tasks import synthetic_classification

SHOP = "shop"


def unrehearsed(_use_case: str, _version: int, _digest: str) -> None:
    """Replaces the rehearsal, which takes a process and more than a second, in tests of something else."""


@dataclass
class RegistryHarness:
    """Makes verdicts on newly logged models, registers and promotes their versions."""

    storage: Storage
    work: Path
    ledger: Ledger
    examples: DatasetRef
    candidates: list[Candidate] = field(default_factory=list)

    def log(self) -> Candidate:
        name = f"model_{len(self.candidates)}"
        model = synthetic_classification.skilled(0.5, seed=len(self.candidates))
        self.candidates.append(synthetic_classification.log_candidate(SHOP, name, model, self.examples, self.work))
        return self.candidates[-1]

    def verdict(
        self,
        passed: bool = True,
        against: int | None = None,
        candidate: Candidate | None = None,
        ndcg: float = 0.5,
        reason: str = "as the test sets it",
    ) -> Verdict:
        candidate = candidate or self.log()
        evaluation = Evaluation(
            subject="challenger",
            name=candidate.name,
            model_uri=candidate.model_uri,
            holdout=self.examples,
            metrics={"ndcg_at_3": ndcg},
            units=self.examples,
        )
        gate = GateResult(gate="beats_champion", mode=GateMode.ENABLED, passed=passed, reason=reason)
        return Verdict(
            use_case=SHOP,
            candidate=candidate,
            champion_version=against,
            evaluations=(evaluation,),
            comparisons=(),
            gates=(gate,),
            passed=passed,
            outcome=None if against is None else Outcome.BETTER if passed else Outcome.WORSE,
        )

    def register(self, **settings: Any) -> int:
        return register_verdict(self.verdict(**settings), self.storage).version

    def promote(self, version: int, dag_run: str = "run") -> LedgerEntry:
        return promote(self.approval(version), dag_run, self.ledger, rehearsal=unrehearsed)

    def approval(self, version: int, **changes: Any) -> Approval:
        """Ada's approval of a version, with the digest of its report if it is registered."""
        is_registered = version in tracking.versions(SHOP)
        fields = {
            "use_case": SHOP,
            "version": version,
            "actor": "ada",
            "reason": "it is better",
            "trust": Trust.LOCAL,
            "report_digest": version_of(SHOP, version).report_digest if is_registered else "0" * 64,
        }
        return Approval.model_validate(fields | changes)

    def promote_champions(self, length: int) -> list[int]:
        """Register and promote `length` versions, each judged against the one before."""
        versions: list[int] = []
        for _ in range(length):
            versions.append(self.register(against=versions[-1] if versions else None))
            self.promote(versions[-1], f"promotion-{len(versions)}")
        return versions

    def rollback(self, dag_run: str = "undo", to: int | None = None) -> LedgerEntry:
        return rollback(SHOP, "ada", "it is worse", dag_run, self.ledger, to_version=to, rehearsal=unrehearsed)

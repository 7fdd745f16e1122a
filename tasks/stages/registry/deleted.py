"""What a person deleted in MLflow, and the pipeline needs: it is restored, or reported where MLflow cannot restore it."""

from __future__ import annotations

import logging

from tasks.contracts.judging import Role
from tasks.io import tracking
from tasks.io.ledger import Ledger

_log = logging.getLogger(__name__)


def restore_deleted(use_case: str, ledger: Ledger, restore: bool) -> list[str]:
    """Find the deleted experiment, deleted runs of registered versions, and versions of the ledger's head that are gone.

    MLflow keeps deleted experiments and runs until its garbage collection, and deletes versions at once. Returns one line
    each, which the log shows too.

    Parameters
    ----------
    restore : whether what MLflow still has is restored. Without it everything is only reported.
    """
    done = "restored" if restore else "left, because the use case says restore_deleted: false"
    lines = []
    if tracking.experiment_is_deleted(use_case):
        lines.append(f"MLflow's experiment of {use_case} was deleted: {done}")
        if restore:
            tracking.restore_experiment(use_case)
    for run_id, version in tracking.deleted_runs_of_versions(use_case).items():
        lines.append(f"MLflow's run {run_id} of version {version} of {use_case} was deleted: {done}")
        if restore:
            tracking.restore_run(run_id)
    head, there = ledger.head(use_case), tracking.versions(use_case)
    named: dict[str, int | None] = {}
    if head:
        named = {Role.CHAMPION.value: head.version, "champion before": head.previous_version}
    for role, number in named.items():
        if number is not None and number not in there:
            lines.append(
                f"version {number} of {use_case}, the {role} by the ledger, was deleted from MLflow's registry, which cannot "
                "restore it: the endpoint answers with what it has loaded. Restore MLflow's database from its backup, or "
                f"promote another version: `titleholder promote {use_case} <version>`"
            )
    for line in lines:
        _log.warning(line)
    return lines

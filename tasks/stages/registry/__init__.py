"""Registry: register a judged model, promote it, roll it back. The ledger decides, and the aliases follow it.

A version is one verdict on one model: judged again against another champion, the same model gets another version. The
verdict is `verdict.json` of its run, whose sha256 the version and the ledger carry.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.contracts.judging import GateMode, Role, Verdict
from tasks.contracts.promotion import ModelVersion
from tasks.errors import SnapshotError
from tasks.guards import guard
from tasks.io import tracking
from tasks.io.storage import Storage
from tasks.stages.registry.aliases import compare_aliases, follow_ledger, reconcile_aliases
from tasks.stages.registry.anchor import anchor_of
from tasks.stages.registry.bake import BakeJudgement, BakePolicy, watch_bake
from tasks.stages.registry.deleted import restore_deleted
from tasks.stages.registry.interrupted import close_interrupted_runs
from tasks.stages.registry.promotion import needs_person, promote, rollback
from tasks.stages.registry.rehearsal import rehearse
from tasks.stages.registry.versions import CARD, card_page, champion_of, read_verdict, verdict_folder, version_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NO_CHAMPION = "none"  # the tag judged_against of a version that was judged when there was no champion


@dataclass(frozen=True)
class VerdictReport:
    """A verdict for people: what `register` stores beside `verdict.json`."""

    markdown: str
    card: str  # the model card, a page of HTML
    comparisons: Figure | None  # the intervals against the champion; None where nothing was compared


WriteReport = Callable[[Verdict, str], VerdictReport]


@guard(SnapshotError)
def register(verdict: Verdict, storage: Storage, write_report: WriteReport) -> ModelVersion:
    """Make a judged candidate a version, refused ones too, with the reasons on it; alias `challenger` only if it passed.

    Registering again changes nothing, also where the gates measured a few milliseconds more or less: a run is keyed by
    use case, window, code, data and candidate, and a version by one run, one champion and one set of predictions. A
    candidate that is the champion itself (bit for bit) gets no second version: the champion's is returned, with `passed` as
    judged now.

    Parameters
    ----------
    write_report : makes the report of a verdict for the folder of its artifacts; called only for a new version.

    Raises
    ------
    SnapshotError : an evaluation that the verdict rests on is no longer what it was.
    """
    use_case, candidate = verdict.use_case, verdict.candidate
    for evaluation in verdict.evaluations:
        storage.verify(evaluation.units)
    if verdict.champion_version is not None and not verdict.lost_champion:
        champion = version_of(use_case, verdict.champion_version)
        if champion.judged[1] == candidate.manifest_digest:
            return champion.model_copy(update={"passed": verdict.passed})
    judging = _judging(verdict)
    found = tracking.find_version(use_case, candidate.run_id, judging)
    version = _log_and_register(verdict, judging, write_report) if found is None else found
    named = tracking.aliases(use_case)
    in_time = found is None or (named.get(Role.CHAMPION) == verdict.champion_version and version not in named.values())
    if verdict.passed and in_time:
        tracking.set_alias(use_case, Role.CHALLENGER, version)
    return version_of(use_case, version)


def _judging(verdict: Verdict) -> str:
    """The digest of what makes two judgings the same: who was judged against whom, on what, and which gates let it pass."""
    said = [
        verdict.candidate.model_uri,
        verdict.candidate.manifest_digest,
        verdict.champion_version,
        [(one.subject, one.model_uri, one.units.digest, one.metrics) for one in verdict.evaluations],
        [(gate.gate, gate.mode.value, gate.passed) for gate in verdict.gates],
        verdict.passed,
    ]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _log_and_register(verdict: Verdict, judging: str, write_report: WriteReport) -> int:
    """Artifacts first, the version last: a version that is there is complete. Of two made at once the first one counts."""
    text = json.dumps(verdict.to_json(), indent=1, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    candidate, folder = verdict.candidate, verdict_folder(digest)
    report = write_report(verdict, folder)
    with tracking.reopen_run(candidate.run_id) as run:
        run.log_text(text, f"{folder}/verdict.json")
        run.log_text(report.markdown, f"{folder}/report.md")
        run.log_text(report.card, f"{folder}/{CARD}")
        if report.comparisons is not None:
            run.log_figure(report.comparisons, f"{folder}/comparisons.png")
        run.log_metrics({f"holdout_{name}": value for name, value in verdict.evaluations[0].metrics.items()})
        for one in verdict.test_sets:
            measured = one.values[Role.CHALLENGER]
            run.log_metrics({f"test_{one.name}_{metric}": value for metric, value in measured.items()})
    tags = {**_tags(verdict, digest), "judging": judging, "card_digest": hashlib.sha256(report.card.encode()).hexdigest()}
    page = tracking.artifact_page(candidate.run_id, verdict.use_case, f"{folder}/{CARD}")
    description = f"[Model card]({page})\n\n{report.markdown}"
    made = tracking.register_version(verdict.use_case, verdict.served_uri, candidate.run_id, tags, description[:5000])
    return tracking.find_version(verdict.use_case, candidate.run_id, judging) or made


def _tags(verdict: Verdict, report_digest: str) -> dict[str, str]:
    candidate = verdict.candidate
    is_refitted = verdict.served_digest != candidate.manifest_digest
    modes = sorted({result.mode.value for result in verdict.gates if result.mode is not GateMode.ENABLED})
    data = [ref.digest for ref in (candidate.split.train, candidate.split.validation, candidate.split.holdout)]
    return {
        "passed": str(verdict.passed).lower(),
        "verdict": verdict.outcome.value if verdict.outcome else "champion_unscored" if verdict.lost_champion else "first",
        "reasons": "; ".join(verdict.reasons)[:5000],
        "gates_not_enabled": ", ".join(modes) or "none",
        "judged_against": str(verdict.champion_version) if verdict.champion_version is not None else NO_CHAMPION,
        "candidate": candidate.name,
        "kind": candidate.kind,
        "run_id": candidate.run_id,
        "manifest_digest": verdict.served_digest,
        **({"judged_uri": candidate.model_uri, "judged_digest": candidate.manifest_digest} if is_refitted else {}),
        "data_digest": hashlib.sha256("\n".join(data).encode()).hexdigest(),
        "report_digest": report_digest,
        "code_version": candidate.code_version,
        "as_of": candidate.split.as_of.isoformat(),
    }


__all__ = [
    "BakeJudgement",
    "BakePolicy",
    "VerdictReport",
    "anchor_of",
    "card_page",
    "champion_of",
    "close_interrupted_runs",
    "compare_aliases",
    "follow_ledger",
    "needs_person",
    "promote",
    "read_verdict",
    "reconcile_aliases",
    "register",
    "rehearse",
    "restore_deleted",
    "rollback",
    "version_of",
    "watch_bake",
]

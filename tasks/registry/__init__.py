"""The room of titles: register a judged model, promote it, give the title back. The ledger decides, aliases follow it.

A version is one judging of one model: judged again against another champion, the same model gets another version. What it
was told stands in `verdict.json` of its run, whose sha256 the version and the ledger carry.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from tasks import tracking
from tasks.contracts import Action, Approval, GateMode, LedgerEntry, ModelVersion, Trust, Verdict
from tasks.errors import ModelError, PromotionRefused
from tasks.ledger import Ledger
from tasks.registry.card import read_training, write_card
from tasks.registry.report import draw_comparisons, write_report
from tasks.storage import Storage
from tasks.tracking import CHALLENGER, CHAMPION, PREVIOUS_CHAMPION

CARD = "model-card.html"
NOBODY = "none"  # the tag judged_against of a version that was judged when there was no champion


def register(verdict: Verdict, storage: Storage) -> ModelVersion:
    """Make a judged candidate a version, refused ones too, with the reasons on it; alias `challenger` only if it passed.

    Saying it again changes nothing. A candidate that is the champion itself (bit for bit) gets no second version: the
    champion's comes back, with `passed` as judged now.

    Raises
    ------
    SnapshotError : an evaluation that the verdict rests on is no longer what it was.
    """
    use_case, candidate = verdict.use_case, verdict.candidate
    for evaluation in verdict.evaluations:
        storage.verify(evaluation.units)
    if verdict.champion_version is not None:
        champion = version_of(use_case, verdict.champion_version)
        if champion.manifest_digest == candidate.manifest_digest:
            return champion.model_copy(update={"passed": verdict.passed})
    text = json.dumps(verdict.to_json(), indent=1, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    found = tracking.find_version(use_case, candidate.run_id, candidate.model_uri, digest)
    version = _log_and_register(verdict, storage, text, digest) if found is None else found
    named = tracking.aliases(use_case)
    in_time = found is None or (named.get(CHAMPION) == verdict.champion_version and version not in named.values())
    if verdict.passed and in_time:
        tracking.set_alias(use_case, CHALLENGER, version)
    return version_of(use_case, version)


def _log_and_register(verdict: Verdict, storage: Storage, text: str, digest: str) -> int:
    """Artifacts first, the version last: a version that is there is complete."""
    candidate, folder, report = verdict.candidate, _folder(digest), write_report(verdict)
    card = write_card(verdict, read_training(verdict), folder, storage)
    with tracking.reopen_run(candidate.run_id) as run:
        run.log_text(text, f"{folder}/verdict.json")
        run.log_text(report, f"{folder}/report.md")
        run.log_text(card, f"{folder}/{CARD}")
        if verdict.comparisons:
            run.log_figure(draw_comparisons(verdict), f"{folder}/comparisons.png")
        run.log_metrics({f"holdout_{name}": value for name, value in verdict.evaluations[0].metrics.items()})
    tags = {**_tags(verdict, digest), "card_digest": hashlib.sha256(card.encode()).hexdigest()}
    page = tracking.artifact_page(candidate.run_id, verdict.use_case, f"{folder}/{CARD}")
    description = f"[Model card]({page})\n\n{report}"
    return tracking.register_version(verdict.use_case, candidate.model_uri, candidate.run_id, tags, description[:5000])


def version_of(use_case: str, version: int) -> ModelVersion:
    """A version, from its tags.

    Raises
    ------
    ModelError : there is no such version, or it was not registered by `register`.
    """
    there = tracking.versions(use_case)
    if version not in there:
        raise ModelError(f"{use_case}: there is no version {version}; there are: {', '.join(map(str, there)) or 'none'}")
    tags = tracking.version_tags(use_case, version)
    fields = ("run_id", "model_uri", "kind", "manifest_digest", "data_digest", "report_digest", "code_version", "as_of")
    missing = [name for name in (*fields, "passed") if name not in tags]
    if missing:
        raise ModelError(
            f"{use_case} version {version}: tags {', '.join(missing)} are missing, so it was not registered by the training "
            "DAG; train again"
        )
    return ModelVersion.model_validate(
        {"use_case": use_case, "version": version, "passed": tags["passed"] == "true", **{name: tags[name] for name in fields}}
    )


def read_verdict(use_case: str, version: int) -> Verdict:
    """What the gates said of a version, proved by the digest that the version carries.

    Raises
    ------
    ModelError : the verdict is missing, or was altered.
    """
    known = version_of(use_case, version)
    text = tracking.read_run_text(known.run_id, f"{_folder(known.report_digest)}/verdict.json")
    verdict = Verdict.from_json(json.loads(text))
    told, held = (verdict.candidate.manifest_digest, verdict.passed), (known.manifest_digest, known.passed)
    if hashlib.sha256(text.encode()).hexdigest() != known.report_digest or told != held:
        raise ModelError(
            f"{use_case} version {version}: its verdict is not the one that its tags name, so one of them was altered by hand; "
            "train again"
        )
    return verdict


def card_page(version: ModelVersion) -> str:
    """The address of a version's model card in the MLflow UI."""
    return tracking.artifact_page(version.run_id, version.use_case, f"{_folder(version.report_digest)}/{CARD}")


def champion_of(use_case: str, ledger: Ledger) -> ModelVersion | None:
    """The champion by the ledger's head, never by the alias; None before the first.

    Raises
    ------
    ModelError : the version now names another model than the one that the ledger crowned.
    """
    head = ledger.head(use_case)
    if head is None:
        return None
    champion = version_of(use_case, head.version)
    if champion.manifest_digest != head.manifest_digest:
        raise ModelError(
            f"{use_case} version {head.version}: its tag manifest_digest was altered; the ledger crowned "
            f"{head.manifest_digest[:12]}..., the tag says {champion.manifest_digest[:12]}...: set the tag back, or roll back"
        )
    return champion


def promote(approval: Approval, dag_run: str, ledger: Ledger, now: datetime | None = None) -> LedgerEntry:
    """Make a version the champion: one ledger entry, then the aliases. Of racing promotions exactly one gets through.

    Promoting the present champion changes nothing and gives the head.

    Raises
    ------
    PromotionRefused : the version did not pass (and nobody overrides that), was judged against another champion than the
        present one, held the title before (that is what `rollback` is for), or lost the race; or the approval names another
        report, has expired, or nobody signs.
    ModelError : there is no such version, or its verdict was altered.
    """
    use_case, version = approval.use_case, approval.version
    _demand_signature(use_case, approval.actor, approval.reason)
    head = ledger.head(use_case)
    if head is not None and head.version == version:
        follow_ledger(use_case, ledger)
        return head
    held = [entry.sequence for entry in ledger.entries(use_case) if entry.version == version]
    if held:
        raise PromotionRefused(
            f"{use_case}: version {version} held the title before (entry {held[-1]}) and lost it; to bring it back trigger "
            f"{use_case}.rollback with to_version {version}"
        )
    wanted = version_of(use_case, version)
    verdict = read_verdict(use_case, version)
    _demand_approved(approval, wanted, now or datetime.now(UTC))
    if not verdict.passed and not approval.is_override:
        raise PromotionRefused(f"{use_case}: version {version} did not pass: {'; '.join(verdict.reasons)}")
    if verdict.champion_version != (head.version if head else None):
        raise PromotionRefused(
            f"{use_case}: version {version} was judged against {_name(verdict.champion_version)}, but the champion is "
            f"{_name(head.version if head else None)}: trigger {use_case}.training to judge against that one"
        )
    entry = ledger.append(
        use_case=use_case, action=Action.PROMOTE, version=version, expected_head=head, actor=approval.actor,
        trust=approval.trust, is_override=approval.is_override and not verdict.passed, reason=approval.reason, dag_run=dag_run,
        **_digests(wanted),
    )  # fmt: skip
    follow_ledger(use_case, ledger)
    return entry


def rollback(
    use_case: str,
    actor: str,
    reason: str,
    dag_run: str,
    ledger: Ledger,
    to_version: int | None = None,
    trust: Trust = Trust.ON_TRUST,
) -> LedgerEntry:
    """Give the title back to the champion before, or to any version that held it. A new entry; nothing is erased.

    The same `dag_run` again gives the entry that it made.

    Raises
    ------
    PromotionRefused : there is nobody to go back to, `to_version` never was champion or is it now, the champion changed
        since this `dag_run` rolled back, or it lost a race; or nobody signs.
    """
    _demand_signature(use_case, actor, reason)
    entries = ledger.entries(use_case)
    head = entries[-1] if entries else None
    done = [entry for entry in entries if entry.dag_run == dag_run and entry.action is Action.ROLLBACK]
    if done and head == done[-1]:
        follow_ledger(use_case, ledger)
        return done[-1]
    if done:
        raise PromotionRefused(
            f"{use_case}: this run rolled back before (entry {done[-1].sequence}), and the champion changed since"
        )
    target = to_version if to_version is not None else (head.previous_version if head else None)
    if head is None or target is None:
        raise PromotionRefused(f"{use_case}: {_name(head.version if head else None)} has no predecessor to go back to")
    held = {entry.version: entry for entry in entries}
    if target not in held or target == head.version:
        former = ", ".join(str(one) for one in sorted(held) if one != head.version) or "none"
        why = "is the champion already" if target == head.version else "never was champion"
        raise PromotionRefused(f"{use_case}: version {target} {why}; it can go back to: {former}")
    entry = ledger.append(
        use_case=use_case, action=Action.ROLLBACK, version=target, expected_head=head, actor=actor, trust=trust,
        reason=reason, dag_run=dag_run, **_digests(held[target]),
    )  # fmt: skip
    follow_ledger(use_case, ledger)
    return entry


def follow_ledger(use_case: str, ledger: Ledger) -> list[str]:
    """Make the aliases say what the ledger says; what had to be changed comes back, one line each."""
    head = ledger.head(use_case)
    found = tracking.aliases(use_case)
    wanted = {CHAMPION: head.version if head else None, PREVIOUS_CHAMPION: head.previous_version if head else None}
    if found.get(CHALLENGER) in [version for version in wanted.values() if version is not None]:
        wanted[CHALLENGER] = None
    changed = []
    for alias, version in wanted.items():
        if found.get(alias) != version:
            tracking.set_alias(use_case, alias, version)
            changed.append(f"alias {alias} of {use_case}: from {_name(found.get(alias))} to {_name(version)}")
    return changed


def _folder(report_digest: str) -> str:
    return f"verdict-{report_digest[:12]}"


def _tags(verdict: Verdict, report_digest: str) -> dict[str, str]:
    candidate = verdict.candidate
    modes = sorted({result.mode.value for result in verdict.gates if result.mode is not GateMode.ENABLED})
    data = [ref.digest for ref in (candidate.split.train, candidate.split.validation, candidate.split.holdout)]
    return {
        "passed": str(verdict.passed).lower(),
        "verdict": verdict.outcome.value if verdict.outcome else "first",
        "reasons": "; ".join(verdict.reasons)[:5000],
        "gates_not_enabled": ", ".join(modes) or "none",
        "judged_against": str(verdict.champion_version) if verdict.champion_version is not None else NOBODY,
        "candidate": candidate.name,
        "kind": candidate.kind,
        "run_id": candidate.run_id,
        "manifest_digest": candidate.manifest_digest,
        "data_digest": hashlib.sha256("\n".join(data).encode()).hexdigest(),
        "report_digest": report_digest,
        "code_version": candidate.code_version,
        "as_of": candidate.split.as_of.isoformat(),
    }


def _digests(of: ModelVersion | LedgerEntry) -> dict[str, Any]:
    names = ("manifest_digest", "data_digest", "report_digest", "code_version")
    return {name: getattr(of, name) for name in names}


def _demand_approved(approval: Approval, wanted: ModelVersion, now: datetime) -> None:
    """A yes counts for the report that the reviewer saw, and until it expires."""
    where = f"{approval.use_case}: version {approval.version}"
    if approval.report_digest != wanted.report_digest:
        raise PromotionRefused(
            f"{where}: the approval is of report {approval.report_digest[:12]}, the version's is {wanted.report_digest[:12]}: "
            "look at that one and approve again"
        )
    if approval.expires_at is not None and now >= approval.expires_at:
        raise PromotionRefused(
            f"{where}: the approval expired at {approval.expires_at.isoformat(timespec='seconds')}: approve again"
        )


def _demand_signature(use_case: str, actor: str, reason: str) -> None:
    if not actor.strip() or not reason.strip() or len(actor) > 200:
        raise PromotionRefused(
            f"{use_case}: the ledger wants a name (at most 200 characters) and a reason; got {actor!r}, {reason!r}"
        )


def _name(version: int | None) -> str:
    return "nobody" if version is None else f"version {version}"


__all__ = ["card_page", "champion_of", "follow_ledger", "promote", "read_verdict", "register", "rollback", "version_of"]

"""Change the champion: `promote` and `rollback` write the ledger first, then the aliases."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tasks import clock
from tasks.contracts.judging import Verdict
from tasks.contracts.promotion import Action, Approval, LedgerEntry, ModelVersion, Trust
from tasks.errors import ModelError, PromotionRefused
from tasks.guards import guard
from tasks.io.ledger import Ledger
from tasks.stages.registry.aliases import follow_ledger
from tasks.stages.registry.rehearsal import Rehearsal, rehearse
from tasks.stages.registry.versions import name_version, read_verdict, version_of


@guard(ModelError, PromotionRefused)
def promote(
    approval: Approval, dag_run: str, ledger: Ledger, now: datetime | None = None, rehearsal: Rehearsal = rehearse
) -> LedgerEntry:
    """Make a version the champion: a rehearsal, one ledger entry, then the aliases. Of racing promotions exactly one wins.

    Promoting the present champion changes nothing and returns the head.

    Parameters
    ----------
    rehearsal : loads the version and requests predictions before anything changes; default: in a fresh process.

    Raises
    ------
    PromotionRefused : the version did not pass (and the approval is no override), was judged against another champion than the
        present one, knows less than the present one (its `as_of` is earlier, which no override changes), was champion
        before (that is what `rollback` is for), failed its rehearsal, or lost the race; or the approval names another
        report, has expired, or has no actor, or is a policy's where a person must decide (see `needs_person`); or the
        ledger was altered, and another entry would make that look right.
    ModelError : there is no such version, or its verdict was altered.
    """
    use_case, version = approval.use_case, approval.version
    _demand_signature(use_case, approval.actor, approval.reason)
    broken = ledger.broken_links(use_case)
    if broken:
        raise PromotionRefused(
            f"{use_case}: the ledger's chain of digests is broken at entries {broken}, so the champion is unknown; "
            "restore the ledger's database from its backup"
        )
    head = ledger.head(use_case)
    if head is not None and head.version == version:
        follow_ledger(use_case, ledger)
        return head
    held = [entry.sequence for entry in ledger.entries(use_case) if entry.version == version]
    if held:
        raise PromotionRefused(
            f"{use_case}: version {version} was champion before (entry {held[-1]}); to bring it back trigger "
            f"{use_case}.rollback with to_version {version}"
        )
    registered = version_of(use_case, version)
    verdict = read_verdict(use_case, version)
    _demand_approved(approval, registered, now or clock.now())
    if not verdict.passed and not approval.is_override:
        raise PromotionRefused(f"{use_case}: version {version} did not pass: {'; '.join(verdict.reasons)}")
    if verdict.champion_version != (head.version if head else None):
        raise PromotionRefused(
            f"{use_case}: version {version} was judged against {name_version(verdict.champion_version)}, but the champion is "
            f"{name_version(head.version if head else None)}: trigger {use_case}.training to judge against that one"
        )
    if (why := needs_person(verdict, head)) and approval.trust is Trust.POLICY:
        raise PromotionRefused(f"{use_case}: version {version} needs the approval of a person, because {why}")
    if head is not None:
        _demand_newer(verdict, head)
    rehearsal(use_case, version, registered.manifest_digest)
    entry = ledger.append(
        use_case=use_case,
        action=Action.PROMOTE,
        version=version,
        expected_head=head,
        actor=approval.actor,
        trust=approval.trust,
        is_override=approval.is_override and not verdict.passed,
        reason=approval.reason,
        dag_run=dag_run,
        **_digests(registered),
    )
    follow_ledger(use_case, ledger)
    return entry


def rollback(  # noqa: PLR0913  # who decides, why, and which version; options by name
    use_case: str,
    actor: str,
    reason: str,
    dag_run: str,
    ledger: Ledger,
    *,
    to_version: int | None = None,
    trust: Trust = Trust.ON_TRUST,
    of_version: int | None = None,
    rehearsal: Rehearsal = rehearse,
) -> LedgerEntry:
    """Make a former champion the champion again: a rehearsal, then a new entry, then the aliases. Nothing is erased.

    Without `to_version` the target is the champion before the present one, leaving out versions
    that were rolled back from or skipped since (see `default_target`): rolling back twice goes back two champions, and never
    to the version that was just withdrawn. The same `dag_run` again gives the entry that it made.

    Parameters
    ----------
    to_version : any former champion, also one that was rolled back from.
    of_version : withdraw this version only: refused if another one is champion by now.
    rehearsal : loads the target and requests predictions before anything changes; default: in a fresh process.

    Raises
    ------
    PromotionRefused : there is no predecessor, `to_version` never was champion or is it now, the champion changed
        since this `dag_run` rolled back, the target failed its rehearsal or its entry was altered, or it lost a race; or
        the actor or the reason is missing.
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
    if of_version is not None and (head is None or head.version != of_version):
        raise PromotionRefused(
            f"{use_case}: expected version {of_version} as the champion, which is "
            f"{name_version(head.version if head else None)}: nothing was changed"
        )
    held = {entry.version: entry for entry in entries}
    former = ", ".join(str(one) for one in sorted(held) if head and one != head.version) or "none"
    target = to_version if to_version is not None else default_target(entries)
    if head is None or target is None:
        raise PromotionRefused(
            f"{use_case}: {name_version(head.version if head else None)} has no predecessor to go back to that was not itself "
            f"rolled back from; name one of: {former}"
        )
    if target not in held or target == head.version:
        why = "is the champion already" if target == head.version else "never was champion"
        raise PromotionRefused(f"{use_case}: version {target} {why}; it can go back to: {former}")
    if held[target].sequence in ledger.broken_links(use_case):
        raise PromotionRefused(
            f"{use_case}: the ledger's entry {held[target].sequence}, which promoted version {target}, was altered; go back to "
            "another version, or restore the ledger's database from its backup"
        )
    rehearsal(use_case, target, held[target].manifest_digest)
    entry = ledger.append(
        use_case=use_case,
        action=Action.ROLLBACK,
        version=target,
        expected_head=head,
        actor=actor,
        trust=trust,
        reason=reason,
        dag_run=dag_run,
        **_digests(held[target]),
    )
    follow_ledger(use_case, ledger)
    return entry


def default_target(entries: Sequence[LedgerEntry]) -> int | None:
    """The target of a rollback without a version: the champion before the present one, by a stack.

    A promotion pushes its version. A rollback pops versions until its target is on top, and pushes it if it was popped
    before. So promotions of 1, 2, 3 and two rollbacks lead to 2 and then to 1, with no target left. After 1, 2, a
    rollback to 1 and a promotion of 3 the next target is 1, never 2. After 1, 2, 3 and a rollback that names 1, version 2
    is no target: the rollback skipped it for a reason.
    """
    stack = reigns(entries)
    return stack[-2] if len(stack) > 1 else None


def reigns(entries: Sequence[LedgerEntry]) -> list[int]:
    """The champions that were not withdrawn, oldest first, the present one last."""
    stack: list[int] = []
    for entry in entries:
        if entry.action is Action.ROLLBACK:
            kept = stack.index(entry.version) if entry.version in stack else len(stack) - 1
            stack = stack[:kept]
        stack.append(entry.version)
    return stack


def _demand_approved(approval: Approval, version: ModelVersion, now: datetime) -> None:
    """An approval counts for the report that the reviewer saw, and until it expires."""
    where = f"{approval.use_case}: version {approval.version}"
    if approval.report_digest != version.report_digest:
        raise PromotionRefused(
            f"{where}: the approval is of report {approval.report_digest[:12]}, the version's is {version.report_digest[:12]}: "
            "read that report and approve again"
        )
    if approval.expires_at is not None and now >= approval.expires_at:
        raise PromotionRefused(
            f"{where}: the approval expired at {approval.expires_at.isoformat(timespec='seconds')}: approve again"
        )


def needs_person(challenger: Verdict, head: LedgerEntry | None) -> str:
    """Why a person must decide about a challenger, whatever the use case's policy is; empty where the policy may."""
    if challenger.lost_champion:
        return f"champion version {challenger.champion_version} could not be scored: {challenger.lost_champion}"
    if head is not None:
        try:
            read_verdict(challenger.use_case, head.version)
        except ModelError as error:
            return f"the verdict of champion version {head.version}, which holds its day, cannot be read: {error}"
    return ""


def _demand_newer(challenger: Verdict, head: LedgerEntry) -> None:
    """A backfilled or late run never replaces a champion that learned newer data, whatever the gates are."""
    try:
        champion = read_verdict(challenger.use_case, head.version)
    except ModelError:
        return  # the champion's day is unknown, and a person has approved (see `needs_person`)
    offered, present = challenger.candidate.split.as_of, champion.candidate.split.as_of
    if offered < present:
        raise PromotionRefused(
            f"{challenger.use_case}: this version learned from data before {offered}, and the champion from data before "
            f"{present}: an older run never replaces a newer one, and no override changes that. Train on newer data; "
            "a former champion comes back by a rollback"
        )


def _demand_signature(use_case: str, actor: str, reason: str) -> None:
    if not actor.strip() or not reason.strip() or len(actor) > 200:
        raise PromotionRefused(
            f"{use_case}: expected an actor (at most 200 characters) and a reason, got {actor!r} and {reason!r}"
        )


def _digests(of: ModelVersion | LedgerEntry) -> dict[str, Any]:
    names = ("manifest_digest", "data_digest", "report_digest", "code_version")
    return {**{name: getattr(of, name) for name in names}, "judged_digest": of.judged_digest or None}

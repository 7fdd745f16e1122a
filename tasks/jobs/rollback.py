"""The jobs of `<use_case>.rollback`: undo a promotion by hand, or by the policy of the bake period."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from tasks.contracts.base import Contract
from tasks.contracts.promotion import Action, LedgerEntry, Trust
from tasks.errors import NothingToDo, PromotionRefused
from tasks.io.endpoint import await_version
from tasks.jobs.run import Run
from tasks.stages import registry

_log = logging.getLogger(__name__)


class Expected(Contract):
    """The champion whose bake period is watched."""

    sequence: int
    version: int
    scores: tuple[int, ...]  # counts of its rehearsal's best scores, by bin; empty where there was no rehearsal


class BakeOutcome(Contract):
    """The state of a bake period after one measurement."""

    version: int
    judgement: registry.BakeJudgement

    @property
    def is_final(self) -> bool:
        return self.judgement.state != "watching"


def roll_back(
    run: Run, *, to_version: int | None, reason: str, name: str, user: str, is_signed_in: bool, is_promotion: bool
) -> LedgerEntry:
    """Make a former champion the champion again, and wait until the endpoint answers with it.

    Parameters
    ----------
    to_version : None: the champion before the present one that was not itself rolled back from.
    name, user : the name in the form, and the account in Airflow. The account counts where Airflow makes users sign in.
    is_promotion : whether a promotion started this run, which then only watches it.

    Raises
    ------
    NothingToDo : a promotion started this run.
    PromotionRefused : from `registry.rollback`.
    """
    if is_promotion:
        raise NothingToDo("no rollback was requested: this run watches a promotion")
    actor, trust = (user, Trust.AIRFLOW) if is_signed_in else (name, Trust.ON_TRUST)
    entry = registry.rollback(run.name, actor, reason, run.run_id, run.ledger, to_version=to_version, trust=trust)
    await_version(run.name, entry.version)
    return entry


def expect(run: Run, *, sequence: int | None, now: datetime) -> Expected:
    """The promotion to watch, and the scores that its version gave in a rehearsal.

    Parameters
    ----------
    sequence : the ledger entry of the event that started this run; None for a run that was started by hand.

    Raises
    ------
    NothingToDo : there is no promotion to watch, or it is not to be watched any more.
    """
    minutes = run.use_case.bake.minutes
    if sequence is None:
        raise NothingToDo("this run was started by hand: there is no promotion to watch")
    if not minutes:
        raise NothingToDo("the use case says bake: {minutes: 0}: its promotions are not watched")
    head = run.ledger.head(run.name)
    if head is None or head.sequence != sequence:
        raise NothingToDo(f"entry {sequence} is not the newest one: its version is not champion any more")
    if head.action is Action.ROLLBACK:
        raise NothingToDo(f"entry {head.sequence} is a rollback, which is not watched, so that versions cannot oscillate")
    if now >= head.at + timedelta(minutes=minutes):
        raise NothingToDo(f"version {head.version} was promoted more than {minutes} minutes ago")
    try:
        scores = tuple(registry.rehearse(run.name, head.version, head.manifest_digest))
    except PromotionRefused as error:
        scores = ()
        _log.warning("no expected scores, so only errors and latency are watched: %s", error)
    return Expected(sequence=head.sequence, version=head.version, scores=scores)


def watch(run: Run, expected: Expected, *, now: datetime) -> BakeOutcome:
    """Measure the champion once: is the bake period over, or a limit broken?"""
    judgement = registry.watch_bake(run.name, expected.sequence, run.use_case.bake, expected.scores, run.ledger, now)
    _log.info("%s: %s", judgement.state, judgement.reason)
    return BakeOutcome(version=expected.version, judgement=judgement)


def withdraw(run: Run, outcome: BakeOutcome) -> LedgerEntry:
    """Roll back from a champion that broke a limit, and from no other.

    Raises
    ------
    NothingToDo : no limit is broken.
    PromotionRefused : the champion is another version by now.
    """
    judgement = outcome.judgement
    if judgement.state != "violated":
        raise NothingToDo(f"{judgement.state}: {judgement.reason}")
    entry = registry.rollback(
        run.name,
        "policy:bake",
        judgement.reason,
        run.run_id,
        run.ledger,
        trust=Trust.POLICY,
        of_version=outcome.version,
    )
    await_version(run.name, entry.version)
    return entry

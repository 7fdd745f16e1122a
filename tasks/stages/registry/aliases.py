"""The aliases follow the ledger: they are set after every change of the champion, and compared again later."""

from __future__ import annotations

import logging
from datetime import datetime

from tasks.contracts.judging import Role
from tasks.errors import PromotionRefused
from tasks.io import tracking
from tasks.io.ledger import Ledger
from tasks.io.tracking import PREVIOUS_CHAMPION
from tasks.stages.registry.versions import name_version

_log = logging.getLogger(__name__)


def follow_ledger(use_case: str, ledger: Ledger) -> list[str]:
    """Set the aliases to what the ledger says. Returns one line for each change.

    Another process may change the champion meanwhile, so the ledger is read again after writing, until both agree.
    """
    changed: list[str] = []
    while True:
        head = ledger.head(use_case)
        for alias, (found, expected) in compare_aliases(use_case, ledger).items():
            tracking.set_alias(use_case, alias, expected)
            changed.append(f"alias {alias} of {use_case}: from {name_version(found)} to {name_version(expected)}")
        if ledger.head(use_case) == head:
            return changed


def reconcile_aliases(use_case: str, ledger: Ledger, restore: bool, now: datetime) -> list[str]:
    """Find aliases that differ from the ledger. Returns one line each, which the log and a tag of the model show too.

    An alias differs if a person moved it, or if a promotion was killed between the ledger and the alias. With `restore` it
    is corrected, without it is only reported.

    Raises
    ------
    PromotionRefused : the ledger's newest entry was altered: its content must not be copied.
    """
    head = ledger.head(use_case)
    if head is not None and head.sequence in ledger.broken_links(use_case):
        raise PromotionRefused(
            f"{use_case}: the ledger's newest entry {head.sequence} was altered, so the aliases are left as they are; restore "
            "the ledger's database from its backup"
        )
    differences = compare_aliases(use_case, ledger)
    lines = [
        f"alias {alias} of {use_case} named {name_version(found)}, the ledger says {name_version(expected)}: "
        + ("restored" if restore else "left, because the use case says restore_aliases: false")
        for alias, (found, expected) in differences.items()
    ]
    if not lines:
        return []
    for line in lines:
        _log.warning(line)
    tracking.tag_model(use_case, {"alias_differed": f"{now.isoformat(timespec='seconds')}: {'; '.join(lines)}"})
    misplaced = {found for found, _ in differences.values() if found is not None}
    for version in misplaced:
        tracking.tag_version(use_case, version, {"alias_differed": f"{now.isoformat(timespec='seconds')}: {'; '.join(lines)}"})
    if restore:
        follow_ledger(use_case, ledger)
    return lines


def compare_aliases(use_case: str, ledger: Ledger) -> dict[str, tuple[int | None, int | None]]:
    """Alias -> the version that it names and the one that it should, by the ledger; only those that differ.

    No alias can name a version that was deleted from the registry.
    """
    head = ledger.head(use_case)
    found, there = tracking.aliases(use_case), tracking.versions(use_case)
    named = {Role.CHAMPION: head.version if head else None, PREVIOUS_CHAMPION: head.previous_version if head else None}
    expected = {alias: version if version in there else None for alias, version in named.items()}
    if found.get(Role.CHALLENGER) in [version for version in expected.values() if version is not None]:
        expected[Role.CHALLENGER] = None
    return {alias: (found.get(alias), version) for alias, version in expected.items() if found.get(alias) != version}

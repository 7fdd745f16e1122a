"""The aliases follow the ledger: set after every change of the title, and compared again later."""

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
    """Make the aliases say what the ledger says; what had to be changed comes back, one line each.

    Others may change the title meanwhile: it looks at the ledger again after writing, and so whoever wrote last was right.
    """
    changed: list[str] = []
    while True:
        head = ledger.head(use_case)
        for alias, (found, wanted) in compare_aliases(use_case, ledger).items():
            tracking.set_alias(use_case, alias, wanted)
            changed.append(f"alias {alias} of {use_case}: from {name_version(found)} to {name_version(wanted)}")
        if ledger.head(use_case) == head:
            return changed


def reconcile_aliases(use_case: str, ledger: Ledger, restore: bool, now: datetime) -> list[str]:
    """What aliases say that the ledger does not, one line each; told in the log and by a tag of the registered model.

    An alias differs where somebody moved it by hand, or where a promotion died between the ledger and the alias. With
    `restore` it is set right; without, it is only told.

    Raises
    ------
    PromotionRefused : the ledger's newest entry was altered: what it says is not to be spread.
    """
    head = ledger.head(use_case)
    if head is not None and head.sequence in ledger.broken_links(use_case):
        raise PromotionRefused(
            f"{use_case}: the ledger's newest entry {head.sequence} was altered, so the aliases are left as they are; restore "
            "the ledger's database from its backup"
        )
    differences = compare_aliases(use_case, ledger)
    told = [
        f"alias {alias} of {use_case} named {name_version(found)}, the ledger says {name_version(wanted)}: "
        + ("restored" if restore else "left, because the use case says restore_aliases: false")
        for alias, (found, wanted) in differences.items()
    ]
    if not told:
        return []
    for line in told:
        _log.warning(line)
    tracking.tag_model(use_case, {"alias_differed": f"{now.isoformat(timespec='seconds')}: {'; '.join(told)}"})
    strangers = {found for found, _ in differences.values() if found is not None}
    for version in strangers:
        tracking.tag_version(use_case, version, {"alias_differed": f"{now.isoformat(timespec='seconds')}: {'; '.join(told)}"})
    if restore:
        follow_ledger(use_case, ledger)
    return told


def compare_aliases(use_case: str, ledger: Ledger) -> dict[str, tuple[int | None, int | None]]:
    """Alias -> whom it names and whom it should, by the ledger; only those that differ."""
    head = ledger.head(use_case)
    found = tracking.aliases(use_case)
    wanted = {Role.CHAMPION: head.version if head else None, PREVIOUS_CHAMPION: head.previous_version if head else None}
    if found.get(Role.CHALLENGER) in [version for version in wanted.values() if version is not None]:
        wanted[Role.CHALLENGER] = None
    return {alias: (found.get(alias), version) for alias, version in wanted.items() if found.get(alias) != version}

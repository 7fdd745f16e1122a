"""What can be wrong with an installation, found before it hurts."""

from __future__ import annotations

from tasks.contracts.base import Contract
from tasks.errors import ConfigurationError, ServiceUnavailable
from tasks.io.ledger import Ledger
from tasks.settings import Settings
from tasks.stages.registry import compare_aliases
from tasks.stages.validation.suite import load_suite
from tasks.use_case import list_use_cases, load_use_case
from titleholder import preflight, services


class Finding(Contract):
    """One thing that was looked at."""

    what: str
    well: bool
    detail: str


def examine(settings: Settings, files_only: bool = False) -> list[Finding]:
    """Look at the files; and, unless only those are asked for, at the machine, the ledger and the services."""
    findings = [_look_at_file(name, settings) for name in list_use_cases(settings.use_cases)]
    if files_only:
        return findings
    faults = preflight.check(ports=[])
    findings.append(Finding(what="machine", well=not faults, detail="; ".join(faults) or "Python, Java, memory, disk"))
    ledger = Ledger(settings.ledger_url)
    for name in ledger.use_cases():
        broken = ledger.broken_links(name)
        detail = f"entries {broken} were altered" if broken else f"{len(ledger.entries(name))} entries, the chain holds"
        findings.append(Finding(what=f"ledger of {name}", well=not broken, detail=detail))
        findings.append(_look_at_aliases(name, ledger))
    for service in services.services(settings):
        well = service.answers()
        findings.append(Finding(what=service.name, well=well, detail=service.url if well else f"{service.url} does not answer"))
    return findings


def _look_at_aliases(name: str, ledger: Ledger) -> Finding:
    what = f"aliases of {name}"
    try:
        differences = compare_aliases(name, ledger)
    except ServiceUnavailable as error:
        return Finding(what=what, well=False, detail=f"not compared: {error}")
    told = [f"{alias} names version {found}, the ledger says {wanted}" for alias, (found, wanted) in differences.items()]
    remedy = f"; set them right with `titleholder reconcile {name}`"
    return Finding(what=what, well=not told, detail="; ".join(told) + remedy if told else "as the ledger says")


def _look_at_file(name: str, settings: Settings) -> Finding:
    try:
        case = load_use_case(name, settings.use_cases)
        suite = load_suite(case.validation.suite, settings.expectations)
    except ConfigurationError as error:
        return Finding(what=f"{name}.yaml", well=False, detail=str(error))
    detail = f"{len(case.candidates)} candidates, {len(suite.rules)} rules, {len(case.gates.checks)} gates {case.gates.mode}"
    return Finding(what=f"{name}.yaml", well=True, detail=detail)

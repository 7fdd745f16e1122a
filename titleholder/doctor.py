"""`titleholder doctor`: checks of a machine, the use-case files, the ledger, the champions and the services."""

from __future__ import annotations

from tasks.contracts.base import Contract
from tasks.errors import ConfigurationError, ServiceUnavailable
from tasks.io.ledger import Ledger
from tasks.io.storage import Storage
from tasks.jobs.checks import check_files
from tasks.jobs.run import Run
from tasks.jobs.scoring import find_champion_fault
from tasks.settings import Settings
from tasks.stages.registry import compare_aliases
from tasks.use_case import list_use_cases, load_use_case
from titleholder import preflight, services


class Finding(Contract):
    """The result of one check."""

    what: str
    ok: bool
    detail: str


def examine(settings: Settings, *, files_only: bool = False) -> list[Finding]:
    """Check the use-case files and, unless `files_only`, the machine, the ledger and the services."""
    findings = [_check_file(name, settings) for name in list_use_cases(settings.use_cases)]
    if files_only:
        return findings
    faults = preflight.check(ports=[])
    findings.append(Finding(what="machine", ok=not faults, detail="; ".join(faults) or "Python, Java, memory and disk"))
    ledger = Ledger(settings.ledger_url)
    for name in ledger.use_cases():
        broken = ledger.broken_links(name)
        detail = f"entries {broken} were altered" if broken else f"{len(ledger.entries(name))} entries, the chain is intact"
        findings.append(Finding(what=f"ledger of {name}", ok=not broken, detail=detail))
        findings.append(_check_aliases(name, ledger))
        findings += _check_champion(name, settings)
    for service in services.services(settings):
        is_up = service.answers()
        findings.append(Finding(what=service.name, ok=is_up, detail=service.url if is_up else f"{service.url} does not answer"))
    return findings


def _check_aliases(name: str, ledger: Ledger) -> Finding:
    what = f"aliases of {name}"
    try:
        differences = compare_aliases(name, ledger)
    except ServiceUnavailable as error:
        return Finding(what=what, ok=False, detail=f"not compared: {error}")
    wrong = [f"{alias} names version {found}, the ledger says {expected}" for alias, (found, expected) in differences.items()]
    remedy = f"; restore them with `titleholder reconcile {name}`"
    return Finding(what=what, ok=not wrong, detail="; ".join(wrong) + remedy if wrong else "as in the ledger")


def _check_champion(name: str, settings: Settings) -> list[Finding]:
    """Whether the champion can answer the features that the file describes; nothing where the file cannot be read."""
    what = f"champion of {name}"
    try:
        case = load_use_case(name, settings.use_cases)
    except ConfigurationError:
        return []
    try:
        fault = find_champion_fault(Run(case, settings, Storage(settings.data_root), "doctor"))
    except ServiceUnavailable as error:
        return [Finding(what=what, ok=False, detail=f"not asked: {error}")]
    remedy = (
        f"It cannot answer the features that {name}.yaml describes: {fault}. Undo the change of the file or of the data; "
        "otherwise the next challenger is judged as a first one, and a person must approve it"
    )
    return [Finding(what=what, ok=not fault, detail=remedy if fault else "answers the features that the file describes")]


def _check_file(name: str, settings: Settings) -> Finding:
    try:
        case, suite = check_files(name, settings)
    except ConfigurationError as error:
        return Finding(what=f"{name}.yaml", ok=False, detail=str(error))
    detail = f"{len(case.candidates)} candidates, {len(suite.rules)} rules, {len(case.gates.checks)} gates {case.gates.mode}"
    return Finding(what=f"{name}.yaml", ok=True, detail=detail)

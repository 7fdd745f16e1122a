"""A look at a source before anything is configured: what it holds, the use case that it suggests, and a trial of both.

The trial runs the real jobs in a folder of its own. It changes nothing of the installation.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from tasks.contracts.base import TaskKind, Window
from tasks.contracts.data import DatasetRef, Split, Validated
from tasks.contracts.samples import Sample
from tasks.errors import ConfigurationError, NothingToDo, TitleholderError
from tasks.io.logs import quiet_libraries
from tasks.io.storage import Storage, write_atomically
from tasks.jobs import features, training
from tasks.jobs.run import Run
from tasks.settings import Settings
from tasks.stages import proposal as proposals
from tasks.stages.ingestion import readers
from tasks.stages.ingestion.sampling import take_sample
from tasks.stages.proposal import Proposal
from tasks.use_case import parse_use_case

TRIAL_DAYS = 120  # of daily files, the newest
TRIAL_BYTES = 200_000_000  # of one file of text; of a larger one its beginning
DEFAULT_DAY = date(2026, 1, 1)  # of a file that says nothing about time


class Step(NamedTuple):
    """One step of a trial."""

    name: str
    is_ok: bool
    detail: str


class Looked(NamedTuple):
    """A source, and what it suggests."""

    sample: Sample
    proposal: Proposal


def look(
    place: str,
    name: str,
    *,
    table: str = "",
    task: TaskKind | None = None,
    target: str | None = None,
    time_zone: str | None = None,
) -> Looked:
    """Sample a source and propose a use case and a suite for it. Reads only.

    Raises
    ------
    ConfigurationError : there is no such file, folder or table.
    SourceError : it cannot be read, or nothing can be learned from it.
    """
    sample = take_sample(place, table=table)
    found = proposals.propose(sample, name, task=task, target=target, time_zone=time_zone)
    parse_use_case(found.use_case_text, f"{name}.yaml")
    return Looked(sample, found)


def write_pair(found: Proposal, settings: Settings) -> list[Path]:
    """Put the proposal into the folders of use cases and suites.

    Raises
    ------
    ConfigurationError : a file of the name exists. Nothing was written.
    """
    case = settings.use_cases / f"{found.name}.yaml"
    suite = settings.expectations / f"{found.name}.yaml"
    texts = {suite: found.suite_text, case: found.use_case_text}  # the suite first: a use case without it is an error
    wanted = {path: text for path, text in texts.items() if text}
    if there := [path for path in wanted if path.exists()]:
        raise ConfigurationError(f"{', '.join(map(str, there))} exists already: choose another name, or remove it")
    for path, text in wanted.items():
        write_atomically(path, text)
    return list(wanted)


def try_out(looked: Looked, settings: Settings, folder: Path) -> list[Step]:
    """Run ingestion, validation and split of the proposal in a folder, up to the first step that fails.

    Parameters
    ----------
    folder : empty. Everything is written there.
    """
    quiet_libraries()
    found = looked.proposal
    own = _make_home(settings, folder, found)
    delivered, window = _deliver(looked, folder / "source")
    case = parse_use_case(found.use_case_text, f"{found.name}.yaml")
    case = case.model_copy(update={"source": case.source.model_copy(update={"path": delivered})})
    run = Run(case, own, Storage(own.data_root, run="look"), "look")
    steps: list[Step] = []

    def attempt(name: str, work: Callable[[], tuple[object, str]]) -> object:
        try:
            made, detail = work()
        except TitleholderError as error:
            steps.append(Step(name, False, str(error)))
            return None
        steps.append(Step(name, True, detail))
        return made

    raw = attempt("ingest", lambda: _ingest(run, window))
    if not isinstance(raw, DatasetRef):
        return steps
    valid = attempt("validate", lambda: _validate(run, raw))
    if isinstance(valid, Validated):
        attempt("split", lambda: _split(run, window))
    return steps


def _make_home(settings: Settings, folder: Path, found: Proposal) -> Settings:
    """Settings whose every file is in the folder, with the shipped suites and the proposed one."""
    expectations = folder / "expectations"
    shutil.copytree(settings.expectations, expectations)
    if found.suite_text:
        write_atomically(expectations / f"{found.name}.yaml", found.suite_text)
    return settings.model_copy(
        update={"home": folder / "home", "expectations": expectations, "database_url": "", "source_paths": {}}
    )


def _deliver(looked: Looked, folder: Path) -> tuple[Path, Window]:
    """The files as the proposed source expects them, and the window of their days."""
    folder.mkdir(parents=True)
    sample, days = looked.sample, looked.proposal.days
    first, last = days or (DEFAULT_DAY, DEFAULT_DAY)
    kind = looked.proposal.use_case["source"]["kind"]
    if kind == "table":
        return folder, Window(start=max(first, last - timedelta(days=TRIAL_DAYS)), end=last + timedelta(days=1))
    if sample.days:
        newest = sorted(sample.days)[-TRIAL_DAYS:]
        for day in newest:
            _link(sample.days[day], folder / sample.days[day].name)
        return folder, Window(start=newest[0], end=newest[-1] + timedelta(days=1))
    (path,) = sample.files
    target = folder / _name_in_source(path, str(sample.source["format"]), last if kind == "daily_files" else None)
    if (
        path.stat().st_size > TRIAL_BYTES
        and not target.name.endswith(readers.PACKED)
        and sample.source["format"] in {"csv", "jsonl"}
    ):
        with path.open("rb") as stream:
            head = stream.read(TRIAL_BYTES)
        target.write_bytes(head[: head.rfind(b"\n") + 1])
    else:
        _link(path, target)
    return folder, Window(start=last if kind == "daily_files" else first, end=last + timedelta(days=1))


def _name_in_source(path: Path, kind: str, day: date | None) -> str:
    """The name of a file with an ending that its format allows, which for daily files begins with the day."""
    packed = path.suffix if path.suffix.lower() in readers.PACKED else ""
    ending = path.suffix if kind == "xlsx" else f".{kind}{packed.lower()}"
    return f"{day or 'rows'}{ending}"


def _link(path: Path, target: Path) -> None:
    """The file under another name. Spark follows symbolic links to their own name, so it is a hard link or a copy."""
    try:
        target.hardlink_to(path.resolve())
    except OSError:  # another file system, or one without links
        shutil.copyfile(path, target)


def _ingest(run: Run, window: Window) -> tuple[DatasetRef, str]:
    raw = features.ingest(run, window)
    return raw, f"{sum(raw.rows.values()):,} rows of {window.label}"


def _validate(run: Run, raw: DatasetRef) -> tuple[Validated, str]:
    done = features.validate(run, raw)
    report = done.report
    broken = ", ".join(f"{rule.rule} {rule.broken_rows or 'broken'}" for rule in report.broken)
    said = f"{report.rows_in:,} rows in, {report.rows_validated:,} validated, {report.rows_quarantined:,} to quarantine"
    return done, f"{said}{f': {broken}' if broken else ''}"


def _split(run: Run, window: Window) -> tuple[Split, str]:
    try:
        made = training.split(run, as_of=window.end, requests=(), day=window.end)
    except NothingToDo as error:
        raise ConfigurationError(str(error)) from error
    parts = (("train", made.train), ("validation", made.validation), ("holdout", made.holdout))
    sizes = (f"{name} {', '.join(f'{rows:,} {table}' for table, rows in ref.rows.items())}" for name, ref in parts)
    return made, "; ".join(sizes)

"""The jobs of `<use_case>.features`: raw files -> validated rows and quarantine -> point-in-time features."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import date

from tasks import columns as c
from tasks.contracts.base import Contract, Window
from tasks.contracts.data import DatasetRef, Validated, ValidationReport
from tasks.errors import NothingToDo, SourceError, ValidationFailed
from tasks.io.notifications import Level, notify
from tasks.jobs.run import Run
from tasks.stages import features as features_stage
from tasks.stages import ingestion, validation

_log = logging.getLogger(__name__)

DOCS = "data-docs"  # folder of the installation with Great Expectations' pages


class PublishedFeatures(Contract):
    """New features. As JSON it is the extra of the asset `features`."""

    window: str
    as_of: date
    validated: DatasetRef | None  # None where only late deliveries came
    features: DatasetRef
    behind: tuple[str, ...]  # windows whose newest delivery was refused, so that an older one is in use
    late: tuple[str, ...] = ()  # earlier windows whose late deliveries were read

    @property
    def windows(self) -> tuple[str, ...]:
        """All windows with new rows, oldest first."""
        return (*self.late, self.window) if self.validated is not None else self.late


def ingest(run: Run, window: Window) -> DatasetRef:
    """Publish the window's raw rows as an immutable snapshot.

    Raises
    ------
    NothingToDo : there is no raw file for the window, which is normal on days without trading.
    SourceError : a file is unreadable or of another format.
    """
    case = run.use_case
    raw = ingestion.ingest(run.name, case.source, case.source_path, window, run.storage)
    if raw is None:
        raise NothingToDo(f"no raw file for {window.label} in {case.source_path}")
    for column, counts in run.storage.manifest(raw).get("figures", {}).get("cells", {}).items():
        if counts["lost"]:
            examples = ", ".join(f"{one['cell']!r} (row {one['row']})" for one in counts["examples"])
            message = "column %r: %d of %d full cells are not what they are stated to be: %s"
            _log.warning(message, column, counts["lost"], counts["full"], examples)
    return raw


def read_late(run: Run, window: Window) -> list[str]:
    """Ingest and validate what came late for earlier windows; the labels of those that are validated now.

    A late delivery that is refused is reported and does not stop the run of its finder.
    """
    case, read, refused = run.use_case, [], []
    found = ingestion.find_late_windows(
        run.name, case.source, case.source_path, window, run.storage, within_days=case.late_within_days
    )
    for one in found:
        try:
            raw = ingestion.ingest(run.name, case.source, case.source_path, one, run.storage, found_by=window.end)
            if raw is not None:
                validate(run, raw)
                read.append(one.label)
                _log.info("%s: a late delivery was read", one.label)
        except (SourceError, ValidationFailed) as error:
            refused.append(f"{one.label}: {error}")
            _log.warning("%s: a late delivery was refused: %s", one.label, error)
    if refused:
        notify(f"{run.name}: late deliveries were refused", "\n".join(refused[:5]), level=Level.WARNING)
    return read


def validate(run: Run, raw: DatasetRef, *, show_page: Callable[[str], None] | None = None) -> Validated:
    """Check every row of a raw snapshot against the use case's suite.

    Parameters
    ----------
    show_page : gets the address of this validation's page, also where the validation fails; None publishes no page.

    Raises
    ------
    ValidationFailed : a batch rule is broken, or too many rows broke a row rule.
    """
    spec, settings = run.use_case.validation, run.settings
    docs = settings.home / DOCS
    try:
        done = validation.validate(
            raw, spec.suite, spec.tolerance, run.storage, settings.expectations, docs, zone=run.use_case.zone
        )
    finally:
        if show_page is not None:
            show_page(publish_docs(run, raw))
    report = done.report
    _log.info("%d rows in, %d validated, %d to quarantine", report.rows_in, report.rows_validated, report.rows_quarantined)
    return done


def publish_docs(run: Run, raw: DatasetRef) -> str:
    """The address of the page of a validation; empty where there is none.

    In MLflow. While MLflow is down, or refuses the page, the address is that of the file: data do not wait for a page.
    """
    quarantine = run.storage.current(run.name, c.QUARANTINE, raw.partition)
    if quarantine is None:
        return ""
    manifest = run.storage.manifest(quarantine)
    page = validation.docs_page(run.settings.home / DOCS, quarantine)
    if manifest["inputs"] != [raw.to_json()] or not page.is_file():  # of another delivery, or validated on another machine
        return ""
    report = ValidationReport.from_json(manifest["facts"]["report"])
    try:
        return validation.publish_docs(quarantine, report, page, run.tags)
    except Exception as error:  # a page that cannot be published must not decide over data
        _log.warning("the page of this validation is in %s only: %s", page, error)
        return page.as_uri()


def build_features(run: Run, window: Window, validated: DatasetRef | None, late: Sequence[str] = ()) -> PublishedFeatures:
    """Features as of the end of a window, from all that was known by then.

    Parameters
    ----------
    validated : the rows of the window; None where it has none.
    late : labels of earlier windows whose late deliveries were read.

    Raises
    ------
    NothingToDo : neither the window nor an earlier one has new rows.
    """
    if validated is None and not late:
        raise NothingToDo(f"no new rows in {window.label}, and no late delivery")
    made = build_features_as_of(run, window.end)
    behind = [
        refused
        for refused in validation.find_refused(run.name, run.storage)
        if Window.from_label(refused.raw.partition).end <= window.end
    ]
    for refused in behind:
        _log.warning("%s", refused.summary)
    return PublishedFeatures(
        window=window.label,
        as_of=window.end,
        validated=validated,
        features=made,
        behind=tuple(refused.raw.partition for refused in behind),
        late=tuple(late),
    )


def build_features_as_of(run: Run, as_of: date) -> DatasetRef:
    """Features of users, items and pairs from the validated windows that ended by a day."""
    case = run.use_case
    history = run.storage.history(run.name, c.VALIDATED, as_of)
    return features_stage.build_features(case.features_as_of(as_of, history), run.storage)

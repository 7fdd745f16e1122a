"""Which snapshots a window is compared with: the thin edge between storage, prediction log and `monitor`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from tasks import columns as c
from tasks.contracts.base import TaskKind, Window
from tasks.contracts.data import DatasetRef
from tasks.contracts.monitoring import DriftReport
from tasks.contracts.promotion import ModelVersion
from tasks.io.prediction_log import PredictionLog
from tasks.io.storage import Storage
from tasks.stages.monitoring.checks import DriftCheck
from tasks.stages.monitoring.labels import LabelPolicy, publish_exposures
from tasks.stages.monitoring.report import Cohort, Side, monitor, recent


def look(
    use_case: str,
    task: TaskKind,
    checks: Sequence[DriftCheck],
    window: Window,
    champion: ModelVersion,
    reference_days: int,
    current_days: int | None,
    labels: LabelPolicy,
    storage: Storage,
    log: PredictionLog,
    seed: int,
    run_tags: dict[str, str],
    history: Sequence[DriftReport] = (),
) -> DriftReport | None:
    """Compare a window with what the champion learned; None where nothing was validated in it.

    Parameters
    ----------
    reference_days : the newest days of the champion's own data are the reference.
    current_days : so many days that end with the window are compared; None: the window as it is.
    history : earlier reports, for the plot.
    """
    own = storage.current(use_case, c.VALIDATED, window.label)
    if own is None:
        return None
    validated = storage.history(use_case, c.VALIDATED, window.end)
    compared = Window.before(window.end, current_days or window.days)
    rows = [own] if current_days is None else recent(validated, window.end, current_days)
    reference = recent(storage.history(use_case, c.VALIDATED, champion.as_of), champion.as_of, reference_days)
    return monitor(
        use_case,
        checks,
        window,
        Side(rows, _answers(use_case, champion.version, compared, storage)),
        Side(reference, _answers(use_case, champion.version, _learned(champion, reference_days), storage)),
        f"version {champion.version}, data before {champion.as_of}",
        storage,
        seed,
        run_tags,
        previous=next((ref for ref in reversed(validated) if Window.from_label(ref.partition).end <= compared.start), None),
        cohort=_find_cohort(use_case, task, labels, window, validated, storage, log),
        new_labels=sum(ref.rows[c.ROWS] for ref in validated if Window.from_label(ref.partition).end > champion.as_of),
        history=[one for one in history if one.window.end < window.end],
    )


def _learned(champion: ModelVersion, days: int) -> Window:
    """The days whose features the champion was, or could have been, asked with in its reference; its last day included."""
    return Window(start=champion.as_of - timedelta(days=days), end=champion.as_of + timedelta(days=1))


def _answers(use_case: str, version: int, days: Window, storage: Storage) -> list[DatasetRef]:
    """The champion's batch answers of the features of some days. Online ones are still arriving, so they are left out."""
    found = (storage.current(use_case, c.PREDICTIONS, f"v{version}.{days.start + timedelta(days=n)}") for n in range(days.days))
    return [ref for ref in found if ref is not None]


def _find_cohort(
    use_case: str,
    task: TaskKind,
    labels: LabelPolicy,
    window: Window,
    validated: Sequence[DatasetRef],
    storage: Storage,
    log: PredictionLog,
) -> Cohort | None:
    """The newest answers whose outcomes are all in; None where nobody was answered then."""
    cohort = labels.cohort_of(window)
    outcomes = [ref for ref in validated if Window.from_label(ref.partition).end > cohort.start]
    answers = log.read(use_case, since=cohort.start)  # nobody was answered from features that were not there yet
    exposures = publish_exposures(use_case, cohort, answers, storage)
    return Cohort(cohort, exposures, outcomes, labels, task) if exposures else None

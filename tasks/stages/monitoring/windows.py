"""Which snapshots a window is compared with: the thin edge between storage, prediction log and `monitor`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from tasks import columns as c
from tasks.contracts.base import TaskKind, Window
from tasks.contracts.data import DatasetRef
from tasks.contracts.monitoring import DriftReport
from tasks.contracts.promotion import ModelVersion
from tasks.io.prediction_log import PredictionLog
from tasks.io.storage import Storage
from tasks.stages.monitoring.checks.base import DriftCheck
from tasks.stages.monitoring.labels import LabelPolicy, publish_exposures
from tasks.stages.monitoring.report import Cohort, Side, WindowPair, monitor, recent


@dataclass(frozen=True)
class MonitoringTerms:
    """What is monitored in a use case.

    reference_days : the newest days of the champion's own data are the reference.
    current_days : so many days that end with the window are compared; None: the window as it is.
    """

    task: TaskKind
    checks: Sequence[DriftCheck]
    labels: LabelPolicy
    reference_days: int
    current_days: int | None = None


def monitor_window(
    terms: MonitoringTerms,
    window: Window,
    champion: ModelVersion,
    storage: Storage,
    log: PredictionLog,
    *,
    seed: int,
    run_tags: dict[str, str],
    history: Sequence[DriftReport] = (),
) -> DriftReport | None:
    """Compare a window with what the champion learned; None where nothing was validated in it.

    Parameters
    ----------
    history : earlier reports, for the plot.
    """
    use_case, current_days = champion.use_case, terms.current_days
    own = storage.current(use_case, c.VALIDATED, window.label)
    if own is None:
        return None
    validated = storage.history(use_case, c.VALIDATED, window.end)
    compared = Window.before(window.end, current_days or window.days)
    rows = [own] if current_days is None else recent(validated, window.end, current_days)
    reference = recent(storage.history(use_case, c.VALIDATED, champion.as_of), champion.as_of, terms.reference_days)
    pair = WindowPair(
        window,
        Side(rows, _answers(champion, compared, storage)),
        Side(reference, _answers(champion, _learned(champion, terms.reference_days), storage)),
        f"version {champion.version}, data before {champion.as_of}",
        previous=next((ref for ref in reversed(validated) if Window.from_label(ref.partition).end <= compared.start), None),
        new_labels=sum(ref.rows[c.ROWS] for ref in validated if Window.from_label(ref.partition).end > champion.as_of),
        champion_digest=champion.manifest_digest,
    )
    return monitor(
        use_case,
        terms.checks,
        pair,
        storage,
        seed=seed,
        run_tags=run_tags,
        cohort=_find_cohort(use_case, terms, window, validated, storage, log),
        history=[one for one in history if one.window.end < window.end],
    )


def _learned(champion: ModelVersion, days: int) -> Window:
    """The days of the features for which the champion predicted in its reference; its last day included."""
    return Window(start=champion.as_of - timedelta(days=days), end=champion.as_of + timedelta(days=1))


def _answers(champion: ModelVersion, days: Window, storage: Storage) -> list[DatasetRef]:
    """The champion's batch answers of the features of some days. Online ones are still arriving, so they are left out."""
    partitions = (f"v{champion.version}.{days.start + timedelta(days=n)}" for n in range(days.days))
    found = (storage.current(champion.use_case, c.PREDICTIONS, partition) for partition in partitions)
    return [ref for ref in found if ref is not None]


def _find_cohort(
    use_case: str,
    terms: MonitoringTerms,
    window: Window,
    validated: Sequence[DatasetRef],
    storage: Storage,
    log: PredictionLog,
) -> Cohort | None:
    """The newest answers whose outcomes are all in; None where no answer was given then."""
    cohort = terms.labels.cohort_of(window)
    outcomes = [ref for ref in validated if Window.from_label(ref.partition).end > cohort.start]
    answers = log.read(use_case, since=cohort.start)  # no answer rests on features that did not exist yet
    exposures = publish_exposures(use_case, cohort, answers, storage)
    return Cohort(cohort, exposures, outcomes, terms.labels, terms.task) if exposures else None
